// The rules that tell a caption from what models and servers write around it or in its place.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pixart::caption {

enum class RuleKind {
  kReasoningTag,    // the inside of brackets around a model's thoughts: "think" of <think>
  kAnswerTag,       // the inside of brackets around the answer proper: "answer" of <answer>
  kInnerToken,      // the inside of a token within a text; the text continues after it
  kTurnToken,       // the inside of a token that ends a turn
  kReasoningStart,  // thoughts without tags
  kFinalLabel,      // a line after thoughts without tags; the answer follows it
  kRole,            // the name of the speaker, before the text
  kNextTurn,        // the start of another turn
  kPreamble,        // words to the user before the caption
  kClosing,         // a sentence to the user after it
  kNoImage,         // the model saw no image
  kRefusal,         // the model does not want to
};
// The name in `cleaned` of captions.jsonl and in reasons.
std::string_view to_string(RuleKind kind);

// A regular expression (ECMAScript) for text in lower case. In it ' also means the typographic apostrophe or
// none, a blank means any white space, @image a noun for images and @quite an adverb.
struct AnswerRule {
  RuleKind kind;
  const char* pattern;
  const char* reason;  // who writes this
};
const std::vector<AnswerRule>& answer_rules();

// One character is one code point. What is not UTF-8 becomes U+FFFD.
std::wstring to_wide(std::string_view utf8);
std::string to_utf8(std::wstring_view text);
std::wstring lowered(std::wstring_view text);  // Latin, Greek and Cyrillic; keeps the length
bool is_blank(wchar_t c);

struct RuleMatch {
  const AnswerRule* rule = nullptr;
  size_t begin = 0, length = 0;
};
// The first rule of a kind that matches exactly at `at`, or all of a text, or first within a text. All take
// text in lower case.
std::optional<RuleMatch> match_at(RuleKind kind, const std::wstring& text, size_t at);
std::optional<RuleMatch> match_whole(RuleKind kind, const std::wstring& text);
std::optional<RuleMatch> find_first(RuleKind kind, const std::wstring& text);

}  // namespace pixart::caption

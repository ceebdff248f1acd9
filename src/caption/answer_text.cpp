#include "answer_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "answer_rules.h"
#include "pixart/base/error.h"

namespace pixart::caption {

namespace {

constexpr const char* kReasoningAdvice =
    "start the server with its reasoning parser, switch the thinking off, or use an instruct model";

std::wstring wide_trimmed(std::wstring_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return std::wstring(text);
}

constexpr size_t kLongestToken = 60;  // characters inside its brackets

// A token in brackets. `begin` and `end` include the brackets.
struct Token {
  RuleKind kind;
  size_t begin, end;
  bool is_close;
};

struct Brackets {
  std::wstring_view open, close;
};
constexpr Brackets kBrackets[] = {
    {L"<<", L">>"}, {L"<", L">"}, {L"[", L"]"}, {L"\u25c1", L"\u25b7"}, {L"&lt;", L"&gt;"}};

// Length of the inside of brackets at `at`; tokens are short and of one line.
std::optional<Token> token_at(const std::wstring& text, size_t at) {
  for (const auto& [open, close] : kBrackets) {
    if (text.compare(at, open.size(), open) != 0) continue;
    const size_t begin = at + open.size();
    const std::wstring window = text.substr(begin, kLongestToken);
    const size_t length = window.find(close);
    if (length == std::wstring::npos || window.find(L'\n') < length) continue;
    const std::wstring inside = wide_trimmed(std::wstring_view(window).substr(0, length));
    if (open == L"[" && inside.size() < 3) continue;  // a letter in brackets is text
    const bool is_close = inside.find(L'/') < 2 || inside.find(L"end") < 3 || inside == L"unused95";
    for (const auto kind :
         {RuleKind::kReasoningTag, RuleKind::kAnswerTag, RuleKind::kInnerToken, RuleKind::kTurnToken})
      if (match_whole(kind, inside)) return Token{kind, at, begin + length + close.size(), is_close};
  }
  return std::nullopt;
}

std::vector<Token> tokens_of(const std::wstring& text) {
  std::vector<Token> result;
  for (size_t at = 0; at < text.size();) {
    at = text.find_first_of(L"<[\u25c1&", at);
    if (at == std::wstring::npos) break;
    if (const auto token = token_at(text, at)) {
      result.push_back(*token);
      at = token->end;
    } else {
      ++at;
    }
  }
  return result;
}

class Cleaner {
 public:
  Cleaner(const std::string& text, Reasoning reasoning, Wrappings wrappings)
      : text_(wide_trimmed(to_wide(text))),
        refuses_reasoning_(reasoning == Reasoning::kReject),
        keeps_wrappings_(wrappings == Wrappings::kKept) {}

  CleanText run() {
    remove_channels();
    remove_thoughts();
    keep_inside_answer_tags();
    remove_tokens();
    remove_role();
    cut_next_turn();
    look_for_untagged_thoughts();
    look_for_refusals();
    if (!keeps_wrappings_) {
      remove_wrappings();
      look_for_refusals();
      remove_closing();
    }
    if (is_good() && text_.empty())
      fail(AnswerFault::kEmpty, "the answer has no text but that of its template");
    if (is_good() && is_loop(to_utf8(text_))) fail(AnswerFault::kLoop, "the answer repeats itself");
    result_.text = is_good() ? to_utf8(text_) : std::string();
    return std::move(result_);
  }

 private:
  bool is_good() const { return result_.fault == AnswerFault::kNone; }

  void fail(AnswerFault fault, std::string detail) {
    result_.fault = fault;
    result_.detail = std::move(detail);
  }

  void note(std::string_view what) {
    const std::string name(what);
    if (std::count(result_.cleaned.begin(), result_.cleaned.end(), name) == 0)
      result_.cleaned.push_back(name);
  }

  void replace(std::wstring_view text, std::string_view what) {
    std::wstring left = wide_trimmed(text);
    if (left == text_) return;
    text_ = std::move(left);
    note(what);
  }

  void fail_reasoning(const std::string& what) {
    fail(AnswerFault::kReasoning, fmt::format("{}: {}", what, kReasoningAdvice));
  }

  // The answer without its thoughts.
  void keep_reasoned(std::wstring_view text) {
    if (refuses_reasoning_) return fail_reasoning("reasoning in the answer");
    if (wide_trimmed(text).empty()) return fail_reasoning("the answer is reasoning alone");
    replace(text, "reasoning");
  }

  // gpt-oss: <|channel|>analysis<|message|>... <|channel|>final<|message|>..., with or without its tokens.
  void remove_channels() {
    const std::wstring text = lowered(text_);
    for (const std::wstring_view last :
         {L"<|channel|>final<|message|>", L"<|channel>final", L"assistantfinal"}) {
      const size_t at = text.rfind(last);
      const bool is_bare = last.front() != L'<';
      if (at == std::wstring::npos || (is_bare && !text.starts_with(L"analysis"))) continue;
      if (at == 0) return replace(std::wstring_view(text_).substr(last.size()), "token");
      return keep_reasoned(std::wstring_view(text_).substr(at + last.size()));
    }
    for (const std::wstring_view first : {L"<|channel|>analysis", L"<|channel|>commentary"})
      if (text.find(first) != std::wstring::npos) return fail_reasoning("reasoning without an answer");
    // Gemma: <|channel>thought ... <channel|>
    const size_t open = text.find(L"<|channel>thought"), close = text.rfind(L"<channel|>");
    if (open != std::wstring::npos && close == std::wstring::npos)
      return fail_reasoning("reasoning without an answer");
    if (open != std::wstring::npos) keep_reasoned(std::wstring_view(text_).substr(close + 10));
  }

  // An end without a beginning: the template wrote the beginning, and all before the end is thoughts.
  void remove_thoughts() {
    if (!is_good()) return;
    std::wstring left;
    size_t from = 0, depth = 0;
    bool found = false;
    for (const auto& token : tokens_of(lowered(text_))) {
      if (token.kind != RuleKind::kReasoningTag) continue;
      found = true;
      if (!token.is_close) {
        if (depth++ == 0) left += text_.substr(from, token.begin - from);
        continue;
      }
      if (depth == 0) left.clear();
      depth = depth > 0 ? depth - 1 : 0;
      from = token.end;
    }
    if (depth > 0) return fail_reasoning("reasoning without an end");
    if (found) keep_reasoned(left + text_.substr(from));
  }

  void keep_inside_answer_tags() {
    if (!is_good()) return;
    size_t begin = std::wstring::npos, end = text_.size();
    for (const auto& token : tokens_of(lowered(text_))) {
      if (token.kind != RuleKind::kAnswerTag) continue;
      if (!token.is_close) {
        begin = token.end;
        end = text_.size();
      } else if (end == text_.size()) {
        end = token.begin;
        if (begin == std::wstring::npos) begin = 0;
      }
    }
    if (begin == std::wstring::npos) return;
    const std::wstring inside = wide_trimmed(std::wstring_view(text_).substr(begin, end - begin));
    if (!inside.empty()) replace(inside, "answer_tag");
  }

  // A turn ends after its text; tokens and the speaker's name before the text are removed.
  void remove_tokens() {
    if (!is_good()) return;
    Kept kept;
    size_t from = 0;
    bool is_ended = false;
    for (const auto& token : tokens_of(lowered(text_))) {
      append(kept, text_.substr(from, token.begin - from), from > 0);
      from = token.end;
      is_ended = token.kind == RuleKind::kTurnToken && kept.has_text;
      if (is_ended) break;
    }
    if (from == 0) return;
    if (!is_ended) append(kept, text_.substr(from), true);
    replace(kept.text, "token");
  }

  struct Kept {
    std::wstring text = {};
    bool has_text = false;  // more than blanks
  };

  // Between tokens, the name of a speaker and the numbers of a box are not text.
  static void append(Kept& kept, const std::wstring& piece, bool is_between) {
    constexpr size_t kShortestBox = 5;
    const std::wstring inside = lowered(wide_trimmed(piece));
    const bool may_be_name = is_between && !kept.has_text;
    const bool is_name =
        may_be_name && inside.size() < kLongestToken && match_whole(RuleKind::kTurnToken, inside);
    const bool is_box = is_between && inside.size() >= kShortestBox &&
                        inside.find_first_not_of(L"0123456789()[],.;- ") == std::wstring::npos;
    if (is_box || is_name) return;
    kept.text += may_be_name ? piece.substr(length_of_name(piece)) : piece;
    kept.has_text = kept.has_text || !inside.empty();
  }

  // Of a first line that is the name of a speaker.
  static size_t length_of_name(const std::wstring& piece) {
    const std::wstring head = lowered(piece.substr(0, kLongestToken));
    const size_t line = head.find(L'\n');
    const bool is_name =
        line != std::wstring::npos && match_whole(RuleKind::kTurnToken, wide_trimmed(head.substr(0, line)));
    return is_name ? line : 0;
  }

  void remove_role() {
    if (!is_good()) return;
    if (const auto role = match_at(RuleKind::kRole, lowered(text_), 0))
      replace(std::wstring_view(text_).substr(role->length), to_string(RuleKind::kRole));
  }

  void cut_next_turn() {
    if (!is_good()) return;
    const auto turn = find_first(RuleKind::kNextTurn, lowered(text_));
    if (!turn || turn->begin == 0) return;
    const bool keeps_mark = text_[turn->begin] != L'\n';  // the end of a sentence
    replace(std::wstring_view(text_).substr(0, turn->begin + (keeps_mark ? 1 : 0)),
            to_string(RuleKind::kNextTurn));
  }

  void look_for_untagged_thoughts() {
    if (!is_good()) return;
    const std::wstring text = lowered(text_);
    if (!match_at(RuleKind::kReasoningStart, text, 0)) return;
    size_t answer = std::wstring::npos;
    for (size_t at = text.find(L'\n'); at != std::wstring::npos; at = text.find(L'\n', at + 1)) {
      size_t first = at;
      while (first < text.size() && is_blank(text[first])) ++first;
      if (const auto label = match_at(RuleKind::kFinalLabel, text, first)) answer = first + label->length;
    }
    if (answer == std::wstring::npos) return fail_reasoning("reasoning in place of a caption");
    keep_reasoned(std::wstring_view(text_).substr(answer));
  }

  // Where a statement may begin in the first lines: a fault is not always the first word.
  static std::vector<size_t> starts_of(const std::wstring& text) {
    constexpr size_t kHead = 400;
    std::vector<size_t> starts;
    bool is_start = true;
    for (size_t at = 0; at < std::min(text.size(), kHead); ++at) {
      const bool is_mark =
          std::wstring_view(L".!?,;:\n\u3002\uff01\uff1f\uff0c\u3001\u2014").find(text[at]) !=
          std::wstring_view::npos;
      const bool is_markup =
          is_blank(text[at]) ||
          std::wstring_view(L"\"'*_#>(\u201c\u00bf\u00a1").find(text[at]) != std::wstring_view::npos;
      if (is_start && !is_mark && !is_markup) {
        starts.push_back(at);
        for (const std::wstring_view word :
             {L"but ", L"however ", L"and ", L"mais ", L"aber ", L"pero ", L"\u4f46", L"so "})
          if (text.compare(at, word.size(), word) == 0) starts.push_back(at + word.size());
      }
      is_start = is_mark || (is_start && is_markup);
    }
    return starts;
  }

  void look_for_refusals() {
    if (!is_good() || text_.empty()) return;
    const std::wstring text = lowered(text_);
    const auto starts = starts_of(text);
    for (const size_t start : starts)
      if (match_at(RuleKind::kNoImage, text, start))
        return fail(AnswerFault::kNoImage, to_utf8(std::wstring_view(text_)));
    if (!starts.empty() && match_at(RuleKind::kRefusal, text, starts.front()))
      fail(AnswerFault::kRefusal, to_utf8(std::wstring_view(text_)));
  }

  void remove_wrappings() {
    constexpr int kMostLayers = 6;
    for (int layer = 0; is_good() && layer < kMostLayers; ++layer) {
      const std::wstring before = text_;
      remove_preamble();
      open_fence();
      take_from_json();
      remove_quotes();
      if (text_ == before) return;
    }
  }

  void remove_preamble() {
    const auto preamble = match_at(RuleKind::kPreamble, lowered(text_), 0);
    if (!preamble) return;
    replace(std::wstring_view(text_).substr(preamble->length), to_string(RuleKind::kPreamble));
    if (!text_.empty() && text_[0] >= L'a' && text_[0] <= L'z') text_[0] -= L'a' - L'A';
  }

  // ```text ... ```, also without its end.
  void open_fence() {
    if (!text_.starts_with(L"```") && !text_.starts_with(L"~~~")) return;
    const std::wstring mark = text_.substr(0, 3);
    size_t begin = text_.find_first_not_of(mark[0]);
    if (begin == std::wstring::npos) return replace(L"", "fence");
    const size_t line = text_.find(L'\n');
    if (line != std::wstring::npos && text_.find_first_of(L" \t") > line) begin = line;
    const size_t end = text_.find(mark, begin);
    replace(std::wstring_view(text_).substr(begin, end == std::wstring::npos ? end : end - begin), "fence");
  }

  void take_from_json() {
    if (!text_.starts_with(L"{") && !text_.starts_with(L"[{") && !text_.starts_with(L"[\"")) return;
    auto object = nlohmann::json::parse(to_utf8(text_), nullptr, false);
    if (object.is_array() && object.size() == 1 && object.front().is_string())
      return replace(to_wide(object.front().get<std::string>()), "fence");
    if (object.is_array() && !object.empty()) object = object.front();
    if (!object.is_object()) return;
    const nlohmann::json* found = object.size() == 1 ? &*object.begin() : nullptr;
    for (const char* name : {"caption", "detailed_caption", "description", "detailed_description", "text",
                             "answer", "response", "output"})
      if (found == nullptr && object.contains(name)) found = &object[name];
    if (found == nullptr || !found->is_string())
      return fail(AnswerFault::kBadText, "a JSON object without a caption in place of a text");
    replace(to_wide(found->get<std::string>()), "fence");
  }

  void remove_quotes() {
    static constexpr std::wstring_view kPairs[] = {L"\"\"", L"\u201c\u201d", L"\u00ab\u00bb", L"\u300c\u300d",
                                                   L"\u201e\u201c"};
    for (const auto pair : kPairs) {
      if (text_.size() < 3 || text_.front() != pair[0] || text_.back() != pair[1]) continue;
      const std::wstring inside = text_.substr(1, text_.size() - 2);
      if (inside.find_first_of(pair) == std::wstring::npos) return replace(inside, "fence");
    }
  }

  void remove_closing() {
    constexpr int kMostSentences = 3;
    for (int i = 0; is_good() && i < kMostSentences; ++i) {
      const size_t at = last_sentence();
      if (at == 0 || !match_at(RuleKind::kClosing, lowered(text_), at)) return;
      replace(std::wstring_view(text_).substr(0, at), to_string(RuleKind::kClosing));
    }
  }

  size_t last_sentence() const {
    for (size_t at = text_.size(); at > 1; --at) {
      const wchar_t before = text_[at - 1];
      if (at == text_.size()) continue;
      const bool is_after_mark =
          is_blank(before) && std::wstring_view(L".!?\n\"*)\u2026").find(text_[at - 2]) != std::wstring::npos;
      const bool is_after_full =
          std::wstring_view(L"\n\u3002\uff01\uff1f").find(before) != std::wstring::npos;
      if ((is_after_mark || is_after_full) && !is_blank(text_[at])) return at;
    }
    return 0;
  }

  std::wstring text_;
  const bool refuses_reasoning_, keeps_wrappings_;
  CleanText result_;
};

}  // namespace

CleanText clean_answer(const std::string& text, Reasoning reasoning, Wrappings wrappings) {
  return Cleaner(text, reasoning, wrappings).run();
}

}  // namespace pixart::caption

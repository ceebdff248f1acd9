// What the answer to a question of a judge means: yes or no by the probabilities of the first token or by the text, or
// a score of a scale. What is neither is a fault, never a guess.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat.h"

namespace pixart::caption {

struct TokenChance {
  std::string token;
  double logprob = 0;
};

// The probabilities at the first place of a reply whose token has a letter, with the chosen token: in the form of OpenAI,
// vLLM and llama.cpp, that of older completions, and in streams.
struct FirstToken {
  AnswerFault fault = AnswerFault::kNone;  // kNoProbabilities or kBadProbabilities
  std::string detail = {};
  std::vector<TokenChance> chances = {};
};
FirstToken first_token(const std::string& body);

// The probabilities of all spellings of yes and no: "Yes", " yes", "YES.", "_no" with the marks of tokenizers.
struct YesNoChance {
  double yes = 0, no = 0;
  double mass() const { return yes + no; }
  double probability() const { return yes / mass(); }  // of yes, with mass() > 0
};
YesNoChance yes_no_chance(const std::vector<TokenChance>& chances);

enum class YesNo { kYes, kNo };

// The text is one of the words, begins or ends with it ("Yes, there is.", "Answer: no"), or is JSON with it as
// `answer`. Nothing if it says neither, or both.
std::optional<YesNo> yes_no_of(const std::string& text);

// The score of a text: `score` of JSON, also in words around it, or a text that is a number and nothing else. Nothing
// for other texts, and for several scores that differ.
std::optional<int> score_of(const std::string& text);

// The kinds of answers.
enum class AnswerForm {
  kProbability,  // yes or no by the probabilities of the first token
  kYesNo,        // by the text
  kScore,        // a score of a scale
  kDescription,  // any text: the first turn of two
};

// What a question's answer is worth.
struct Judgement {
  AnswerFault fault = AnswerFault::kNone;
  std::string detail = {};
  std::string label = {};  // "yes", "no" or the score
  double value = 0;        // of yes, 0 to 1; of a score what the scale says of it
  double mass = 1;         // probability of all spellings of yes and no
};

using Scale = std::map<int, double>;  // score -> value

// What came, as it is stored with the result: JSON {"text", "raw", "tokens": [["Yes", -0.1], ...]}.
struct AnswerRecord {
  std::string text = {};
  std::string raw = {};  // with thoughts and words to the user, if those were removed from `text`
  std::vector<TokenChance> tokens = {};  // of the first place
};
std::string to_json(const AnswerRecord& record);
AnswerRecord answer_record(const std::string& json);  // empty for other texts

// A pure function of the record. The least mass of a clear answer is kLeastMass; a text that contradicts the
// probabilities is kBadProbabilities.
constexpr double kLeastMass = 0.1;
Judgement judged(AnswerForm form, const AnswerRecord& record, const Scale& scale = {});

// Reads a reply with HTTP 200: `text` of the answer is the record, also with a fault.
Answer read_judgement(AnswerForm form, const std::string& body, const Scale& scale = {});

}  // namespace pixart::caption

#include "judge_answer.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "answer_text.h"
#include "event_stream.h"
#include "pixart/base/error.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"
#include "pixart/data/table_rows.h"

namespace pixart::caption {
using nlohmann::json;

namespace {

constexpr double kRounding = 1e-3;  // of logprobs that servers round
constexpr size_t kLongestChoice = 200;

bool has_letter(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return std::isalpha(uint8_t(c)) != 0 || uint8_t(c) >= 0x80; });
}

// Without blanks, quotes, marks and the signs that tokenizers write for a blank; in lower case.
std::string bare(std::string text) {
  for (const std::string_view mark : {"\u2581", "\u0120", "\u010A", "\u00A0"})
    for (size_t at; (at = text.find(mark)) != std::string::npos;) text.replace(at, mark.size(), " ");
  return ascii_lower(trimmed(text, " \t\r\n\"'`*_.,:;!?()[]{}<>#-"));
}

FirstToken faulty(AnswerFault fault, std::string detail) {
  return {.fault = fault, .detail = std::move(detail), .chances = {}};
}

// Adds a token that is not known yet; false: that is not a logarithm of a probability.
bool add_chance(const json& token, const json& logprob, std::vector<TokenChance>& chances) {
  if (!token.is_string() || !logprob.is_number()) return false;
  const double value = logprob.get<double>();
  if (!std::isfinite(value) || value > kRounding) return false;
  chances.push_back({token.get<std::string>().substr(0, kLongestChoice), std::min(0.0, value)});
  return true;
}

const json* member(const json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// One place: {"token", "logprob", "top_logprobs": [{"token", "logprob"}, ...]}. The chosen token counts once.
FirstToken chances_at(const json& place) {
  FirstToken found;
  const json *token = member(place, "token"), *logprob = member(place, "logprob"),
             *top = member(place, "top_logprobs");
  if (top != nullptr && top->is_array())
    for (const auto& other : *top) {
      const json *name = member(other, "token"), *value = member(other, "logprob");
      if (name != nullptr && value == nullptr && other.contains("logprob"))
        continue;  // null: a probability of 0
      if (name == nullptr || value == nullptr || !add_chance(*name, *value, found.chances))
        return faulty(AnswerFault::kBadProbabilities, "a token has no logarithm of a probability");
    }
  const bool is_listed =
      token == nullptr || !token->is_string() ||
      std::any_of(found.chances.begin(), found.chances.end(),
                  [&](const TokenChance& other) { return other.token == token->get<std::string>(); });
  if (!is_listed && (logprob == nullptr || !add_chance(*token, *logprob, found.chances)))
    return faulty(AnswerFault::kBadProbabilities, "the chosen token has no logarithm of a probability");
  double sum = 0;
  for (const auto& chance : found.chances) sum += std::exp(chance.logprob);
  constexpr double kMost = 1.02;  // rounding of twenty tokens
  if (sum > kMost)
    return faulty(AnswerFault::kBadProbabilities, fmt::format("the probabilities add up to {:.3g}", sum));
  return found;
}

// The older form as a list of places: {"tokens": [...], "token_logprobs": [...], "top_logprobs": [{token: logprob}]}.
json places_of_completion(const json& logprobs) {
  json places = json::array();
  const json *tokens = member(logprobs, "tokens"), *values = member(logprobs, "token_logprobs"),
             *top = member(logprobs, "top_logprobs");
  if (tokens == nullptr || !tokens->is_array()) return places;
  for (size_t i = 0; i < tokens->size(); ++i) {
    json place = {{"token", (*tokens)[i]}, {"top_logprobs", json::array()}};
    if (values != nullptr && values->is_array() && i < values->size()) place["logprob"] = (*values)[i];
    if (top != nullptr && top->is_array() && i < top->size() && (*top)[i].is_object())
      for (const auto& [token, value] : (*top)[i].items())
        place["top_logprobs"].push_back({{"token", token}, {"logprob", value}});
    places.push_back(std::move(place));
  }
  return places;
}

json places_of(const std::string& body) {
  constexpr int kDeepest = 100;  // copies of deeper values could use up the stack
  if (!is_event_stream(body) && data::nesting_of(body) > kDeepest) return json::array();
  const json reply = json::parse(is_event_stream(body) ? answer_of_stream(body) : body, nullptr, false);
  const json* choices = member(reply, "choices");
  if (choices == nullptr || !choices->is_array() || choices->empty()) return json::array();
  const json* logprobs = member(choices->front(), "logprobs");
  if (logprobs == nullptr) return json::array();
  const json* content = member(*logprobs, "content");
  return content != nullptr && content->is_array() ? *content : places_of_completion(*logprobs);
}

std::optional<YesNo> word_of_answer(const std::string& word) {
  const std::string own = bare(word);
  if (own == "yes") return YesNo::kYes;
  if (own == "no") return YesNo::kNo;
  return std::nullopt;
}

// The JSON object of a text, which may have words around it.
json object_in(const std::string& text) {
  const size_t begin = text.find('{'), end = text.rfind('}');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return nullptr;
  constexpr size_t kLongest = size_t{1} << 14;
  if (end - begin > kLongest) return nullptr;
  return json::parse(text.substr(begin, end - begin + 1), nullptr, false);
}

std::vector<std::string> words_in(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : text + " ") {
    if (std::isalpha(uint8_t(c)) != 0 || uint8_t(c) >= 0x80) {
      word += c;
    } else if (!word.empty()) {
      words.push_back(ascii_lower(std::exchange(word, {})));
    }
  }
  return words;
}

std::optional<int> whole_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

// Every `"score": N` of a text that is not JSON as a whole, e.g. one object for each of several things.
std::set<int> scores_in(const std::string& text) {
  std::set<int> scores;
  for (size_t at = 0; (at = text.find("\"score\"", at)) != std::string::npos;) {
    at += std::string_view("\"score\"").size();
    const size_t begin = text.find_first_not_of(" \t\r\n:\"", at);
    if (begin == std::string::npos) break;
    const size_t end = std::min(text.find_first_not_of("0123456789", begin), text.size());
    if (const auto score = whole_number(std::string_view(text).substr(begin, end - begin)))
      scores.insert(*score);
  }
  return scores;
}

Judgement fault_of(AnswerFault fault, std::string detail) {
  return {.fault = fault, .detail = std::move(detail)};
}

Judgement by_probability(const AnswerRecord& record) {
  const auto chance = yes_no_chance(record.tokens);
  if (chance.mass() < kLeastMass)
    return fault_of(AnswerFault::kNotYesNo,
                    fmt::format("yes and no have {:.2g} of the probability", chance.mass()));
  Judgement result{.label = chance.probability() >= 0.5 ? "yes" : "no",
                   .value = chance.probability(),
                   .mass = chance.mass()};
  const auto said = yes_no_of(record.text);
  constexpr double kTie = 0.05;
  const bool is_said_otherwise = said && (*said == YesNo::kYes) != (chance.probability() >= 0.5);
  if (is_said_otherwise && std::abs(chance.probability() - 0.5) > kTie)
    return fault_of(AnswerFault::kBadProbabilities,
                    fmt::format("the text says {}, the probabilities say {}",
                                *said == YesNo::kYes ? "yes" : "no", result.label));
  return result;
}

Judgement by_text(const AnswerRecord& record) {
  const auto said = yes_no_of(record.text);
  if (!said) return fault_of(AnswerFault::kNotYesNo, "neither yes nor no: " + shortened(record.text));
  const bool is_yes = *said == YesNo::kYes;
  return {.label = is_yes ? "yes" : "no", .value = is_yes ? 1.0 : 0.0};
}

Judgement by_score(const AnswerRecord& record, const Scale& scale) {
  const auto score = score_of(record.text);
  if (!score) return fault_of(AnswerFault::kNoScore, "no score: " + shortened(record.text));
  const auto found = scale.find(*score);
  if (found == scale.end())
    return fault_of(AnswerFault::kNoScore, fmt::format("the score {} is not one of the scale", *score));
  return {.label = std::to_string(*score), .value = found->second};
}

}  // namespace

FirstToken first_token(const std::string& body) {
  const json places = places_of(body);
  for (const auto& place : places) {
    FirstToken found = chances_at(place);
    if (found.fault != AnswerFault::kNone) return found;
    const json* token = member(place, "token");
    const bool has_one = token != nullptr && token->is_string();
    if (!found.chances.empty() && (!has_one || has_letter(bare(token->get<std::string>())))) return found;
  }
  return faulty(AnswerFault::kNoProbabilities,
                "the answer has no probabilities of tokens: --samples K asks K times in their place");
}

YesNoChance yes_no_chance(const std::vector<TokenChance>& chances) {
  YesNoChance result;
  for (const auto& [token, logprob] : chances) {
    const auto word = word_of_answer(token);
    if (word) (*word == YesNo::kYes ? result.yes : result.no) += std::exp(logprob);
  }
  return result;
}

std::optional<YesNo> yes_no_of(const std::string& text) {
  const json object = object_in(text);
  if (const json* answer = member(object, "answer"); answer != nullptr) {
    if (answer->is_boolean()) return answer->get<bool>() ? YesNo::kYes : YesNo::kNo;
    return answer->is_string() ? word_of_answer(answer->get<std::string>()) : std::nullopt;
  }
  const auto words = words_in(text);
  if (words.empty()) return std::nullopt;
  const bool has_both =
      std::count(words.begin(), words.end(), "yes") > 0 && std::count(words.begin(), words.end(), "no") > 0;
  const auto first = word_of_answer(words.front()), last = word_of_answer(words.back());
  if (!has_both) return first ? first : last;
  // "Yes, there is no doubt", but not "Yes and no" and "No, or yes: I cannot say".
  return first == YesNo::kYes && !last ? first : std::nullopt;
}

std::optional<int> score_of(const std::string& text) {
  if (const auto number = whole_number(bare(text))) return number;
  const json object = object_in(text);
  if (const json* score = member(object, "score"); score != nullptr) {
    if (score->is_string()) return whole_number(trimmed(score->get<std::string>()));
    constexpr double kLargest = 1e6;
    if (!score->is_number() || !(std::abs(score->get<double>()) < kLargest)) return std::nullopt;
    const double value = score->get<double>();
    return value == std::floor(value) ? std::optional(int(value)) : std::nullopt;
  }
  const auto scores = scores_in(text);
  return scores.size() == 1 ? std::optional(*scores.begin()) : std::nullopt;
}

std::string to_json(const AnswerRecord& record) {
  json result = {{"text", record.text}};
  if (!record.raw.empty()) result["raw"] = record.raw;
  for (const auto& [token, logprob] : record.tokens) result["tokens"].push_back({token, logprob});
  return result.dump(-1, ' ', false, json::error_handler_t::replace);
}

AnswerRecord answer_record(const std::string& text) {
  AnswerRecord record;
  const json stored = json::parse(text, nullptr, false);
  if (const json* own = member(stored, "text"); own != nullptr && own->is_string())
    record.text = own->get<std::string>();
  if (const json* own = member(stored, "raw"); own != nullptr && own->is_string())
    record.raw = own->get<std::string>();
  if (const json* tokens = member(stored, "tokens"); tokens != nullptr && tokens->is_array())
    for (const auto& token : *tokens)
      if (token.is_array() && token.size() == 2) add_chance(token[0], token[1], record.tokens);
  return record;
}

Judgement judged(AnswerForm form, const AnswerRecord& record, const Scale& scale) {
  switch (form) {
    case AnswerForm::kProbability:
      return by_probability(record);
    case AnswerForm::kYesNo:
      return by_text(record);
    case AnswerForm::kScore:
      return by_score(record, scale);
    case AnswerForm::kDescription:
      break;
  }
  return {};
}

Answer read_judgement(AnswerForm form, const std::string& body, const Scale& scale) {
  Answer answer = parse_message(body, /*may_be_cut=*/form == AnswerForm::kProbability);
  AnswerRecord record{.text = answer.text};
  const auto finish = [&](AnswerFault fault, const std::string& detail) {
    answer.fault = fault;
    answer.detail = detail;
    answer.text = to_json(record);
    return answer;
  };
  if (answer.fault == AnswerFault::kTruncated) record.text = parse_message(body, /*may_be_cut=*/true).text;
  if (answer.fault != AnswerFault::kNone) return finish(answer.fault, answer.detail);
  if (form == AnswerForm::kProbability) {
    FirstToken first = first_token(body);
    record.tokens = std::move(first.chances);
    if (first.fault != AnswerFault::kNone) return finish(first.fault, first.detail);
  } else {
    // The rules that keep thoughts and refusals out of captions.
    const CleanText clean =
        clean_answer(record.text, Reasoning::kRemove,
                     form == AnswerForm::kDescription ? Wrappings::kRemoved : Wrappings::kKept);
    if (clean.fault != AnswerFault::kNone) return finish(clean.fault, shortened(clean.detail));
    if (clean.text != record.text) record.raw = std::exchange(record.text, clean.text);
    answer.cleaned = clean.cleaned;
  }
  const Judgement result = judged(form, record, scale);
  return finish(result.fault, result.detail);
}

}  // namespace pixart::caption

#include "prompt_units.h"

#include <algorithm>

#include "pixart/base/words.h"

namespace pixart::text {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c & 0x80) != 0;
}

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
size_t end_of_word(std::string_view text, size_t begin) {
  size_t end = begin;
  const auto joins = [&](size_t at) {  // "11:44", "U.S", "O'Neil" but not "bride's"
    const char c = text[at];
    if (at + 1 >= text.size() || !is_letter(text[at + 1])) return false;
    return c == ':' || c == '.' ||
           (c == '\'' && !(text[at + 1] == 's' && (at + 2 == text.size() || !is_letter(text[at + 2]))));
  };
  while (end < text.size() && (is_letter(text[end]) || (end > begin && joins(end)))) ++end;
  if (end > begin) return end;
  const bool is_possessive = text[begin] == '\'' && begin + 1 < text.size() && text[begin + 1] == 's';
  return begin + (is_possessive ? 2 : 1);
}

}  // namespace

std::vector<PromptWord> split_prompt(std::string_view text) {
  std::vector<PromptWord> words;
  for (size_t at = 0; at < text.size();) {
    if (is_blank(text[at])) {
      ++at;
      continue;
    }
    const size_t end = end_of_word(text, at);
    words.push_back({std::string(text.substr(at, end - at)), at});
    at = end;
  }
  return words;
}

bool is_hyphen(const PromptWord& word) { return word.text == "-"; }

namespace {

bool touches(const PromptWord& word, const PromptWord& next) {
  return word.begin + word.text.size() == next.begin;
}

bool begins_with_mid(const std::string& word) { return word == "mid"; }

// Whether the words i - 1, i and i + 1 are "tie", "-" and "dye".
bool joins_words(const std::vector<PromptWord>& words, size_t i) {
  return i > 0 && i + 1 < words.size() && is_hyphen(words[i]) && touches(words[i - 1], words[i]) &&
         touches(words[i], words[i + 1]) && is_letter(words[i + 1].text.front()) &&
         is_letter(words[i - 1].text.front());
}

constexpr size_t kMostWords = 1000;

WordEvidence of_compound() { return {.noun = 1, .adjective = 2}; }

}  // namespace

std::vector<Unit> units_of(const WordNet& wordnet, const std::vector<PromptWord>& words) {
  std::vector<Unit> units;
  for (size_t i = 0; i < std::min(words.size(), kMostWords); ++i) {
    Unit unit{.first = i, .last = i, .lower = ascii_lower(words[i].text)};
    while (joins_words(words, unit.last + 1) && !begins_with_mid(unit.lower)) unit.last += 2;
    i = unit.last;
    if (!is_letter(unit.lower.front()) && unit.lower != "'s")
      unit.closed = WordClass::kOther;
    else if (unit.last > unit.first)
      unit.evidence = of_compound();
    else if (unit.lower.front() >= '0' && unit.lower.front() <= '9')
      unit.closed = unit.lower.find(':') == std::string::npos ? WordClass::kNumber : WordClass::kOther;
    else
      unit.closed = closed_class(unit.lower);
    // spaCy takes the hyphen of "in mid-air" for what the preposition belongs to.
    if (is_hyphen(words[i]) && !units.empty() && begins_with_mid(units.back().lower))
      unit.closed = WordClass::kPronoun;
    if (!unit.closed && unit.last == unit.first) unit.evidence = evidence_of(wordnet, unit.lower);
    if (i + 1 == words.size() && is_like_past_at_end(unit.lower))
      unit.evidence.noun = 0, unit.evidence.past = 0.5;
    units.push_back(std::move(unit));
  }
  return units;
}

}  // namespace pixart::text

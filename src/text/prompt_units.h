// The words of a prompt, and what WordNet and the closed classes say of them.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/text/noun_chunks.h"
#include "word_classes.h"

namespace pixart::text {

// A word, or words that hyphens join.
struct Unit {
  size_t first = 0, last = 0;  // places of its words
  std::string lower = {};
  std::optional<WordClass> closed = {};
  WordEvidence evidence = {};
  WordClass word_class = WordClass::kOther;
};

std::vector<PromptWord> split_prompt(std::string_view prompt);
// Of the first 1,000 words. Their classes are not decided yet.
std::vector<Unit> units_of(const WordNet& wordnet, const std::vector<PromptWord>& words);
bool is_hyphen(const PromptWord& word);
bool is_letter(char c);  // or a digit, or a part of a character beyond ASCII

}  // namespace pixart::text

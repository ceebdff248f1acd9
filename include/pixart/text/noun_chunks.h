// The noun phrases of short English prompts, in the sense of spaCy's noun chunks, which are the questions of
// T2I-CompBench: "a green bench and a blue bowl" has the chunks "a green bench" and "a blue bowl".
//
// No trained model is needed. Closed classes of words (articles, prepositions, pronouns, auxiliary verbs) are listed
// (src/text/word_classes.cpp); all other words have the classes and the numbers of uses that WordNet says. Rules
// decide from left to right, by the words around, where a phrase begins and ends.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/text/nouns.h"

namespace pixart::text {

enum class WordClass {
  kOther,       // punctuation, symbols
  kDeterminer,  // also possessives
  kNumber,
  kAdjective,  // also participles that WordNet lists as adjectives
  kNoun,
  kPronoun,
  kVerb,
  kAdverb,
  kPreposition,  // also particles and the 's of a possessive
  kConjunction,
  kProperNoun,  // never of NounChunker, which takes them for nouns
};

struct PromptWord {
  std::string text = {};  // as it is written
  size_t begin = 0;       // its place in the prompt, in bytes
  WordClass word_class = WordClass::kOther;
};

class NounChunker {
 public:
  // Reads WordNet as NounFinder does, and throws the same errors.
  explicit NounChunker(const std::filesystem::path& folder = wordnet_folder());
  ~NounChunker();
  NounChunker(NounChunker&&) noexcept;

  // The words of a prompt, split as spaCy splits: at blanks, and around punctuation and hyphens.
  std::vector<PromptWord> words(std::string_view prompt) const;

  // Pieces of the prompt, in order.
  std::vector<std::string> chunks(std::string_view prompt) const;

  // Its words with blanks between them, without the adjectives.
  std::string without_adjectives(std::string_view prompt) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::text

// Finds the nouns of a caption and their base forms, which the paper counts to compare captions (Table 1).
//
// The paper uses NLTK's tagger, a trained model of English. This code uses WordNet's dictionary with the
// counts of its tagged texts (how often "light" was a noun, a verb, an adjective), and these rules:
//
//  1. A word is a run of letters, marks and digits with single apostrophes and hyphens inside; it is
//     lower-cased, and an 's at its end is removed. "traffic light" is two words; "ice-cream" is one word:
//     WordNet is searched for it with the hyphen, with _ and without either.
//  2. Never nouns: single letters, words that begin with a digit, and a closed list of English function words
//     (src/text/function_words.cpp): WordNet has "in", "as", "he", "no" for chemical elements and so on.
//  3. Base forms by WordNet's own rules (morphy): the exception lists, then the endings s, ses, xes, zes,
//     ches, shes, men, ies, and -ful. Of several ("glasses": glass, glasses) the best-attested counts.
//  4. A word is a noun if the evidence for a noun is at least as great as that for a verb, for an adjective
//     and for an adverb. Evidence = the tagged uses of the base form times the share of uses that have this
//     form: for nouns 0.75 singular, 0.25 plural; for verbs 0.4 plain, 0.1 -s, 0.3 past or participle,
//     0.2 -ing.
//  5. Within a noun phrase (after an article, possessive or number, as long as adjectives follow) there is no
//     finite verb: these shares are 0, and 0.05 for -ing. So "bear" is a noun in "a bear", but not in "they
//     bear".
//  6. A word that is in no file of WordNet is unknown: a name, a misspelling, another language. Unknown words
//     are counted separately.
//
// Against hand-marked captions (tests/unit/text/noun_captions*.txt) precision and recall are about 0.96; the
// test prints them. One difference to the paper's numbers: a tagger calls most unknown words nouns, and so
// finds many more distinct nouns in text from the web, nearly all of them rare. Totals and nouns per image
// are comparable.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pixart::text {

// $WNSEARCHDIR, as for WordNet's own programs, or the folder of Debian's package wordnet-base.
std::filesystem::path wordnet_folder();

struct CaptionNouns {
  int64_t words = 0;
  std::vector<uint32_t> nouns;       // numbers for NounFinder::name(), in the caption's order
  std::vector<std::string> unknown;  // words that WordNet does not have, lower-case, in the caption's order
};

// Caches the first kMostCached different words that it sees; for one thread only.
class NounFinder {
 public:
  // Reads index.{noun,verb,adj,adv}, {noun,verb,adj}.exc and cntlist.rev; takes about 0.1 s. Throws UserError
  // that names the missing files and their package, or the line that cannot be read.
  explicit NounFinder(const std::filesystem::path& folder = wordnet_folder());
  // A copy is for another thread. It shares the dictionary, and numbers are the same in both.
  NounFinder(const NounFinder& other);
  ~NounFinder();
  NounFinder& operator=(const NounFinder&) = delete;

  // Finds the nouns of UTF-8 text; invalid bytes separate words. Overwrites `found`.
  void find(std::string_view caption, CaptionNouns& found);
  std::string name(uint32_t number) const;  // the base form: "light", "ice cream"
  size_t num_cached() const;

  static constexpr size_t kMostCached = size_t{1} << 16;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::text

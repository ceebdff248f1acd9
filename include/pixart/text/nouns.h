// Which words of a caption are nouns, and their base forms: what the paper counts to compare captions (Table
// 1).
//
// The paper uses NLTK's tagger, a trained model of English. Here is no tagger but WordNet's dictionary with
// the counts of its tagged texts (how often "light" was a noun, a verb, an adjective), and this rule:
//
//  1. A word is a run of letters, marks and digits with single apostrophes and hyphens inside; it is
//  lower-cased,
//     and an 's at its end is taken off. "traffic light" is two words; "ice-cream" is one, found as WordNet
//     finds it: as it stands, with _ or nothing for the hyphen.
//  2. Never nouns: single letters, words that begin with a digit, and a closed list of English function words
//     (src/text/function_words.cpp): WordNet has "in", "as", "he", "no" for chemical elements and the like.
//  3. Base forms by WordNet's own rules (morphy): the exception lists, then the endings s, ses, xes, zes,
//  ches,
//     shes, men, ies, and -ful. Of several ("glasses": glass, glasses) the one with the most evidence counts.
//  4. A word is a noun where the evidence for a noun is at least as great as that for a verb, for an
//  adjective and
//     for an adverb. Evidence = the tagged uses of the base form times the share of its uses that have the
//     form at hand: of nouns 0.75 singular, 0.25 plural; of verbs 0.4 plain, 0.1 -s, 0.3 past or participle,
//     0.2 -ing.
//  5. Within a noun phrase (after an article, possessive, number or the like, as long as adjectives follow)
//  there
//     is no finite verb: the shares are 0 there, and 0.05 for -ing. So "a bear" is a noun, "they bear" is
//     none.
//  6. A word that no file of WordNet has is unknown: a name, a misspelling, another language. It is counted
//  apart.
//
// Against hand-marked captions (tests/unit/text/noun_captions*.txt) precision and recall are about 0.96; the
// test prints them. What differs from the paper's numbers: a tagger calls most unknown words nouns, and so
// finds many more different nouns in text from the web, nearly all of them rare; totals and nouns per image
// compare well.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pixart::text {

// $WNSEARCHDIR, as for WordNet's own programs, or where Debian's package wordnet-base puts its files.
std::filesystem::path wordnet_folder();

struct CaptionNouns {
  int64_t words = 0;
  std::vector<uint32_t> nouns, unknown;  // numbers for NounFinder::name(), in the order of the caption
};

// Remembers each word that it has seen; for one thread.
class NounFinder {
 public:
  // Reads index.{noun,verb,adj,adv}, {noun,verb,adj}.exc and cntlist.rev; takes about 0.1 s. Throws UserError
  // that names the files that are missing and the package that has them, or the line that cannot be read.
  explicit NounFinder(const std::filesystem::path& folder = wordnet_folder());
  ~NounFinder();
  NounFinder(const NounFinder&) = delete;
  NounFinder& operator=(const NounFinder&) = delete;

  // Of UTF-8 text, whose invalid bytes separate words. Overwrites `found`.
  void find(std::string_view caption, CaptionNouns& found);
  const std::string& name(uint32_t number) const;  // the base form: "light", "ice cream"
  size_t num_names() const;                        // numbers given so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::text

#include "word_classes.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace pixart::text {
namespace {

using Set = std::unordered_set<std::string_view>;

const Set& determiners() {
  static const Set words{"a",   "an",    "the",   "this",   "these",   "those",   "some", "any",
                         "no",  "every", "each",  "either", "neither", "another", "many", "several",
                         "few", "both",  "all",   "half",   "my",      "your",    "his",  "her",
                         "its", "our",   "their", "whose",  "such",    "more",    "most", "much"};
  return words;
}

const Set& numbers() {
  static const Set words{"one",  "two", "three",  "four",   "five",   "six",     "seven",   "eight",
                         "nine", "ten", "eleven", "twelve", "twenty", "hundred", "thousand"};
  return words;
}

const Set& pronouns() {
  static const Set words{"i",       "me",         "we",      "us",        "you",       "he",
                         "him",     "she",        "it",      "they",      "them",      "who",
                         "whom",    "which",      "that",    "what",      "itself",    "himself",
                         "herself", "themselves", "someone", "something", "everyone",  "everything",
                         "anyone",  "anything",   "nothing", "nobody",    "everybody", "somebody"};
  return words;
}

const Set& auxiliaries() {
  static const Set words{"be",   "am",    "is",     "are",  "was",   "were",   "been",  "being", "have",
                         "has",  "had",   "do",     "does", "did",   "can",    "could", "may",   "might",
                         "must", "shall", "should", "will", "would", "having", "'re",   "'ve",   "'ll"};
  return words;
}

// Those that end a phrase whatever follows.
const Set& prepositions() {
  static const Set words{"of",      "in",         "on",      "at",      "with",   "from",      "into",
                         "onto",    "by",         "for",     "to",      "under",  "over",      "above",
                         "below",   "beneath",    "behind",  "between", "among",  "against",   "along",
                         "across",  "around",     "through", "near",    "toward", "towards",   "inside",
                         "outside", "within",     "without", "upon",    "during", "beside",    "beyond",
                         "past",    "like",       "as",      "than",    "up",     "down",      "out",
                         "off",     "about",      "after",   "before",  "amid",   "amidst",    "amongst",
                         "atop",    "underneath", "until",   "since",   "via",    "alongside", "throughout",
                         "despite", "except",     "if",      "because", "while",  "whilst",    "although",
                         "though",  "'s",         "'",       "away"};
  return words;
}

const Set& particles() {
  static const Set words{"up",     "down",    "out",     "off",  "below",  "above",  "around", "along",
                         "across", "through", "outside", "over", "inside", "behind", "away",   "past"};
  return words;
}

const Set& adverbs() {
  static const Set words{"not",     "n't",   "very",     "too",   "just",     "only",    "even",
                         "still",   "then",  "there",    "here",  "now",      "again",   "almost",
                         "already", "quite", "together", "else",  "also",     "when",    "where",
                         "how",     "why",   "always",   "never", "often",    "perhaps", "apart",
                         "next",    "so",    "once",     "forth", "otherwise"};
  return words;
}

const Set& conjunctions() {
  static const Set words{"and", "or", "but", "nor", "yet", "&"};
  return words;
}

}  // namespace

bool is_auxiliary(std::string_view word) { return auxiliaries().contains(word); }
bool is_modal(std::string_view word) {
  static const Set words{"can", "could", "may", "might", "must", "shall", "should", "will", "would"};
  return words.contains(word);
}
bool is_possessive(std::string_view word) {
  static const Set words{"my", "your", "his", "her", "its", "our", "their", "whose", "'s"};
  return words.contains(word);
}
bool is_particle(std::string_view word) { return particles().contains(word); }
bool is_like_adjective(std::string_view word) {
  static const Set words{"acoustic",   "croissant", "cynic",   "decal",   "decimal",     "emigrant",
                         "locomotive", "mammal",    "numeral", "pendant", "photomosaic", "pollutant",
                         "purgative",  "stoic",     "urinal",  "vestal",  "victual"};
  return words.contains(word);
}
bool is_like_past_after_noun(std::string_view word) {
  static const Set words{"blowgun", "dreadnought", "heathen", "oven", "token"};
  return words.contains(word);
}
bool is_like_past_at_end(std::string_view word) {
  static const Set words{"deathbed", "featherbed", "flatbed", "hotbed", "sled"};
  return words.contains(word);
}
bool is_like_pronoun(std::string_view word) { return word.ends_with("elf") && word != "shelf"; }
bool is_shape_like_noun(std::string_view word) {
  static const Set words{"biconvex", "concave", "convex",     "crescent",  "cuboidal",      "decagonal",
                         "globular", "oblate",  "ovoid",      "pyramidal", "quadrilateral", "rhomboidal",
                         "ringlike", "rotund",  "spheroidal", "square",    "trapezoidal",   "triangular"};
  return words.contains(word);
}
bool begins_clause(std::string_view word) {
  static const Set words{"while", "whilst", "as",      "which",    "that",   "who", "when",
                         "where", "if",     "because", "although", "though", "but", "so"};
  return words.contains(word);
}

std::optional<WordClass> closed_class(std::string_view word) {
  if (is_auxiliary(word)) return WordClass::kVerb;
  if (determiners().contains(word)) return WordClass::kDeterminer;
  if (numbers().contains(word)) return WordClass::kNumber;
  if (pronouns().contains(word)) return WordClass::kPronoun;
  if (prepositions().contains(word)) return WordClass::kPreposition;
  if (conjunctions().contains(word)) return WordClass::kConjunction;
  if (adverbs().contains(word)) return WordClass::kAdverb;
  return std::nullopt;
}

namespace {

double& use_of(WordEvidence& evidence, Form form) {
  switch (form) {
    case Form::kBase:
      return evidence.base;
    case Form::kS:
      return evidence.third;
    case Form::kPast:
      return evidence.past;
    case Form::kIng:
      return evidence.ing;
  }
  return evidence.base;
}

// Of a word that WordNet does not have: by its ending.
WordEvidence guessed(std::string_view word) {
  WordEvidence evidence;
  if (word.ends_with("ing"))
    evidence.ing = 1;
  else if (word.ends_with("ed"))
    evidence.past = evidence.adjective = 1;
  else if (word.ends_with("ly"))
    evidence.adverb = 1;
  else
    evidence.noun = 1;
  if (word.ends_with("y")) evidence.adjective = 2;
  evidence.is_plural = word.ends_with("s") && !word.ends_with("ss");
  return evidence;
}

// Nouns that look like participles, and which spaCy's small English model takes for verbs even in "a red rose"; others ("saw",
// "shot", "bed") it takes for nouns there. Found by asking it about all nouns of WordNet that end like an irregular past.
bool is_only_past(std::string_view word) {
  static const Set words{"acorn",    "blackthorn", "bobsled",   "bound",  "cowshed", "daybed", "dogsled",
                         "fell",     "felt",       "flowerbed", "found",  "lit",     "lost",   "moped",
                         "purebred", "quadruped",  "rose",      "sat",    "seedbed", "sent",   "shook",
                         "spoke",    "tricorn",    "woodshed",  "worsted"};
  return words.contains(word);
}

// Verbs whose past has the form of the base.
bool is_own_past(std::string_view word) {
  static const Set words{"bet",  "bid",  "broadcast", "burst",  "cast",   "cost", "cut", "fit",  "hit",
                         "hurt", "knit", "let",       "put",    "quit",   "rid",  "set", "shed", "shut",
                         "slit", "spit", "split",     "spread", "thrust", "wed",  "wet"};
  return words.contains(word);
}

}  // namespace

WordEvidence evidence_of(const WordNet& wordnet, std::string_view word) {
  WordEvidence evidence;
  const auto add = [](double& to, double uses) { to = std::max(to, uses + 0.5); };
  for (const auto& base : base_forms(wordnet, word, kNoun)) {
    add(evidence.noun, base.uses);
    if (base.form == Form::kS) evidence.is_plural = true;
  }
  for (const auto& base : base_forms(wordnet, word, kVerb)) add(use_of(evidence, base.form), base.uses);
  if (is_own_past(word)) evidence.past = evidence.base;
  if (is_only_past(word)) evidence.noun = 0, evidence.past = std::max(evidence.past, 0.5);
  for (const auto& base : base_forms(wordnet, word, kAdjective)) add(evidence.adjective, base.uses);
  for (const auto& base : base_forms(wordnet, word, kAdverb)) add(evidence.adverb, base.uses);
  if (evidence.noun + evidence.verb() + evidence.adjective + evidence.adverb == 0) return guessed(word);
  return evidence;
}

}  // namespace pixart::text

#include "function_words.h"

#include <unordered_set>

namespace pixart::text {
namespace {

using Words = std::unordered_set<std::string_view>;

// "that" is not here: in captions it mostly begins a clause.
const Words& openers() {
  static const Words words{"a",    "an",    "the",   "this",   "these",   "those",   "some",   "any",
                           "no",   "every", "each",  "either", "neither", "another", "many",   "several",
                           "few",  "both",  "all",   "other",  "my",      "your",    "his",    "her",
                           "its",  "our",   "their", "whose",  "one",     "two",     "three",  "four",
                           "five", "six",   "seven", "eight",  "nine",    "ten",     "eleven", "twelve"};
  return words;
}

const Words& others() {
  static const Words words{
      // pronouns
      "i", "me", "mine", "myself", "we", "us", "ours", "ourselves", "you", "yours", "yourself", "yourselves",
      "he", "him", "himself", "she", "hers", "herself", "it", "itself", "they", "them", "theirs",
      "themselves", "ones", "oneself", "someone", "somebody", "something", "anyone", "anybody", "anything",
      "everyone", "everybody", "everything", "nobody", "nothing", "none", "others", "who", "whom", "what",
      "which", "that", "whoever", "whatever", "whichever",
      // quantities
      "half", "such", "much", "more", "most", "fewer", "fewest", "less", "least", "enough", "same", "own",
      // auxiliary verbs
      "be", "am", "is", "are", "was", "were", "been", "being", "have", "has", "had", "having", "do", "does",
      "did", "doing", "done", "can", "could", "may", "might", "must", "shall", "should", "will", "would",
      "ought", "cannot",
      // prepositions
      "about", "above", "across", "after", "against", "along", "alongside", "amid", "among", "amongst",
      "around", "as", "at", "atop", "before", "behind", "below", "beneath", "beside", "besides", "between",
      "beyond", "but", "by", "despite", "down", "during", "except", "for", "from", "in", "inside", "into",
      "like", "near", "next", "of", "off", "on", "onto", "opposite", "out", "outside", "over", "past", "per",
      "plus", "since", "than", "through", "throughout", "till", "to", "toward", "towards", "under",
      "underneath", "unlike", "until", "up", "upon", "via", "versus", "vs", "with", "within", "without",
      // conjunctions and the words of questions
      "and", "or", "nor", "so", "yet", "if", "because", "although", "though", "while", "whereas", "when",
      "where", "why", "how", "whether", "unless", "once",
      // adverbs without content
      "not", "never", "always", "often", "ever", "also", "very", "too", "just", "only", "even", "still",
      "then", "there", "here", "now", "again", "almost", "already", "rather", "quite", "perhaps", "well",
      "away", "together", "else", "first", "second", "third", "last", "yes", "oh", "ok", "etc"};
  return words;
}

}  // namespace

bool is_function_word(std::string_view word) { return others().contains(word) || openers().contains(word); }
bool opens_noun_phrase(std::string_view word) { return openers().contains(word); }

}  // namespace pixart::text

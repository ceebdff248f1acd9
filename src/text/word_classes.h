// The closed classes of English words, and what WordNet says of all others.
#pragma once
#include <array>
#include <optional>
#include <string_view>

#include "pixart/text/noun_chunks.h"
#include "wordnet.h"

namespace pixart::text {

// The class of a word of a closed class, in lower case.
std::optional<WordClass> closed_class(std::string_view word);
bool is_auxiliary(std::string_view word);  // a form of be, have or do, or a modal verb
bool is_modal(std::string_view word);      // after which a verb has its base form
bool is_possessive(std::string_view word);
bool is_particle(
    std::string_view word);  // a preposition that may follow a verb without a noun: "up", "below"
// What spaCy's small English model mistakes by their endings; found by asking it about such words of WordNet.
bool is_like_adjective(std::string_view word);        // nouns: "pendant", "decal"
bool is_like_past_after_noun(std::string_view word);  // nouns: "oven"
bool is_like_past_at_end(std::string_view word);      // nouns, but only where the prompt ends: "sled"
bool is_like_pronoun(std::string_view word);          // "bookshelf", "elf", as "itself"
bool is_shape_like_noun(std::string_view word);       // adjectives: "triangular"
bool begins_clause(std::string_view word);            // "while", "as", "which"

// What a word of an open class may be. Uses are those of WordNet's tagged texts, plus a half for each listed lemma.
struct WordEvidence {
  double noun = 0, adjective = 0, adverb = 0;
  double base = 0, third = 0, past = 0, ing = 0;  // forms of a verb
  bool is_plural = false;
  double verb() const { return base + third + past + ing; }
};
WordEvidence evidence_of(const WordNet& wordnet, std::string_view word);

}  // namespace pixart::text

// What spaCy 3's networks see of a word: numbers for its texts, and its norm, prefix, suffix and shape.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pixart::text {

// The number of a text in spaCy's StringStore: MurmurHash64A of its bytes with seed 1, but 0 of "", and a small number of the
// texts that are also names of spaCy's symbols ("X", "det", "number"): spacy/symbols.pyx. Of these only names that can be
// a norm, prefix, suffix or shape are known: those in lower case, and those of at most three letters.
uint64_t spacy_string_id(std::string_view text);

// Norms of words, by the ids of the words: the table lexeme_norm of vocab/lookups.bin.
using SpacyNorms = std::unordered_map<uint64_t, std::string>;

// The norm of a word: of the table, of spaCy's list of quotes, dashes and currencies (lang/norm_exceptions.py), or in lower
// case.
std::string spacy_norm(std::string_view word, const SpacyNorms& norms);
std::string_view spacy_prefix(std::string_view word);  // its first character
std::string_view spacy_suffix(std::string_view word);  // its last three characters
std::string spacy_shape(
    std::string_view
        word);  // "Xxxxx" of "Harbor7s": runs of a kind are cut to four; "LONG" from 100 characters
bool is_all_space(std::string_view word);  // str.isspace()

// The first and the last `count` characters (code points), or all.
std::string_view first_characters(std::string_view text, size_t count);
std::string_view last_characters(std::string_view text, size_t count);
size_t num_characters(std::string_view text);

}  // namespace pixart::text

// English function words: a closed list of words that are never nouns here, although the dictionary of nouns
// has "in" (inch), "he" (helium) and "can" (tin).
#pragma once
#include <string_view>

namespace pixart::text {

bool is_function_word(std::string_view word);  // lower-case
// The function words and numbers after which a noun must follow before a finite verb can.
bool opens_noun_phrase(std::string_view word);

}  // namespace pixart::text

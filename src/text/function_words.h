// English words that say how others belong together: a closed list, so that a dictionary of nouns which also
// has "in" (inch), "he" (helium) and "can" (tin) can be asked about the rest.
#pragma once
#include <string_view>

namespace pixart::text {

bool is_function_word(std::string_view word);  // lower-case
// The function words, and numbers, behind which a noun follows before a finite verb can.
bool opens_noun_phrase(std::string_view word);

}  // namespace pixart::text

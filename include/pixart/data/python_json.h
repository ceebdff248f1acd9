#pragma once
#include <string>

namespace pixart::data {

// Writes an empty text, padded with blanks to the same length, in place of each NaN, Infinity and -Infinity
// outside of texts: no JSON values, but Python's json.dumps writes them for numbers that are missing. False
// if there are none.
bool blank_python_numbers(std::string& json);

}  // namespace pixart::data

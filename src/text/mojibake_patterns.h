// The two patterns that recognise mojibake; verbose (spaces outside [] do not count).
#pragma once
#include <string>

namespace pixart::text {

std::string bad_neighbours_pattern();  // neighbours that are rare in correctly decoded text
std::string mistaken_utf8_pattern();   // runs of possible UTF-8 sequences in a single-byte encoding

}  // namespace pixart::text

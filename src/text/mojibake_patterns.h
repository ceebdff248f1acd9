// The two patterns by which mojibake is recognised; verbose (spaces outside [] do not count).
#pragma once
#include <string>

namespace pixart::text {

std::string bad_neighbours_pattern();  // neighbours that hardly occur in text that was decoded right
std::string mistaken_utf8_pattern();   // runs of what may be UTF-8 sequences in a single-byte encoding

}  // namespace pixart::text

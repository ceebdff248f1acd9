// SentencePiece's precompiled character map: which sequences of characters its normaliser replaces, by what.
#pragma once
#include <string>
#include <string_view>

namespace pixart::text {

// What is wrong with the bytes of a map, or "". SentencePiece follows the offsets in them without looking
// where they lead, so a map of unknown origin must pass this first.
std::string damage_of_character_map(std::string_view map);

}  // namespace pixart::text

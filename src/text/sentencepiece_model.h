// The bytes of a spiece.model.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "unigram.h"

namespace pixart::text {

// A unigram model with T5's special ids, for SentencePieceProcessor::LoadFromSerializedProto(). `pieces`
// are in the order of their ids, the special ones among them. With an empty `character_map` characters stay
// as they are. White space at the ends goes away, runs become one space, and a text begins with a space, as
// in T5's own.
std::string sentencepiece_model(const std::vector<UnigramSegmenter::Piece>& pieces,
                                std::string_view character_map);

// What is wrong with the character maps of a spiece.model; "" if nothing is. SentencePiece follows the offsets
// in a map without comparing them with its end. Bytes that are no message at all are left to SentencePiece.
std::string damage_of_character_maps(std::string_view model);

}  // namespace pixart::text

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

}  // namespace pixart::text

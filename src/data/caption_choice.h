// Chooses the captions of listed rows.
#pragma once
#include "records.h"

namespace pixart::data {

// The captions that the config chooses, in its order and with its weights, and those that are joined from files (of pixart
// caption, or .parquet); without `captions` in the config those of the first kind that a row has. Sets the captions of all
// rows, and rejects rows with invalid ones. Throws UserError if a kind has no caption.
SpilledVector<CaptionPlace> choose_captions(const SourceConfig& config, Listing& listing);

}  // namespace pixart::data

// Tells the kinds of PixArt apart: PixArt-alpha with and without micro-conditions, and PixArt-Sigma.
#pragma once
#include "pixart/convert/layout.h"

namespace pixart::convert {

// From names and shapes under official names: max_tokens, multi_scale, micro_conditions, kv_compression.
// Weights without micro-condition embedders are PixArt-Sigma's if the null caption has 300 rows, or if blocks
// compress keys and values by a convolution. Other samplings have no weights: only metadata tell them.
void read_text_sizes(const formats::Weights& weights, int64_t depth, const LayoutHints& hints,
                     models::PixArtConfig& config);

// Adds what the config.json of a diffusers PixArt does not tell: max_tokens and multi_scale. The first of these
// that tells it is used: the metadata of this program, its own entries in config.json, the pipeline folder
// around the weights and `hints`, the sizes (added to identity.assumed). Other models are left as they are.
void complete_diffusers_config(Opened& opened, const LayoutHints& hints);

// Side of the latent / 64. For PixArt-alpha a whole number, at least 1.
double published_position_scale(const models::PixArtConfig& config);

// The latent side of a PixArt-Sigma with these positions.
int64_t published_sigma_side(double position_scale);

}  // namespace pixart::convert

// The class-to-text re-parameterisation: a trained DiT becomes the start of a PixArt (arXiv 2310.00426, 2.3).
// With W_i, b_i the adaLN layers of the DiT, e its timestep MLP at t = 500 without class embedding, and
// a = SiLU(e):
//   t_block.1                     := W, b = the mean of W_i, b_i (or block k's)
//   blocks.i.scale_shift_table    := reshape(W_i a + b_i - (W a + b), (6, D))
//   final_layer.scale_shift_table := reshape(W_f a + b_f, (2, D)) - e
// so that at t = 500 every block computes what the DiT computes, for any text (cross-attention output is
// zero).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "pixart/models/transformer.h"

namespace pixart::convert {

enum class Disposition { kCopied, kDerived, kNewInit, kDropped };

struct PlannedTensor {
  std::string name;
  Disposition disposition;
  std::string how;  // formula or initialisation, for people
  int64_t bytes = 0;
};

struct ReparameterizeOptions {
  std::string shared_modulation = "mean";  // or "block:<i>"
  models::TransformerInit init = {};       // of what is new
};

// One line per tensor of either side; refuses (UserError) if a tensor of either side is unaccounted for.
std::vector<PlannedTensor> plan_reparameterization(const nn::StateDict& dit, const nn::StateDict& pixart);

// Fills `target` from the DiT. Both were built with their configs; width, depth, heads and patch must agree.
// Throws UserError before anything is written.
std::vector<PlannedTensor> reparameterize(const nn::StateDict& dit, const models::DitConfig& dit_config,
                                          nn::StateDict& target, const models::PixArtConfig& target_config,
                                          const ReparameterizeOptions& options);

// Largest difference between both models' outputs on random latents at t = 500 (DiT without label embedding,
// positions of the target). What fresh micro-condition embedders add is taken out of `pixart_state` for the
// while. Above kLargestProofDifference the conversion is wrong.
inline constexpr double kLargestProofDifference = 1e-4;  // float32
double prove_reparameterization(const models::Dit& dit, const models::PixArt& pixart,
                                nn::StateDict& pixart_state);

}  // namespace pixart::convert

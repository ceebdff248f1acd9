// The class-to-text re-parameterisation: a trained DiT becomes the initial PixArt (arXiv 2310.00426, 2.3).
// W_i, b_i are the adaLN layers of the DiT, e is its timestep MLP at t = 500 without class embedding:
//   a                             := SiLU(e)
//   t_block.1                     := W, b = the mean of W_i, b_i (or block k's)
//   blocks.i.scale_shift_table    := reshape(W_i a + b_i - (W a + b), (6, D))
//   final_layer.scale_shift_table := reshape(W_f a + b_f, (2, D)) - e
// At t = 500 every block then computes the same as the DiT, for any text (the output of cross-attention is
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
  models::TransformerInit init = {};       // for new tensors
  std::string source = "the DiT";          // its name in messages
};

// One line per tensor of either model. Throws UserError if a tensor of either model is unaccounted for.
std::vector<PlannedTensor> plan_reparameterization(const nn::StateDict& dit, const nn::StateDict& pixart);

// Throws UserError if reparameterize() cannot fill `target`, for another reason than values that are not finite.
// Reads no values, so both states may be on the meta device.
std::vector<PlannedTensor> check_reparameterization(const nn::StateDict& dit,
                                                    const models::DitConfig& dit_config,
                                                    const nn::StateDict& target,
                                                    const models::PixArtConfig& target_config,
                                                    const ReparameterizeOptions& options);

// Fills `target` from the DiT. Both were built with their configs. Width, depth, heads and patch must be
// equal, and the DiT's weights must be finite. Throws UserError before anything is written.
std::vector<PlannedTensor> reparameterize(const nn::StateDict& dit, const models::DitConfig& dit_config,
                                          nn::StateDict& target, const models::PixArtConfig& target_config,
                                          const ReparameterizeOptions& options);

// Largest accepted difference, as a share of the largest output. The rounding of float32 is 6e-8 of a value;
// in a DiT-XL/2 with random weights it adds up to 7e-7 (LibTorch 2.11, CPU). Trained weights and other
// kernels may round worse, so the limit is more than a hundred times larger. The rounding of bfloat16 (4e-3
// of a value) and a modulation that is wrong by a tenth exceed it.
inline constexpr double kLargestProofShare = 3e-4;

// Compares the outputs of both models for the same random latents at t = 500.
struct Proof {
  double difference = 0;  // largest difference of an output; NaN or infinite if an output is
  double largest = 0;     // largest output of the DiT
  double share() const { return difference == 0 ? 0 : difference / largest; }
  bool holds() const { return share() <= kLargestProofShare; }
};

// Computed at least in float32, whatever execution `dit` and `pixart` have (DiT without label embedding,
// positions of the target). Meanwhile `pixart_state` has no contribution of new micro-condition embedders.
Proof prove_reparameterization(const models::Dit& dit, const models::PixArt& pixart,
                               nn::StateDict& pixart_state);

// Throws UserError, which begins with `subject`, if the proof does not hold: the conversion is wrong, or
// outputs are not finite.
void require_proof(const Proof& proof, const std::string& subject);
std::string describe(const Proof& proof);  // "differ by at most 1.2e-07, 3.4e-08 of the largest output"

}  // namespace pixart::convert

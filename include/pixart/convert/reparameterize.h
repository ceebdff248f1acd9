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
  std::string source = "the DiT";          // what messages call it
};

// One line per tensor of either side; refuses (UserError) if a tensor of either side is unaccounted for.
std::vector<PlannedTensor> plan_reparameterization(const nn::StateDict& dit, const nn::StateDict& pixart);

// Fills `target` from the DiT. Both were built with their configs; width, depth, heads and patch must agree,
// and the numbers of the DiT must be finite. Throws UserError before anything is written.
std::vector<PlannedTensor> reparameterize(const nn::StateDict& dit, const models::DitConfig& dit_config,
                                          nn::StateDict& target, const models::PixArtConfig& target_config,
                                          const ReparameterizeOptions& options);

// Largest difference of a right conversion, as a share of the largest output. Rounding of float32 is 6e-8 of
// a number; in a DiT-XL/2 of random weights it comes to 7e-7 (LibTorch 2.11, CPU). Trained weights and other
// kernels may round worse, so there is room of two powers of ten and more. bfloat16, whose rounding is 4e-3
// of a number, and a modulation that is off by a tenth are above it.
inline constexpr double kLargestProofShare = 3e-4;

// What both models make of the same random latents at t = 500.
struct Proof {
  double difference = 0;  // largest difference of an output; NaN or infinite where an output is
  double largest = 0;     // largest output of the DiT
  double share() const { return difference == 0 ? 0 : difference / largest; }
  bool holds() const { return share() <= kLargestProofShare; }
};

// Computed in float32 at least, whatever `dit` and `pixart` are run in (DiT without label embedding,
// positions of the target). What fresh micro-condition embedders add is taken out of `pixart_state` for the
// while.
Proof prove_reparameterization(const models::Dit& dit, const models::PixArt& pixart,
                               nn::StateDict& pixart_state);

// UserError, which begins with `subject`, where the proof does not hold: the conversion is wrong, or outputs
// are not finite.
void require_proof(const Proof& proof, const std::string& subject);
std::string describe(const Proof& proof);  // "differ by at most 1.2e-07, 3.4e-08 of the largest output"

}  // namespace pixart::convert

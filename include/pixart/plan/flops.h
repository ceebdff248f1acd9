// Floating-point operations of a training sample; a multiply-add counts as two.
// Forward pass of a block with N image tokens of width D, T caption tokens and MLP ratio r:
//   self-attention projections 8 N D^2, scores and values 4 N^2 D, MLP 4 r N D^2
//   PixArt: cross-attention queries and output 4 N D^2, keys and values 4 T D^2, scores and values 4 N T D
//   DiT: modulation 12 D^2
//   where image tokens skip the block: N are those that pass it
//   compressed keys, M for N tokens: scores and values 4 N M D, convolutions R x R of keys and values 4 R^2 M D
//   ControlNet: a block more for each copy and 2 N D^2 for each of its linear layers, and the patches once more
// Outside the blocks: patches 2 N D p^2 C, output 2 N D p^2 O, timestep 2 D (256 + D), modulation 12 D^2
// (PixArt) or 4 D^2 (DiT's last), caption projection 2 T D (C_text + D), micro-conditions three times 2 D/3
// (256 + D/3). LoRA: 2 N for each adapter parameter. Element-wise work is not counted. The "Gflops" of the
// DiT paper are multiply-adds: half of these.
#pragma once
#include <cstdint>

#include "pixart/models/t5.h"
#include "pixart/models/transformer.h"
#include "pixart/models/vae.h"
#include "pixart/run/run_config.h"
#include "pixart/run/trained_parameters.h"

namespace pixart::plan {

struct Flops {
  double forward = 0;
  // Model FLOPs, which MFU counts. Backward computes gradients of all activations and of the trained weights,
  // but not of the patches and the caption features. Every image token passes all adapters, once forward and
  // twice backward.
  double training = 0;
  double executed = 0;  // including the blocks that are recomputed
};

// With `recompute_every` n, every n-th block is recomputed; 0: none.
Flops transformer_flops(const models::TransformerWork& work, int64_t recompute_every = 0,
                        const run::Trained& trained = {});

// Of a stage in which image tokens skip blocks in this share of the steps (`few`) and none later (`all`). The forward
// pass is that of all tokens, as samples are drawn.
Flops mixed(const Flops& few, const Flops& all, double share);

// Those of a sample of the stage: one that is distilled also runs its teacher twice and its target once.
Flops stage_flops(const run::StageConfig& stage, const models::TransformerWork& work,
                  const run::Trained& trained, int64_t recompute_every = 0);

// Cost of an autoencoder's convolutions and attention on an image of side x side pixels.
struct AutoencoderCost {
  double encode = 0, decode = 0;  // FLOPs, forward
  double saved_numbers = 0;       // elements that both keep for backward
};
AutoencoderCost autoencoder_cost(const models::VaeConfig& config, int64_t side);

// FLOPs of a T5 encoder on a caption of T tokens, with h heads of width k and L layers:
// L (8 T D h k + 4 T^2 h k + 6 T D D_ff).
double text_encoder_flops(const models::T5Config& config, int64_t tokens);

}  // namespace pixart::plan

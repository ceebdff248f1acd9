// Floating-point operations of a training sample, multiply and add counted apart (2 per multiply-add).
//
// Forward, per block, N image tokens of width D, T caption tokens, MLP ratio r:
//   self-attention projections 8 N D^2, scores and values 4 N^2 D, MLP 4 r N D^2
//   PixArt: cross-attention queries and output 4 N D^2, keys and values 4 T D^2, scores and values 4 N T D
//   DiT: modulation 12 D^2
// and outside the blocks: patches 2 N D p^2 C, output 2 N D p^2 O, timestep 2 D (256 + D), modulation 12 D^2
// (PixArt) or 4 D^2 (DiT's last), caption projection 2 T D (C_text + D), micro-conditions three times
// 2 D/3 (256 + D/3). LoRA: 2 N a number of the adapters. Element-wise work is not counted. The "Gflops" of
// the DiT paper are multiply-adds: half of these.
#pragma once
#include <cstdint>

#include "pixart/models/transformer.h"
#include "pixart/models/vae.h"

namespace pixart::train {

// What of a model is trained.
struct Trained {
  double share = 1;      // of the model's own parameters
  int64_t adapters = 0;  // numbers of LoRA's, beside them
};

struct Flops {
  double forward = 0;
  // Model FLOPs, what MFU counts. Backward makes gradients of all activations, and of weights as far as they
  // are trained; none of the patches and of the caption features. Every image token passes all adapters,
  // forward and twice backward.
  double training = 0;
  double executed = 0;  // with the blocks that are computed again
};

// Every n-th block is computed again.
Flops transformer_flops(const models::TransformerWork& work, int64_t recompute_every = 0,
                        const Trained& trained = {});

// Convolutions and attention of an autoencoder on a picture of side x side pixels.
struct AutoencoderCost {
  double encode = 0, decode = 0;  // FLOPs, forward
  double saved_numbers = 0;       // kept for backward by both
};
AutoencoderCost autoencoder_cost(const models::VaeConfig& config, int64_t side);

}  // namespace pixart::train

// Estimates the memory of a training step, part by part, before anything is allocated.
// Activations that are kept for backward, per block and image token, in elements (D: width, r: MLP ratio).
// "stream" is always float32, the rest has the type of the matrix products:
//
//   stream   the block's input, both norms' outputs, both branches' outputs, the stream in front of the MLP
//            (DiT: 6 D; PixArt: 6 D)
//   products modulated inputs of attention and MLP (2), q, k, v (3), attention's output (1); PixArt's
//            cross-attention: its input, q and output (3)                          (DiT: 6 D; PixArt: 9 D)
//   MLP      before and after GELU                                                 (2 r D)
//   float32  mean and deviation of both norms (4), a log-sum of each attention and head (h, PixArt 2 h)
//
// A block with compressed self-attention (M keys for N tokens) keeps 2 M D of the products' type more, and with
// a convolution 2 M D float32: its result before the norm.
// Per sample and block: keys and values of the caption (2 T D, products' type), modulation (8 D float32). The
// N x N attention matrix is never stored. A block that is recomputed keeps only its input (D float32 per
// token). Once per sample: patches, timestep MLP, captions as input and in three steps of their projection,
// the last norm, and about 28 tensors of the latent's size in the loss, of which 18 are kept.
// If only adapters (LoRA) are trained, the stream keeps both norms' inputs (2 D), each adapted layer adds its
// LoRA rank per token, and the layers before the blocks need no gradient: patches, timestep, and captions
// except their last step. The first block, whose input needs no gradient, is never recomputed.
// Several ranks sum gradients in place, in buckets; a CPU needs one more bucket for receiving. NCCL's own
// buffers are part of the reserve. With sharding each rank also holds the gathered EMA.
// The peak is the larger of two: the end of forward, and the start of a block's backward, where the gradients
// of the stream, a branch, the MLP's inner layer and one MLP weight come on top of the kept activations. A stage that
// encodes images or captions in its steps does so before: its peak is at least what the encoder needs meanwhile.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "pixart/plan/flops.h"

namespace pixart::plan {

struct MemoryParts {  // bytes, of one rank
  double weights = 0, low_precision_copies = 0, gradients = 0, optimizer = 0, ema = 0;
  double communication = 0;  // with several ranks
  double activations = 0;    // kept for backward by one micro-batch
  double workspace = 0;      // in addition to them at the peak
  double buffers = 0;  // position tables, null caption, encoders that are not trained, networks of metrics
  double reserve = 0;  // device context, libraries, fragmentation; 0 on a CPU
  double total() const;
  std::vector<std::pair<std::string, double>> named() const;  // in this order, for tables and JSON
};

struct ActivationBytes {
  double kept = 0, peak = 0;
};
struct ActivationOptions {
  bool bfloat16 = false;
  int64_t recompute_every = 0;
  int64_t micro_batch = 1;
  int64_t lora_rank = 0;     // adapters at attention, cross-attention and MLP; 0: the weights are trained
  bool fused_norms = false;  // as on a CPU: a norm keeps only its input
};
ActivationBytes activation_bytes(const models::TransformerWork& shape, const ActivationOptions& options);

// The same for an autoencoder in float32.
ActivationBytes activation_bytes(const AutoencoderCost& cost, const models::VaeConfig& config, int64_t side,
                                 int64_t micro_batch);

}  // namespace pixart::plan

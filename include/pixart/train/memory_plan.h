// Memory of a training step, part by part, before anything is allocated.
//
// Activations. Kept for backward per block and image token, in numbers of the model's width D (r: MLP ratio);
// what stands under "stream" is float32 always, the rest has the type of the matrix products:
//
//   stream   the block's input, both norms' outputs, both branches' outputs, the stream in front of the MLP
//            (DiT: 6 D; PixArt: 6 D)
//   products modulated inputs of attention and MLP (2), q, k, v (3), attention's output (1); PixArt's
//            cross-attention: its input, q and output (3)                          (DiT: 6 D; PixArt: 9 D)
//   MLP      before and after GELU                                                 (2 r D)
//   float32  mean and deviation of both norms (4), a log-sum of each attention and head (h, PixArt 2 h)
//
// and per sample: keys and values of the caption (2 T D, products' type), modulation (8 D float32). Attention
// is never written out as N x N. A block that is computed again keeps its input alone (D float32 a token).
// Once per sample: patches, timestep MLP, captions as they came and in three stages of their projection, the
// last norm, and about 28 tensors of the latent's size in the loss, of which 18 are kept.
//
// Where adapters (LoRA) alone are trained, of the stream both norms' inputs remain (2 D), each adapted layer
// adds its rank a token, and what comes before the blocks needs no gradient: patches, timestep, captions but
// for their last stage. The first block, whose input needs none, is never computed again.
//
// Several ranks. Gradients are summed in place, in buckets; on a CPU a bucket is received beside them. NCCL's
// own buffers are part of the reserve. With sharding each rank holds the gathered average too.
//
// The peak is the larger of the end of forward and the start of a block's backward, where the gradients of
// the stream, of a branch and of the MLP's inner layer, and of one MLP weight stand beside what is kept.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "pixart/train/flops.h"

namespace pixart::train {

struct MemoryParts {  // bytes, of one rank
  double weights = 0, low_precision_copies = 0, gradients = 0, optimizer = 0, average = 0;
  double communication = 0;  // several ranks
  double activations = 0;    // kept for backward by one micro-batch
  double workspace = 0;      // what stands beside it at the peak
  double buffers = 0;        // position tables, null caption, the autoencoder that is only used
  double reserve = 0;        // device context, libraries, fragmentation; 0 on a CPU
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
  int64_t lora_rank = 0;     // of adapters at attention, cross-attention and MLP; 0: the weights are trained
  bool fused_norms = false;  // as on a CPU: of a norm nothing is kept but its input
};
ActivationBytes activation_bytes(const models::TransformerWork& shape, const ActivationOptions& options);

// Autoencoder, float32.
ActivationBytes activation_bytes(const AutoencoderCost& cost, const models::VaeConfig& config, int64_t side,
                                 int64_t micro_batch);

}  // namespace pixart::train

// How much arithmetic the transformers take: what MFU and plans of runs are made of.
//
// Counted are the multiply-adds (MACs) of all matrix products, attention's included; element-wise work is
// not. The "Gflops" of the DiT paper are such MACs (XL/2 at 256 px: 118.6). One MAC is two FLOPs.
#pragma once
#include <cstdint>

#include "pixart/models/pixart.h"

namespace pixart::models {

// Tokens of a latent of so many rows and columns.
int64_t num_image_tokens(int64_t patch_size, int64_t latent_height, int64_t latent_width);

// MACs of one forward pass of one sample of N image tokens. Width D, MLP width M, patch p, channels C -> O;
// per block: qkv and projection 4 N D^2, attention 2 N^2 D, MLP 2 N D M, adaLN 6 D^2; around the blocks:
// patch embedding N p^2 C D, timestep MLP 256 D + D^2, last layer 2 D^2 + N D p^2 O.
int64_t forward_macs(const DitConfig& config, int64_t image_tokens);

// The same with T caption tokens of `caption_channels` Y; padding is removed before the blocks, so T is the
// true length, or its mean. Per block: 4 N D^2 + 2 N^2 D + 2 N D M as above, and cross-attention's query and
// projection 2 N D^2, key and value 2 T D^2, attention 2 N T D; around the blocks: N p^2 C D, 256 D + D^2,
// shared modulation 6 D^2, caption MLP T (Y D + D^2), N D p^2 O; multi_scale: three MLPs 256 D/3 + (D/3)^2.
int64_t forward_macs(const PixArtConfig& config, int64_t image_tokens, int64_t caption_tokens);

// Useful FLOPs of a training step per sample: forward and a backward pass of twice its size, so 3 * 2 * MACs.
// What activation checkpointing computes again is not counted: it is time spent, not work done.
inline double training_flops(int64_t macs) { return 6.0 * double(macs); }

}  // namespace pixart::models

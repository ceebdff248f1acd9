// The input of an objective: a micro-batch, read and prepared on the CPU.
#pragma once
#include <ATen/core/Tensor.h>

#include <any>
#include <vector>

#include "pixart/data/order.h"

namespace pixart::data {

// The objective decides which of the tensors are set.
struct Batch {
  data::MicroBatch plan;
  at::Tensor image = {};               // [B, 3, H, W] uint8
  at::Tensor mean = {}, log_var = {};  // [B, L, h, w] float32: moments of the latents
  at::Tensor label = {};               // [B] int64
  at::Tensor caption = {}, mask = {};  // [B, T, C] float32 or bfloat16, zero where masked; [B, T] int64
  at::Tensor image_size = {};          // [B, 2] float32: height, width of the source images
  at::Tensor aspect_ratio = {};        // [B, 1] float32: height / width of the bucket
  at::Tensor control = {};             // [B, L, h, w] float32: means of the latents of control images
  at::Tensor teacher = {};             // [B, C, P, P] float32: what the stage's teacher sees in the images
  // Of a batch that is encoded in the step: an image in place of its latents, token ids in place of a caption.
  at::Tensor tokens = {};                  // [B, T] int64; `mask` says which are real
  std::vector<int64_t> latent_shape = {};  // L, h, w of the latents to come
  std::any inputs = {};                    // what the objective adds to it (Objective::prepare() in train)
  std::vector<double> read_seconds = {};   // for each part of the stage's mix
};

}  // namespace pixart::data

// REPA (Yu et al. 2024, arXiv 2410.06940): a projection of one block's image tokens is trained to resemble what a
// teacher, a vision transformer that stays as it is, sees in the clean image at the same place.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "pixart/nn/layers.h"

namespace pixart::models {

// The projection's tensors are called "alignment.0.weight" and so on. They are in checkpoints, and left out where
// weights are converted, drawn with or the start of another stage.
inline constexpr const char* kAlignmentPrefix = "alignment.";
inline constexpr const char* kAlignmentInput =
    "alignment.0.weight";  // the only one whose input has the model's width
bool is_alignment_name(const std::string& name);

struct AlignmentSizes {
  int64_t width = 0;     // of the transformer
  int64_t hidden = 0;    // of the projection's inner layers
  int64_t channels = 0;  // of the teacher
};

// Three linear layers with SiLU between them.
class AlignmentProjection {
 public:
  AlignmentProjection(const nn::Scope& model, const AlignmentSizes& sizes);  // `model` without a prefix
  at::Tensor operator()(const at::Tensor& tokens) const;                     // [B, N, D] -> [B, N, C]

 private:
  nn::Linear first_, second_, last_;
};

// A teacher's features [B, C, P, Q] on a grid of rows x columns image tokens, [B, rows * columns, C]: bilinear on a
// larger grid, the means of its cells on a smaller one.
at::Tensor features_on_grid(const at::Tensor& features, int64_t rows, int64_t columns);

// [B]: the mean over tokens of 1 - cosine(projected, features), both [B, N, C]; computed in float32. The paper's loss is
// the same without the 1.
at::Tensor alignment_losses(const at::Tensor& projected, const at::Tensor& features);

}  // namespace pixart::models

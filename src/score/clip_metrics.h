// Scores of CLIP's embeddings. Rows are images, normalised to length 1.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "pixart/formats/weights.h"

namespace pixart::score {

// x / |x| of each row, float32 on the CPU. Throws UserError(kNumerics) if a number is not finite, as of damaged
// weights.
at::Tensor normalized_rows(const at::Tensor& embeddings);

// CMMD (Jayasumana et al. 2024): the biased squared MMD with the kernel exp(-|x - y|^2 / 200), times 1000, in
// float64 and in blocks, at least 0. The reference computes it in float32, which is exact to about 0.001. `of_reference`:
// mean_kernel() of the reference, if it is known already. `progress` is called between blocks.
double cmmd(const at::Tensor& images, const at::Tensor& reference, std::optional<double> of_reference = {},
            const std::function<void()>& progress = {});

// The mean of this kernel over all pairs of rows, a row with itself included. The work grows with the square of
// their number.
double mean_kernel(const at::Tensor& rows, const std::function<void()>& progress = {});

// The similarity of each image to its text; both [N, D].
struct ClipSimilarity {
  double cosine = 0;  // mean; T2I-CompBench, PixArt-Sigma
  double x100 = 0;    // torchmetrics: 100 times the mean, at least 0
  double x2_5 = 0;    // Hessel et al. 2021: the mean of 2.5 times the cosine, each at least 0
};
ClipSimilarity clip_similarity(const at::Tensor& images, const at::Tensor& texts);

// LAION's aesthetic predictor: a chain of linear layers without activations, and so one linear map, in float64.
class AestheticHead {
 public:
  // A linear layer (weight, bias), or the improved predictor (layers.0.weight, ...). Throws UserError that says
  // what is wrong; a file that says relu in its name belongs to a predictor with activations.
  explicit AestheticHead(const std::filesystem::path& file);
  // The same of weights that were opened from `subject`.
  AestheticHead(const formats::Weights& weights, const std::string& subject);
  at::Tensor operator()(const at::Tensor& images) const;  // [N, width()] -> [N] float64
  int64_t width() const { return weight_.size(0); }
  std::string sha256() const;  // of the linear map

 private:
  at::Tensor weight_;  // [width]
  double bias_ = 0;
};

}  // namespace pixart::score

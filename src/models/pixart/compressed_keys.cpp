#include "compressed_keys.h"

#include <ATen/ATen.h>

#include "pixart/base/error.h"

namespace pixart::models {

CompressedKeys::CompressedKeys(const nn::Scope& scope, int64_t width, const KvCompression& compression,
                               int64_t block) {
  if (!compression.in_layer(block)) return;
  sampling = compression.sampling, factor = compression.factor;
  if (sampling != KvSampling::kConv) return;
  weight = (scope / "sr").parameter("weight", {width, 1, factor, factor});
  bias = (scope / "sr").parameter("bias", {width});
  norm = nn::AffineNorm(scope / "norm", width);
}

nn::FewerTokens CompressedKeys::on(const TokenGrid& grid) const {
  if (sampling == KvSampling::kNone) return {};
  return [this, grid](const at::Tensor& tokens) { return compress(tokens, grid); };
}

at::Tensor CompressedKeys::compress(const at::Tensor& tokens, const TokenGrid& grid) const {
  const KvCompression here{.sampling = sampling, .factor = factor, .layers = {0}};
  const std::string problem = here.grid_problem(grid.rows, grid.cols);
  PIXART_CHECK(problem.empty(), "{}", problem);
  if (sampling == KvSampling::kEvery) return tokens.slice(1, 0, tokens.size(1), factor);
  const int64_t rows = grid.rows / factor, cols = grid.cols / factor;
  // [B, rows, R, cols, R, D], a view: what fills no square is left out.
  const at::Tensor squares = tokens.unflatten(1, {grid.rows, grid.cols})
                                 .narrow(1, 0, rows * factor)
                                 .narrow(2, 0, cols * factor)
                                 .unflatten(2, {cols, factor})
                                 .unflatten(1, {rows, factor});
  if (sampling != KvSampling::kConv) return squares.select(4, 0).select(2, 0).flatten(1, 2);
  // A product and a sum in place of a convolution: the tokens stay where they are, which a convolution would
  // transpose first.
  const at::Tensor by_place = weight.squeeze(1).permute({1, 2, 0}).unsqueeze(1).to(tokens.scalar_type());
  const at::Tensor sums =
      (squares * by_place).sum({2, 4}, /*keepdim=*/false, nn::at_least_float(bias).scalar_type());
  return norm(sums.flatten(1, 2) + nn::at_least_float(bias)).to(tokens.scalar_type());
}

}  // namespace pixart::models

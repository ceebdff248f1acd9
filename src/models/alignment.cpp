#include "pixart/models/alignment.h"

#include <ATen/ATen.h>

namespace pixart::models {

bool is_alignment_name(const std::string& name) { return name.starts_with(kAlignmentPrefix); }

AlignmentProjection::AlignmentProjection(const nn::Scope& model, const AlignmentSizes& sizes)
    : first_(model / "alignment" / 0, sizes.width, sizes.hidden),
      second_(model / "alignment" / 2, sizes.hidden, sizes.hidden),
      last_(model / "alignment" / 4, sizes.hidden, sizes.channels) {}

at::Tensor AlignmentProjection::operator()(const at::Tensor& tokens) const {
  return last_(at::silu(second_(at::silu(first_(tokens)))));
}

at::Tensor features_on_grid(const at::Tensor& features, int64_t rows, int64_t columns) {
  at::Tensor grid = features.to(at::kFloat);
  if (rows > features.size(2) || columns > features.size(3))
    grid = at::upsample_bilinear2d(grid, {rows, columns}, /*align_corners=*/false);
  else if (rows < features.size(2) || columns < features.size(3))
    grid = at::adaptive_avg_pool2d(grid, {rows, columns});
  return grid.flatten(2).transpose(1, 2);
}

at::Tensor alignment_losses(const at::Tensor& projected, const at::Tensor& features) {
  return (1 - at::cosine_similarity(projected.to(at::kFloat), features.to(at::kFloat), /*dim=*/2)).mean(1);
}

}  // namespace pixart::models

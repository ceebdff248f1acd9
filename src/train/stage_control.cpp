#include "stage_control.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "pixart/base/log.h"

namespace pixart::train {

namespace {

bool is_usable(const data::LatentSet& control, int64_t row, int64_t side) {
  const auto& rejected = control.rejected();
  if (std::any_of(rejected.begin(), rejected.end(), [&](const auto& one) { return one.row == row; }))
    return false;
  const auto latent = control.item(row).latent;
  return latent.height == side && latent.width == side;
}

// The row, or the next one in the ring of all rows that can be used; -1: there is none.
int64_t usable_row(const data::LatentSet& control, int64_t row, int64_t side) {
  for (int64_t i = 0; i < control.rows(); ++i)
    if (const int64_t next = (row + i) % control.rows(); is_usable(control, next, side)) return next;
  return -1;
}

at::Tensor control_of(const data::LatentSet& control, int64_t row) {
  const auto [channels, height, width] = control.item(row).latent;
  at::Tensor mean = at::empty({channels, height, width}), unused = at::empty_like(mean);
  control.read(row, /*mirrored=*/false, mean.data_ptr<float>(), unused.data_ptr<float>());
  return mean;
}

}  // namespace

at::Tensor control_to_draw(const features::StagePart& part, const features::LatentCodec& codec,
                           const Prompts& prompts, int64_t side) {
  if (!part.control) return {};
  const auto count = int64_t(prompts.texts.size());
  std::vector<at::Tensor> images;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t wanted = prompts.rows.empty() ? i * part.control->rows() / count : prompts.rows[size_t(i)];
    const int64_t row = usable_row(*part.control, wanted, side);
    if (row < 0) {
      log::warning(
          "source {}: none of its images has the side of the sample images, which are drawn without control",
          part.source->name);
      return {};
    }
    images.push_back(control_of(*part.control, row));
  }
  return images.empty() ? at::Tensor() : codec.normalize(at::stack(images).to(codec.device())).cpu();
}

}  // namespace pixart::train

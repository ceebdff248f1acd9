#include <ATen/ATen.h>

#include <algorithm>

#include "pixart/base/random.h"
#include "pixart/train/objectives.h"

namespace pixart::train {

at::Tensor draw_kept_tokens(uint64_t seed, const std::vector<int64_t>& positions, int64_t tokens,
                            double rate) {
  const int64_t count = models::TokenRoute::num_kept(tokens, rate);
  at::Tensor kept = at::empty({int64_t(positions.size()), count}, at::kLong);
  int64_t* row = kept.data_ptr<int64_t>();
  for (const int64_t position : positions) {
    const auto order = permutation({seed, uint64_t(position), Purpose::kTokens}, tokens);
    std::copy_n(order.begin(), count, row);
    std::sort(row, row + count);
    row += count;
  }
  return kept;
}

DrawInputs with_kept_tokens(DrawInputs draw, uint64_t seed, const run::SkippedTokens& skipped,
                            int64_t patch_size) {
  if (skipped.rate == 0) return draw;
  return [=](const data::Batch& batch) {
    DiffusionDraw result = draw(batch);
    if (!skipped.at_step(batch.plan.step)) return result;
    const auto shape = latent_shape_of(batch);
    const int64_t tokens = shape[1] * shape[2] / (patch_size * patch_size);
    if (models::TokenRoute::num_kept(tokens, skipped.rate) < tokens)
      result.kept = draw_kept_tokens(seed, batch.plan.positions, tokens, skipped.rate);
    return result;
  };
}

}  // namespace pixart::train

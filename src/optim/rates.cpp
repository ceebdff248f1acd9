#include "rates.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "adamw_parts.h"
#include "pixart/base/error.h"

namespace pixart::optim {

std::vector<RateRange> rate_ranges(const FlatParameters& parameters,
                                   const std::vector<std::vector<double>>& factors) {
  std::vector<RateRange> pieces;
  for (size_t i = 0; i < parameters.num_parameters(); ++i) {
    auto parts = factors.empty() ? std::vector<double>{} : factors.at(parameters.indices()[i]);
    if (parts.empty()) parts = {1};
    const int64_t size = parameters.parameters()[i].numel() / int64_t(parts.size());
    PIXART_CHECK(size * int64_t(parts.size()) == parameters.parameters()[i].numel(), "{} parts of {} values",
                 parts.size(), parameters.parameters()[i].numel());
    int64_t begin = parameters.offset(i);
    for (const double factor : parts) {
      pieces.push_back({begin, begin + size, factor});
      begin += size;
    }
  }
  std::sort(pieces.begin(), pieces.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
  std::vector<RateRange> ranges;
  for (const auto& piece : pieces) {
    if (!ranges.empty() && ranges.back().factor == piece.factor && ranges.back().end == piece.begin)
      ranges.back().end = piece.end;
    else
      ranges.push_back(piece);
  }
  if (ranges.size() <= 1 && (ranges.empty() || ranges.front().factor == 1)) return {};
  return ranges;
}

void adamw_step_in_ranges(const FlatParameters& parameters, AdamWState& state, const AdamWConfig& config,
                          double lr, const GradientScale& gradient_scale, const at::Tensor& ema,
                          double ema_decay, const std::vector<RateRange>& ranges) {
  std::vector<AdamWPart> parts;
  for (const auto& [begin, end, factor] : ranges) {
    const auto part = [first = begin, size = end - begin](const at::Tensor& flat) {
      return flat.defined() ? flat.narrow(0, first, size) : flat;
    };
    parts.push_back({.values = part(parameters.values()),
                     .gradients = part(parameters.gradients()),
                     .exp_avg = part(state.exp_avg),
                     .exp_avg_sq = part(state.exp_avg_sq),
                     .ema = part(ema),
                     .rounded = part(parameters.rounded()),
                     .lr = lr * factor,
                     .weight_decay = config.weight_decay / factor,
                     .num_decayed = std::clamp<int64_t>(parameters.num_decayed() - begin, 0, end - begin)});
  }
  ++state.steps;
  adamw_step_of_parts(std::move(parts), config, state.steps, gradient_scale, ema_decay, state.numbers);
}

}  // namespace pixart::optim

#include "adamw_by_libtorch.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace pixart::optim {

void adamw_by_libtorch(at::Tensor& values, const at::Tensor& gradients, AdamWState& state,
                       const AdamWConfig& config, double lr, double gradient_scale, int64_t num_decayed) {
  const at::Tensor scaled = gradients * gradient_scale;
  const at::Tensor steps = at::full({}, double(state.steps), values.options().dtype(at::kFloat));
  const auto update = [&](int64_t begin, int64_t end, double decay) {
    if (begin >= end) return;
    const auto part = [=](const at::Tensor& tensor) { return tensor.slice(0, begin, end); };
    at::_fused_adamw_({part(values)}, {part(scaled)}, {part(state.exp_avg)}, {part(state.exp_avg_sq)}, {},
                      {steps}, lr, config.betas[0], config.betas[1], decay, config.eps, /*amsgrad=*/false,
                      /*maximize=*/false);
  };
  const int64_t decayed = std::min(num_decayed, values.numel());
  update(0, decayed, config.weight_decay);
  update(decayed, values.numel(), 0);
}

}  // namespace pixart::optim

// Learning rates of parts of a flat buffer.
#pragma once
#include <vector>

#include "pixart/optim/optimizer.h"

namespace pixart::optim {

// The ranges of all elements in their order. `factors`: for each parameter of the model (also of those that a part leaves out)
// those of the equal parts in which it is cut in its first dimension; an empty one is 1. No ranges if all are 1.
std::vector<RateRange> rate_ranges(const FlatParameters& parameters,
                                   const std::vector<std::vector<double>>& factors);

// adamw_step() with the learning rate of each range. Weight decay stays lr * weight_decay.
void adamw_step_in_ranges(const FlatParameters& parameters, AdamWState& state, const AdamWConfig& config,
                          double lr, const GradientScale& gradient_scale, const at::Tensor& ema,
                          double ema_decay, const std::vector<RateRange>& ranges);

}  // namespace pixart::optim

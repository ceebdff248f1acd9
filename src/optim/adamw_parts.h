// AdamW for several parts of buffers, whose numbers go to a GPU in one copy.
#pragma once
#include <vector>

#include "pixart/optim/adamw.h"

namespace pixart::optim {

struct AdamWPart {
  at::Tensor values, gradients, exp_avg, exp_avg_sq;
  at::Tensor ema, rounded;  // may be undefined
  double lr = 0, weight_decay = 0;
  int64_t num_decayed = kAllDecay;
};

// adamw_step() for each part; `steps` is already that of this update. `numbers`: of earlier calls for the same parts, or null.
void adamw_step_of_parts(std::vector<AdamWPart> parts, const AdamWConfig& config, int64_t steps,
                         const GradientScale& gradient_scale, double ema_decay,
                         std::shared_ptr<DeviceNumbers>& numbers);
// Of `parts` parts; null where our kernel does not run.
std::shared_ptr<DeviceNumbers> adamw_numbers(size_t parts, const at::Device& device);

}  // namespace pixart::optim

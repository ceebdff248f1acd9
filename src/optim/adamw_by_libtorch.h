// AdamW by LibTorch's fused kernel, for GPUs that cannot run ours.
#pragma once
#include "pixart/optim/adamw.h"

namespace pixart::optim {

// The update of adamw_step() without the EMA; state.steps is already that of this update.
void adamw_by_libtorch(at::Tensor& values, const at::Tensor& gradients, AdamWState& state,
                       const AdamWConfig& config, double lr, double gradient_scale, int64_t num_decayed);

}  // namespace pixart::optim

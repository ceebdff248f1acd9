// kernels/came.h, called with tensors on a device that is kernels_usable().
#pragma once
#include "device_numbers.h"
#include "kernels/came.h"
#include "pixart/optim/came.h"

namespace pixart::optim {

// What the kernels need besides the state: made once for the parameters.
struct CameWork {
  kernels::CameLayout layout;
  at::Tensor parameters, tiles, stacks;  // of the layout, as bytes
  at::Tensor roots, sums, squares, limits;
  DeviceNumbers element;
};

kernels::CameLayout came_layout_of(const FlatParameters& parameters);
std::shared_ptr<CameWork> make_came_work(const FlatParameters& parameters);
// state.steps is already that of this update.
void came_step_by_kernels(const FlatParameters& parameters, CameState& state, const CameConfig& config,
                          double lr, const GradientScale& gradient_scale, const at::Tensor& ema,
                          double ema_decay);

}  // namespace pixart::optim

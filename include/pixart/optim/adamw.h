// AdamW on flat buffers (decoupled decay, Loshchilov & Hutter 2019; results as torch.optim.AdamW). Gradient
// clipping and the EMA update happen in the same pass over memory.
#pragma once
#include <ATen/core/Tensor.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace pixart::optim {

struct AdamWConfig {
  std::vector<double> betas = {0.9, 0.999};
  double eps = 1e-10;  // added to the root of the second moment
  double weight_decay = 0.03;
};

class DeviceNumbers;  // of a GPU that runs our kernel
// The state for one flat buffer. Its tensors have the size of `values`.
struct AdamWState {
  at::Tensor exp_avg, exp_avg_sq;
  int64_t steps = 0;  // updates done
  std::shared_ptr<DeviceNumbers> numbers = {};
};
AdamWState make_adamw_state(const at::Tensor& values);

constexpr int64_t kAllDecay = std::numeric_limits<int64_t>::max();

// By what an update multiplies the gradients.
struct GradientScale {
  double factor = 1;
  // A float64 scalar on a GPU that runs our kernels, or undefined: the square of the norm. The kernels of AdamW and CAME then
  // compute clip_factor(its root, max_norm) themselves in place of `factor`, which must be the same number.
  at::Tensor squared_norm = {};
  double max_norm = 0;
  GradientScale(double value = 1) : factor(value) {}
  GradientScale(double value, at::Tensor squared, double most)
      : factor(value), squared_norm(std::move(squared)), max_norm(most) {}
};

// First multiplies gradients by gradient_scale (the clip factor). With a defined `ema`, sets ema <- decay *
// ema + (1 - decay) * values at the end. Weight decay applies to the first `num_decayed` elements. With a defined `rounded`
// (bfloat16, only where our kernel runs) the new values are also written to it. float32 or float64 on the CPU, float32 on CUDA,
// where the numbers of the step go to the device by one copy from pinned memory, and the launch has the same arguments each time.
void adamw_step(at::Tensor& values, const at::Tensor& gradients, AdamWState& state, const AdamWConfig& config,
                double lr, const GradientScale& gradient_scale = {}, const at::Tensor& ema = {},
                double ema_decay = 0.0, int64_t num_decayed = kAllDecay, const at::Tensor& rounded = {});

// Why the kernel of adamw_step() cannot run on `device`; "" if it can, and on a CPU. Launches it on no
// elements, the first time. adamw_step() then uses LibTorch's fused AdamW, which needs one more pass for
// clipping and EMA.
const std::string& adamw_kernel_problem(const at::Device& device);
// True on a GPU that runs our kernels, which then also gather gradients and round weights.
bool kernels_usable(const at::Device& device);

// The square of the 2-norm of all gradients together: a float64 scalar on their device. The host does not
// wait.
at::Tensor squared_gradient_norm(const at::Tensor& gradients);
// [2] float64 on the device: `loss` (undefined: 0), and the square of the norm, which `tile_squares` (undefined, or those of
// FlatParameters) already has in parts. The host does not wait. They are written to `into` if it is defined, and
// has_step_totals().
at::Tensor step_totals(const at::Tensor& loss, const at::Tensor& gradients,
                       const at::Tensor& tile_squares = {}, const at::Tensor& into = {});
// True where our kernels make them, of float32 gradients.
bool has_step_totals(const at::Tensor& gradients);
// Sums of squares of pieces of a contiguous float32 range where kernels_usable(), into `sums` [num_tile_squares(numel)] float64.
int64_t num_tile_squares(int64_t numel);
void tile_squares(const at::Tensor& values, at::Tensor sums);
// 2-norm of all gradients together, for which the host waits; and min(1, max_norm / (norm + 1e-6)).
double gradient_norm(const at::Tensor& gradients);
double clip_factor(double norm, double max_norm);

// ema <- decay * ema + (1 - decay) * values
void ema_update(at::Tensor& ema, const at::Tensor& values, double decay);
// The same for a defined `ema`; and a defined `rounded` (bfloat16, only where our kernels run) <- values, in one pass.
void finish_values(const at::Tensor& values, const at::Tensor& ema, double ema_decay,
                   const at::Tensor& rounded);

}  // namespace pixart::optim

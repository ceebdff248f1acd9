#include "pixart/optim/adamw.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cmath>
#include <mutex>
#include <unordered_map>

#include "adamw_by_libtorch.h"
#include "gradient_kernels.h"
#include "kernels/adamw.h"
#include "pixart/base/error.h"
#include "pixart/base/own_kernels.h"

namespace pixart::optim {

namespace {

constexpr int64_t kGrain = 1 << 15;  // elements for which a thread is worthwhile

void check_buffer(const at::Tensor& values, const at::Tensor& other, const char* name) {
  PIXART_CHECK(other.defined() && other.sizes() == values.sizes() &&
                   other.scalar_type() == values.scalar_type() && other.device() == values.device() &&
                   other.is_contiguous(),
               "{} is not a contiguous buffer of the values' size, type and device", name);
}

void check_values(const at::Tensor& values) {
  PIXART_CHECK(values.dim() == 1 && values.is_contiguous(), "values of {} dimensions", values.dim());
  const auto type = values.scalar_type();
  PIXART_CHECK(type == at::kFloat || (type == at::kDouble && values.is_cpu()), "values of type {} on {}",
               c10::toString(type), values.device().str());
}

kernels::AdamWCoefficients coefficients_of(const AdamWConfig& config, double lr, int64_t steps,
                                           int64_t num_decayed) {
  PIXART_CHECK(config.betas.size() == 2, "{} betas", config.betas.size());
  return {.gradient_scale = 1,
          .keep = 1 - lr * config.weight_decay,
          .num_decayed = num_decayed,
          .beta1 = config.betas[0],
          .beta2 = config.betas[1],
          .step_size = lr / (1 - std::pow(config.betas[0], steps)),
          .inverse_root = 1 / std::sqrt(1 - std::pow(config.betas[1], steps)),
          .eps = config.eps,
          .ema_decay = 0};
}

template <class T>
kernels::AdamWBuffers<T> buffers_of(at::Tensor& values, const at::Tensor& gradients, AdamWState& state,
                                    const at::Tensor& ema, const at::Tensor& rounded = {}) {
  return {.values = values.mutable_data_ptr<T>(),
          .gradients = gradients.const_data_ptr<T>(),
          .exp_avg = state.exp_avg.mutable_data_ptr<T>(),
          .exp_avg_sq = state.exp_avg_sq.mutable_data_ptr<T>(),
          .ema = ema.defined() ? ema.mutable_data_ptr<T>() : nullptr,
          .rounded = rounded.defined() ? static_cast<Bfloat16Bits*>(rounded.mutable_data_ptr()) : nullptr};
}

template <class T>
void step_on_cpu(const kernels::AdamWBuffers<T>& buffers, const kernels::AdamWCoefficients& coefficients,
                 int64_t count) {
  at::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    kernels::adamw_cpu(buffers, coefficients, begin, end);
  });
}

void* current_stream(const at::Device& device) {
  const c10::impl::VirtualGuardImpl guard(device.type());
  return guard.getStreamNativeHandle(guard.getStream(device));
}

#ifdef PIXART_WITH_CUDA
// CUDA's description of the error of the launch; "" if there is none.
std::string launch_kernel(const kernels::AdamWBuffers<float>& buffers,
                          const kernels::AdamWCoefficients& coefficients, int64_t count,
                          const at::Device& device) {
  const c10::DeviceGuard guard(device);
  const char* error = kernels::adamw_cuda(buffers, coefficients, count, current_stream(device));
  return error == nullptr ? "" : error;
}
#else
std::string launch_kernel(const kernels::AdamWBuffers<float>&, const kernels::AdamWCoefficients&, int64_t,
                          const at::Device&) {
  return "this build has no CUDA kernels (no nvcc was found)";
}
#endif

void step_on_cuda(const kernels::AdamWBuffers<float>& buffers, const kernels::AdamWCoefficients& coefficients,
                  const at::Tensor& values) {
  const std::string error = launch_kernel(buffers, coefficients, values.numel(), values.device());
  if (!error.empty())
    throw UserError(
        fmt::format("The GPU {} refused the optimizer's kernel: {}. `pixart doctor` describes this machine.",
                    values.device().str(), error),
        ExitCode::kDevice);
}

}  // namespace

AdamWState make_adamw_state(const at::Tensor& values) {
  return {.exp_avg = at::zeros_like(values), .exp_avg_sq = at::zeros_like(values), .steps = 0};
}

void adamw_step(at::Tensor& values, const at::Tensor& gradients, AdamWState& state, const AdamWConfig& config,
                double lr, double gradient_scale, const at::Tensor& ema, double ema_decay,
                int64_t num_decayed, const at::Tensor& rounded) {
  check_values(values);
  PIXART_CHECK(!rounded.defined() || (kernels_usable(values.device()) && rounded.numel() == values.numel() &&
                                      rounded.scalar_type() == at::kBFloat16),
               "a rounded copy that no kernel writes");
  check_buffer(values, gradients, "gradients");
  check_buffer(values, state.exp_avg, "exp_avg");
  check_buffer(values, state.exp_avg_sq, "exp_avg_sq");
  if (ema.defined()) check_buffer(values, ema, "ema");
  ++state.steps;
  auto coefficients = coefficients_of(config, lr, state.steps, num_decayed);
  coefficients.gradient_scale = gradient_scale;
  coefficients.ema_decay = ema_decay;
  if (values.scalar_type() == at::kDouble) {
    step_on_cpu(buffers_of<double>(values, gradients, state, ema), coefficients, values.numel());
  } else if (values.is_cpu()) {
    step_on_cpu(buffers_of<float>(values, gradients, state, ema), coefficients, values.numel());
  } else if (adamw_kernel_problem(values.device()).empty()) {
    step_on_cuda(buffers_of<float>(values, gradients, state, ema, rounded), coefficients, values);
  } else {
    adamw_by_libtorch(values, gradients, state, config, lr, gradient_scale, num_decayed);
    at::Tensor mutable_ema = ema;
    if (ema.defined()) ema_update(mutable_ema, values, ema_decay);
  }
}

const std::string& adamw_kernel_problem(const at::Device& device) {
  static std::mutex mutex;
  static std::unordered_map<at::Device, std::string> problems;
  const std::lock_guard lock(mutex);
  const auto [found, is_new] = problems.try_emplace(device);
  if (is_new && !device.is_cpu()) found->second = launch_kernel({}, {}, 0, device);
  return found->second;
}

bool kernels_usable(const at::Device& device) {
  return own_kernels() && device.is_cuda() && adamw_kernel_problem(device).empty();
}

void ema_update(at::Tensor& ema, const at::Tensor& values, double decay) {
  check_values(values);
  check_buffer(values, ema, "ema");
  if (kernels_usable(values.device())) return average_and_round(ema, {}, values, decay);
  if (!values.is_cpu()) {
    ema.mul_(decay).add_(values, 1 - decay);
    return;
  }
  at::parallel_for(0, values.numel(), kGrain, [&](int64_t begin, int64_t end) {
    if (values.scalar_type() == at::kDouble) {
      kernels::ema_cpu(ema.mutable_data_ptr<double>(), values.const_data_ptr<double>(), decay, begin, end);
    } else {
      kernels::ema_cpu(ema.mutable_data_ptr<float>(), values.const_data_ptr<float>(), decay, begin, end);
    }
  });
}

void finish_values(const at::Tensor& values, const at::Tensor& ema, double ema_decay,
                   const at::Tensor& rounded) {
  if (rounded.defined()) return average_and_round(ema, rounded, values, ema_decay);
  if (!ema.defined()) return;
  at::Tensor average = ema;
  ema_update(average, values, ema_decay);
}

}  // namespace pixart::optim

#include "pixart/optim/adamw.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cmath>
#include <mutex>
#include <unordered_map>

#include "adamw_by_libtorch.h"
#include "adamw_parts.h"
#include "device_numbers.h"
#include "gradient_kernels.h"
#include "kernel_launch.h"
#include "kernels/adamw_element.h"
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

kernels::AdamWCoefficients coefficients_of(const AdamWConfig& config, const AdamWPart& part, int64_t steps) {
  PIXART_CHECK(config.betas.size() == 2, "{} betas", config.betas.size());
  return {.gradient_scale = 1,
          .keep = 1 - part.lr * part.weight_decay,
          .num_decayed = part.num_decayed,
          .beta1 = config.betas[0],
          .beta2 = config.betas[1],
          .step_size = part.lr / (1 - std::pow(config.betas[0], steps)),
          .inverse_root = 1 / std::sqrt(1 - std::pow(config.betas[1], steps)),
          .eps = config.eps,
          .ema_decay = 0};
}

template <class T>
kernels::AdamWBuffers<T> buffers_of(const AdamWPart& part) {
  return {.values = part.values.mutable_data_ptr<T>(),
          .gradients = part.gradients.const_data_ptr<T>(),
          .exp_avg = part.exp_avg.mutable_data_ptr<T>(),
          .exp_avg_sq = part.exp_avg_sq.mutable_data_ptr<T>(),
          .ema = part.ema.defined() ? part.ema.mutable_data_ptr<T>() : nullptr,
          .rounded =
              part.rounded.defined() ? static_cast<Bfloat16Bits*>(part.rounded.mutable_data_ptr()) : nullptr};
}

template <class T>
void step_on_cpu(const kernels::AdamWBuffers<T>& buffers, const kernels::AdamWCoefficients& coefficients,
                 int64_t count) {
  at::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    kernels::adamw_cpu(buffers, coefficients, begin, end);
  });
}

#ifdef PIXART_WITH_CUDA
// CUDA's description of the error of a launch on no elements; "" if there is none.
std::string try_kernel(const at::Device& device) {
  const c10::DeviceGuard guard(device);
  const c10::impl::VirtualGuardImpl streams(device.type());
  const char* error =
      kernels::adamw_cuda({}, nullptr, {}, 0, streams.getStreamNativeHandle(streams.getStream(device)));
  return error == nullptr ? "" : error;
}
#else
std::string try_kernel(const at::Device&) { return "this build has no CUDA kernels (no nvcc was found)"; }
#endif

void step_on_cuda(const std::vector<AdamWPart>& parts,
                  const std::vector<kernels::AdamWCoefficients>& coefficients, const GradientScale& scale,
                  DeviceNumbers& numbers) {
  std::vector<kernels::AdamWElement<float>> elements;
  for (const auto& one : coefficients) elements.emplace_back(one);
  const auto* on_device = static_cast<const kernels::AdamWElement<float>*>(
      numbers.send(elements.data(), elements.size() * sizeof elements.front()));
  for (size_t i = 0; i < parts.size(); ++i) {
    [[maybe_unused]] const kernels::AdamWElement<float>* element = on_device + i;
    [[maybe_unused]] const auto buffers = buffers_of<float>(parts[i]);
    PIXART_LAUNCH(parts[i].values.device(),
                  kernels::adamw_cuda(buffers, element, device_norm(scale), parts[i].values.numel(), stream));
  }
}

void step_by_libtorch(AdamWPart part, const AdamWConfig& config, int64_t steps, double gradient_scale,
                      double ema_decay) {
  AdamWState state{.exp_avg = part.exp_avg, .exp_avg_sq = part.exp_avg_sq, .steps = steps};
  AdamWConfig own = config;
  own.weight_decay = part.weight_decay;
  adamw_by_libtorch(part.values, part.gradients, state, own, part.lr, gradient_scale, part.num_decayed);
  at::Tensor ema = part.ema;
  if (ema.defined()) ema_update(ema, part.values, ema_decay);
}

void check_part(const AdamWPart& part) {
  check_values(part.values);
  PIXART_CHECK(!part.rounded.defined() ||
                   (kernels_usable(part.values.device()) && part.rounded.numel() == part.values.numel() &&
                    part.rounded.scalar_type() == at::kBFloat16),
               "a rounded copy that no kernel writes");
  check_buffer(part.values, part.gradients, "gradients");
  check_buffer(part.values, part.exp_avg, "exp_avg");
  check_buffer(part.values, part.exp_avg_sq, "exp_avg_sq");
  if (part.ema.defined()) check_buffer(part.values, part.ema, "ema");
}

}  // namespace

std::shared_ptr<DeviceNumbers> adamw_numbers(size_t parts, const at::Device& device) {
  if (device.is_cpu() || parts == 0 || !adamw_kernel_problem(device).empty()) return nullptr;
  return std::make_shared<DeviceNumbers>(parts * sizeof(kernels::AdamWElement<float>), device);
}

AdamWState make_adamw_state(const at::Tensor& values) {
  return {.exp_avg = at::zeros_like(values),
          .exp_avg_sq = at::zeros_like(values),
          .steps = 0,
          .numbers = adamw_numbers(1, values.device())};
}

void adamw_step_of_parts(std::vector<AdamWPart> parts, const AdamWConfig& config, int64_t steps,
                         const GradientScale& gradient_scale, double ema_decay,
                         std::shared_ptr<DeviceNumbers>& numbers) {
  if (parts.empty()) return;
  std::vector<kernels::AdamWCoefficients> coefficients;
  for (const AdamWPart& part : parts) {
    check_part(part);
    coefficients.push_back(coefficients_of(config, part, steps));
    coefficients.back().gradient_scale = gradient_scale.factor;
    coefficients.back().ema_decay = ema_decay;
  }
  const at::Tensor& values = parts.front().values;
  if (!values.is_cpu() && adamw_kernel_problem(values.device()).empty()) {
    if (!numbers || numbers->capacity() < parts.size() * sizeof(kernels::AdamWElement<float>))
      numbers = adamw_numbers(parts.size(), values.device());
    return step_on_cuda(parts, coefficients, gradient_scale, *numbers);
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!values.is_cpu())
      step_by_libtorch(parts[i], config, steps, gradient_scale.factor, ema_decay);
    else if (values.scalar_type() == at::kDouble)
      step_on_cpu(buffers_of<double>(parts[i]), coefficients[i], parts[i].values.numel());
    else
      step_on_cpu(buffers_of<float>(parts[i]), coefficients[i], parts[i].values.numel());
  }
}

void adamw_step(at::Tensor& values, const at::Tensor& gradients, AdamWState& state, const AdamWConfig& config,
                double lr, const GradientScale& gradient_scale, const at::Tensor& ema, double ema_decay,
                int64_t num_decayed, const at::Tensor& rounded) {
  AdamWPart part{.values = values,
                 .gradients = gradients,
                 .exp_avg = state.exp_avg,
                 .exp_avg_sq = state.exp_avg_sq,
                 .ema = ema,
                 .rounded = rounded,
                 .lr = lr,
                 .weight_decay = config.weight_decay,
                 .num_decayed = num_decayed};
  check_part(part);
  ++state.steps;
  adamw_step_of_parts({std::move(part)}, config, state.steps, gradient_scale, ema_decay, state.numbers);
}

const std::string& adamw_kernel_problem(const at::Device& device) {
  static std::mutex mutex;
  static std::unordered_map<at::Device, std::string> problems;
  const std::lock_guard lock(mutex);
  const auto [found, is_new] = problems.try_emplace(device);
  if (is_new && !device.is_cpu()) found->second = try_kernel(device);
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

#include "came_kernels.h"

#include <ATen/ATen.h>

#include "kernel_launch.h"
#include "kernels/came_element.h"

namespace pixart::optim {

namespace {

template <class T>
at::Tensor bytes_on(const std::vector<T>& values, const at::Device& device) {
  at::Tensor bytes = at::empty({int64_t(values.size() * sizeof(T))}, at::kByte);
  if (!values.empty()) std::memcpy(bytes.mutable_data_ptr(), values.data(), values.size() * sizeof(T));
  return bytes.to(device);
}

kernels::CameElement element_of(const CameConfig& config, double lr, double gradient_scale,
                                double ema_decay) {
  const auto& betas = config.betas;
  return {.gradient_scale = float(gradient_scale),
          .keep = float(1 - lr * config.weight_decay),
          .lr = float(lr),
          .beta1 = float(betas[0]),
          .rest1 = float(1 - betas[0]),
          .beta2 = float(betas[1]),
          .rest2 = float(1 - betas[1]),
          .beta3 = float(betas[2]),
          .rest3 = float(1 - betas[2]),
          .eps = float(config.eps),
          .residual_eps = float(config.residual_eps),
          .clip_threshold = float(config.clip_threshold),
          .ema_decay = float(ema_decay),
          .ema_rest = float(1 - ema_decay)};
}

template <class T>
T* address_of(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<T*>(tensor.mutable_data_ptr()) : nullptr;
}

}  // namespace

kernels::CameLayout came_layout_of(const FlatParameters& parameters) {
  std::vector<kernels::CameShape> shapes;
  for (size_t i = 0; i < parameters.num_parameters(); ++i) {
    const at::Tensor& p = parameters.parameters()[i];
    const bool is_factored = p.dim() >= 2;
    const int64_t columns = is_factored ? p.size(-1) : p.numel(), rows = is_factored ? p.size(-2) : 1,
                  size = rows * columns;
    shapes.push_back({.offset = parameters.offset(i),
                      .matrices = size == 0 ? 0 : p.numel() / size,
                      .rows = rows,
                      .columns = columns,
                      .is_factored = is_factored,
                      .decays = parameters.decays(i)});
  }
  return kernels::came_layout(shapes);
}

std::shared_ptr<CameWork> make_came_work(const FlatParameters& parameters) {
  const auto options = parameters.values().options();
  const at::Device device = options.device();
  auto layout = came_layout_of(parameters);
  const auto numbers = [&](int64_t count, at::ScalarType type) {
    return at::empty({count}, options.dtype(type));
  };
  CameWork work{.layout = layout,
                .parameters = bytes_on(layout.parameters, device),
                .tiles = bytes_on(layout.tiles, device),
                .stacks = bytes_on(layout.stacks, device),
                .roots = numbers(layout.roots, at::kFloat),
                .sums = numbers(layout.sums, at::kFloat),
                .squares = numbers(int64_t(layout.tiles.size()), at::kDouble),
                .limits = numbers(int64_t(layout.parameters.size()), at::kFloat),
                .element = DeviceNumbers(sizeof(kernels::CameElement), device)};
  return std::make_shared<CameWork>(std::move(work));
}

void came_step_by_kernels(const FlatParameters& parameters, CameState& state, const CameConfig& config,
                          double lr, const GradientScale& gradient_scale, const at::Tensor& ema,
                          double ema_decay) {
  CameWork& work = *state.work;
  const kernels::CameElement element = element_of(config, lr, gradient_scale.factor, ema_decay);
  [[maybe_unused]] const kernels::CameBuffers buffers{
      .element = static_cast<const kernels::CameElement*>(work.element.send(&element, sizeof element)),
      .norm = device_norm(gradient_scale),
      .parameters = address_of<const kernels::CameParameter>(work.parameters),
      .tiles = address_of<const int32_t>(work.tiles),
      .stacks = address_of<const int32_t>(work.stacks),
      .values = address_of<float>(parameters.values()),
      .gradients = address_of<const float>(parameters.gradients()),
      .exp_avg = address_of<float>(state.exp_avg),
      .ema = address_of<float>(ema),
      .rounded = address_of<Bfloat16Bits>(parameters.rounded()),
      .moments = address_of<float>(state.all_moments),
      .roots = address_of<float>(work.roots),
      .sums = address_of<float>(work.sums),
      .squares = address_of<double>(work.squares),
      .limits = address_of<float>(work.limits)};
  PIXART_LAUNCH(parameters.values().device(), kernels::came_cuda(buffers, work.layout, stream));
}

}  // namespace pixart::optim

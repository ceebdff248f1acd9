#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "kernels/fused_cuda.h"
#include "passes.h"
#include "pixart/base/error.h"
#include "pixart/nn/kernel_problem.h"

namespace pixart::nn {

namespace {

using kernels::Bfloat16;

// Calls launch(stream) on the device of the tensor.
void launch_on(const at::Tensor& tensor, const std::function<const char*(void*)>& launch) {
  const c10::DeviceGuard guard(tensor.device());
  const c10::impl::VirtualGuardImpl device(tensor.device().type());
  const char* error = launch(device.getStreamNativeHandle(device.getStream(tensor.device())));
  if (error == nullptr) return;
  throw UserError(fmt::format("The GPU {} refused a kernel: {}. `pixart doctor` describes this machine.",
                              tensor.device().str(), error),
                  ExitCode::kDevice);
}

kernels::ImageRows rows_of(const at::Tensor& x) { return {x.size(0), x.size(1), x.size(2)}; }

template <class T>
T* memory(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<T*>(tensor.data_ptr()) : nullptr;
}

kernels::PerImage per_image(const at::Tensor& modulation) {
  if (!modulation.defined()) return {};
  return {memory<float>(modulation), modulation.size(0) == 1 ? 0 : modulation.stride(0)};
}

// work(X, V) for the types of the residual and of the branch.
template <class Work>
void with_types(at::ScalarType residual, at::ScalarType branch, Work work) {
  if (branch == at::kFloat)
    work(float(), float());
  else if (residual == at::kFloat)
    work(float(), Bfloat16());
  else
    work(Bfloat16(), Bfloat16());
}

template <class Work>
void with_type(at::ScalarType type, Work work) {
  if (type == at::kFloat)
    work(float());
  else
    work(Bfloat16());
}

// Parts of `kinds` sums over the rows of an image and, with a bias, of one over all rows.
struct Sums {
  kernels::ImageRows rows;
  int64_t kinds, shared;
  at::Tensor parts;
  Sums(const at::Tensor& x, int64_t sums_of_a_row, bool with_bias = false)
      : Sums(x, sums_of_a_row, with_bias, kernels::parts_of(rows_of(x))) {}
  Sums(const at::Tensor& x, int64_t sums_of_a_row, bool with_bias, int64_t parts_of_image)
      : rows(rows_of(x)),
        kinds(sums_of_a_row),
        shared(with_bias ? rows.width : 0),
        parts(at::empty({rows.images, parts_of_image, kinds * rows.width + shared},
                        x.options().dtype(at::kFloat))) {}

  struct Result {
    at::Tensor of_images, bias;  // [B, kinds, D]; [D], or undefined
  };
  Result add_up() const {
    const bool is_empty = parts.numel() == 0;
    const auto made = [&](at::IntArrayRef sizes) {
      return is_empty ? at::zeros(sizes, parts.options()) : at::empty(sizes, parts.options());
    };
    const Result result{made({rows.images, kinds, rows.width}), shared > 0 ? made({shared}) : at::Tensor()};
    if (is_empty) return result;
    launch_on(parts, [&](void* stream) {
      return kernels::sum_parts_cuda(memory<float>(parts), memory<float>(result.of_images),
                                     memory<float>(result.bias),
                                     {rows.images, parts.size(1), kinds * rows.width, shared}, stream);
    });
    return result;
  }
};

at::Tensor bias_gelu_on_cuda(const at::Tensor& x, const at::Tensor& bias) {
  const at::Tensor out = at::empty_like(x);
  with_type(x.scalar_type(), [&](auto type) {
    using T = decltype(type);
    launch_on(x, [&](void* stream) {
      return kernels::bias_gelu_cuda<T>(memory<T>(x), memory<float>(bias), memory<T>(out), rows_of(x),
                                        stream);
    });
  });
  return out;
}

std::pair<at::Tensor, at::Tensor> bias_gelu_backward_on_cuda(const at::Tensor& x, const at::Tensor& bias,
                                                             const at::Tensor& gradient) {
  const at::Tensor to_x = at::empty_like(x);
  const Sums sums(x, 1, false, kernels::gelu_parts_of(rows_of(x)));
  with_type(x.scalar_type(), [&](auto type) {
    using T = decltype(type);
    launch_on(x, [&](void* stream) {
      return kernels::bias_gelu_backward_cuda<T>(memory<T>(x), memory<float>(bias), memory<T>(gradient),
                                                 {memory<T>(to_x), memory<float>(sums.parts)}, rows_of(x),
                                                 stream);
    });
  });
  return {to_x, sums.add_up().of_images.view({-1})};
}

Rounded add_on_cuda(const Addition& addition, bool sums, bool rounds) {
  const Rounded result{sums ? at::empty_like(addition.x) : at::Tensor(),
                       rounds ? at::empty_like(addition.branch) : at::Tensor()};
  with_types(addition.x.scalar_type(), addition.branch.scalar_type(), [&](auto residual, auto branch) {
    using X = decltype(residual);
    using V = decltype(branch);
    const kernels::GatedResidual<X, V> work = {.x = memory<X>(addition.x),
                                               .gate = per_image(addition.gate),
                                               .branch = memory<V>(addition.branch),
                                               .sum = memory<X>(result.sum),
                                               .rounded = memory<V>(result.rounded),
                                               .bias = memory<float>(addition.bias)};
    launch_on(addition.x,
              [&](void* stream) { return kernels::gated_residual_cuda(work, rows_of(addition.x), stream); });
  });
  return result;
}

AdditionGradients add_backward_on_cuda(const KeptAddition& kept, const Rounded& gradients) {
  const at::Tensor &sum = gradients.sum, &rounded = gradients.rounded;
  if (!kept.gate.defined() && !rounded.defined() && kept.type == sum.scalar_type() && !kept.with_bias)
    return {sum, {}, sum};
  const at::Tensor to_branch = at::empty(sum.sizes(), sum.options().dtype(kept.type)),
                   to_x = rounded.defined() && !kept.leaves_x ? at::empty_like(sum) : at::Tensor();
  std::optional<Sums> sums;
  if (kept.branch.defined() || kept.with_bias)
    sums.emplace(sum, kept.branch.defined() ? 1 : 0, kept.with_bias);
  with_types(sum.scalar_type(), kept.type, [&](auto residual, auto branch) {
    using X = decltype(residual);
    using V = decltype(branch);
    const kernels::GatedResidualGradients<X, V> work = {.sum = memory<X>(sum),
                                                        .rounded = memory<V>(rounded),
                                                        .gate = per_image(kept.gate),
                                                        .branch = memory<V>(kept.branch),
                                                        .to_x = memory<X>(to_x),
                                                        .to_branch = memory<V>(to_branch),
                                                        .parts = sums ? memory<float>(sums->parts) : nullptr,
                                                        .bias = memory<float>(kept.bias),
                                                        .with_bias = kept.with_bias};
    launch_on(
        sum, [&](void* stream) { return kernels::gated_residual_backward_cuda(work, rows_of(sum), stream); });
  });
  const auto all = sums ? sums->add_up() : Sums::Result();
  return {to_x.defined() ? to_x : sum, kept.branch.defined() ? all.of_images : at::Tensor(), to_branch,
          all.bias};
}

Normed norm_on_cuda(const Addition& addition, const Earlier& earlier, const at::Tensor& shift,
                    const at::Tensor& scale, at::ScalarType out) {
  const at::Tensor& x = addition.x;
  const bool adds = addition.branch.defined();
  const Normed result{.sum = adds ? at::empty_like(x) : x,
                      .out = at::empty(x.sizes(), x.options().dtype(out)),
                      .mean = at::empty({x.size(0) * x.size(1)}, x.options().dtype(at::kFloat)),
                      .rstd = at::empty({x.size(0) * x.size(1)}, x.options().dtype(at::kFloat))};
  with_types(x.scalar_type(), out, [&](auto residual, auto branch) {
    using X = decltype(residual);
    using V = decltype(branch);
    const kernels::ResidualNorm<X, V> work = {
        .x = memory<X>(x),
        .gate = per_image(addition.gate),
        .branch = memory<V>(addition.branch),
        .shift = per_image(shift),
        .scale = per_image(scale),
        .sum = adds ? memory<X>(result.sum) : nullptr,
        .out = memory<V>(result.out),
        .mean = memory<float>(result.mean),
        .rstd = memory<float>(result.rstd),
        .eps = kNormEps,
        .bias = memory<float>(addition.bias),
        .earlier = {per_image(earlier.gate), memory<V>(earlier.branch), memory<float>(earlier.bias)}};
    launch_on(x, [&](void* stream) { return kernels::residual_norm_cuda(work, rows_of(x), stream); });
  });
  return result;
}

NormGradients norm_backward_on_cuda(const KeptNorm& kept, const NormedGradients& gradients) {
  const at::Tensor& out = gradients.out;
  const KeptAddition& addition = kept.addition;
  const bool own_branch =
      addition.has_branch && (addition.gate.defined() || out.scalar_type() != kept.sum.scalar_type());
  const at::Tensor to_x = at::empty_like(kept.sum),
                   to_branch = own_branch ? at::empty_like(out) : at::Tensor();
  const bool with_gate = addition.branch.defined();
  std::optional<Sums> sums;
  if (kept.with_modulation || with_gate || addition.with_bias)
    sums.emplace(to_x, with_gate ? 3 : 2, addition.with_bias);
  with_types(kept.sum.scalar_type(), out.scalar_type(), [&](auto residual, auto branch) {
    using X = decltype(residual);
    using V = decltype(branch);
    const kernels::ResidualNormGradients<X, V> work = {.out = memory<V>(out),
                                                       .sum_gradient = memory<X>(gradients.sum),
                                                       .sum = memory<X>(kept.sum),
                                                       .mean = memory<float>(kept.mean),
                                                       .rstd = memory<float>(kept.rstd),
                                                       .scale = per_image(kept.scale),
                                                       .gate = per_image(addition.gate),
                                                       .branch = memory<V>(addition.branch),
                                                       .to_x = memory<X>(to_x),
                                                       .to_branch = memory<V>(to_branch),
                                                       .parts = sums ? memory<float>(sums->parts) : nullptr,
                                                       .bias = memory<float>(addition.bias),
                                                       .with_bias = addition.with_bias,
                                                       .rounded_gradient = memory<V>(gradients.rounded)};
    launch_on(
        out, [&](void* stream) { return kernels::residual_norm_backward_cuda(work, rows_of(to_x), stream); });
  });
  NormGradients result{
      .addition = {.x = to_x, .gate = {}, .branch = own_branch ? to_branch : to_x}, .shift = {}, .scale = {}};
  if (!sums) return result;
  const auto [all, to_bias] = sums->add_up();
  result.addition.bias = to_bias;
  result.shift = all.narrow(1, 0, 1);
  result.scale = all.narrow(1, 1, 1);
  if (with_gate) result.addition.gate = all.narrow(1, 2, 1);
  return result;
}

}  // namespace

Joined join_on_cuda(const std::vector<at::Tensor>& parts, bool sums) {
  const at::Tensor& first = parts.front();
  const int64_t width = first.size(-1), joined = width * int64_t(parts.size()),
                rows = width > 0 ? first.numel() / width : 0, count = kernels::join_parts_of(rows);
  std::vector<int64_t> sizes = first.sizes().vec();
  sizes.back() = joined;
  const auto wide = first.options().dtype(at::kFloat);
  const at::Tensor of_parts = sums ? at::empty({count, joined}, wide) : at::Tensor(),
                   total = !sums || rows > 0 ? at::Tensor() : at::zeros({joined}, wide);
  const Joined result{at::empty(sizes, first.options()),
                      sums && rows > 0 ? at::empty({joined}, wide) : total};
  if (rows == 0) return result;
  with_type(first.scalar_type(), [&](auto type) {
    using T = decltype(type);
    kernels::JoinedRows<T> work = {.sources = {},
                                   .count = int(parts.size()),
                                   .out = memory<T>(result.rows),
                                   .parts = memory<float>(of_parts)};
    std::transform(parts.begin(), parts.end(), work.sources,
                   [](const auto& part) { return memory<T>(part); });
    launch_on(first, [&](void* stream) { return kernels::join_rows_cuda(work, rows, width, stream); });
  });
  if (sums)
    launch_on(first, [&](void* stream) {
      return kernels::sum_parts_cuda(memory<float>(of_parts), memory<float>(result.sums), nullptr,
                                     {1, count, joined}, stream);
    });
  return result;
}

const Passes kCudaPasses = {.bias_gelu = bias_gelu_on_cuda,
                            .bias_gelu_backward = bias_gelu_backward_on_cuda,
                            .add = add_on_cuda,
                            .add_backward = add_backward_on_cuda,
                            .norm = norm_on_cuda,
                            .norm_backward = norm_backward_on_cuda};

const std::string& fused_kernel_problem(const at::Device& device) {
  static std::mutex mutex;
  static std::unordered_map<at::Device, std::string> problems;
  const std::lock_guard lock(mutex);
  const auto [found, is_new] = problems.try_emplace(device);
  if (!is_new || device.is_cpu()) return found->second;
  const c10::DeviceGuard guard(device);
  const c10::impl::VirtualGuardImpl of_type(device.type());
  const char* error = kernels::bias_gelu_cuda<float>(
      nullptr, nullptr, nullptr, {}, of_type.getStreamNativeHandle(of_type.getStream(device)));
  if (error != nullptr) found->second = error;
  return found->second;
}

}  // namespace pixart::nn

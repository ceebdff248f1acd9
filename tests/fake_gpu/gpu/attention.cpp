// scaled_dot_product_attention: the CPU's flash attention, with a note of what CUDA would be asked for.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/native/transformers/attention.h>
#include <torch/library.h>

#include <array>
#include <optional>
#include <string>
#include <tuple>

#include "record.h"
#include "tensors.h"

namespace fake_gpu {

namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

// The back ends that the program allows, in the order in which CUDA would try them on a GPU of 2023 or later.
std::string allowed_back_ends() {
  const auto& context = at::globalContext();
  std::string text;
  const auto add = [&](bool allowed, const char* name) {
    if (allowed) text += (text.empty() ? "" : ",") + std::string(name);
  };
  add(context.userEnabledCuDNNSDP(), "cudnn");
  add(context.userEnabledFlashSDP(), "flash");
  add(context.userEnabledMemEfficientSDP(), "efficient");
  add(context.userEnabledMathSDP(), "math");
  return text;
}

// Flash attention takes no mask and no float32.
std::string likely_back_end(const Tensor& query, bool has_mask) {
  const auto& context = at::globalContext();
  const bool is_half = query.scalar_type() == at::kHalf || query.scalar_type() == at::kBFloat16;
  if (context.userEnabledCuDNNSDP() && is_half) return "cudnn";
  if (context.userEnabledFlashSDP() && is_half && !has_mask) return "flash";
  return context.userEnabledMemEfficientSDP() ? "efficient" : "math";
}

int64_t choose_back_end(const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&, double, bool,
                        std::optional<double>, bool) {
  return int64_t(at::SDPBackend::overrideable);
}

OptionalTensor mask_on_cpu(const Tensor& mask) {
  return mask.defined() ? OptionalTensor(on_cpu(mask)) : std::nullopt;
}

using Forward = std::tuple<Tensor, Tensor, Tensor, Tensor, c10::SymInt, c10::SymInt, Tensor, Tensor, Tensor>;
Forward attention(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& mask,
                  double, bool causal, bool, std::optional<double> scale) {
  const InKernel in_kernel;
  const bool has_mask = mask && mask->defined();
  auto [out, sums] = at::_scaled_dot_product_flash_attention_for_cpu(
      on_cpu(query), on_cpu(key), on_cpu(value), 0, causal, mask_on_cpu(mask.value_or(Tensor())), scale);
  const Tensor result = to_device(out, query.device()), kept = to_device(sums, query.device());
  count_kernel("attention", {query, key, value, mask.value_or(Tensor())}, {result, kept});
  count_attention(c10::str("query ", query.sizes(), " key ", key.sizes(), " ", query.scalar_type(),
                           has_mask ? " masked" : "", "; allowed ", allowed_back_ends(), "; likely ",
                           likely_back_end(query, has_mask)));
  return {result, kept, Tensor(), Tensor(), query.size(2), key.size(2), Tensor(), Tensor(), Tensor()};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> attention_backward(
    const Tensor& gradient, const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& mask,
    std::array<bool, 4>, const Tensor& out, const Tensor& sums, const Tensor&, const Tensor&, c10::SymInt,
    c10::SymInt, double, bool causal, const Tensor&, const Tensor&, std::optional<double> scale) {
  const InKernel in_kernel;
  auto [for_query, for_key, for_value] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      on_cpu(gradient), on_cpu(query), on_cpu(key), on_cpu(value), on_cpu(out), on_cpu(sums), 0, causal,
      mask_on_cpu(mask), scale);
  const auto device = query.device();
  const Tensor a = to_device(for_query, device), b = to_device(for_key, device),
               c = to_device(for_value, device);
  count_kernel("attention backward", {gradient, query, key, value, mask, out, sums}, {a, b, c});
  return {a, b, c, Tensor()};
}

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("_fused_sdp_choice", &choose_back_end);
  m.impl("_scaled_dot_product_fused_attention_overrideable", &attention);
  m.impl("_scaled_dot_product_fused_attention_overrideable_backward", &attention_backward);
}

struct AttentionStart {
  AttentionStart() { at::native::_fused_sdp_choice_stub.set_cuda_dispatch_ptr(&choose_back_end); }
} g_attention_start;

}  // namespace

}  // namespace fake_gpu

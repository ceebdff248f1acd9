// scaled_dot_product_attention, and FlashAttention of texts of any lengths: the CPU's flash attention, with a
// note of what CUDA would be asked for.
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

// The texts of variable-length attention: rows [begin(i), end(i)) of the queries meet those of the keys.
struct Texts {
  const int* starts;
  int64_t count;
  Texts(const Tensor& bounds, int64_t rows, int64_t longest, const char* what)
      : starts(bounds.const_data_ptr<int>()), count(bounds.numel() - 1) {
    TORCH_CHECK(bounds.scalar_type() == at::kInt && bounds.is_contiguous(), "bounds of ", what, " are int32");
    for (int64_t i = 0; i < count; ++i)
      if (begin(i) < 0 || size(i) < 0 || size(i) > longest || begin(i) + size(i) > rows)
        report_fault(c10::str(what, " ", begin(i), " .. ", begin(i) + size(i), " of ", rows,
                              " rows, at most ", longest));
  }
  int64_t begin(int64_t i) const { return starts[i]; }
  int64_t size(int64_t i) const { return starts[i + 1] - starts[i]; }
  // [R, h, d] -> [1, h, rows of text i, d]
  Tensor of(const Tensor& rows, int64_t i) const {
    return rows.narrow(0, begin(i), size(i)).transpose(0, 1).unsqueeze(0);
  }
};

using Packed = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;
Packed packed_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                        const OptionalTensor& query_bounds, const OptionalTensor& key_bounds,
                        c10::SymInt most_queries, c10::SymInt most_keys, double, bool causal, bool,
                        std::optional<double> scale, std::optional<c10::SymInt>, std::optional<c10::SymInt>,
                        const OptionalTensor&, const OptionalTensor&) {
  const InKernel in_kernel;
  TORCH_CHECK(query_bounds && key_bounds && query.dim() == 3,
              "the fake GPU knows flash attention of packed texts only");
  TORCH_CHECK(query.scalar_type() == at::kHalf || query.scalar_type() == at::kBFloat16,
              "FlashAttention only support fp16 and bf16 data type");
  TORCH_CHECK(query.size(2) % 8 == 0 && query.stride(2) == 1 && key.stride(2) == 1 && value.stride(2) == 1,
              "flash attention of heads of ", query.size(2),
              " channels, or of channels that are not next to each other");
  const Tensor q = on_cpu(query), k = on_cpu(key), v = on_cpu(value), q_bounds = on_cpu(*query_bounds),
               k_bounds = on_cpu(*key_bounds);
  const Texts queries(q_bounds, q.size(0), most_queries.expect_int(), "queries"),
      keys(k_bounds, k.size(0), most_keys.expect_int(), "keys");
  const Tensor result = empty_like_cpu(at::empty(q.sizes(), q.options()), query.device()),
               kept = empty_like_cpu(at::empty({q.size(1), q.size(0)}, at::kFloat), query.device());
  const Tensor out = on_cpu(result), sums = on_cpu(kept);
  for (int64_t i = 0; i < queries.count; ++i) {
    if (queries.size(i) == 0) continue;
    const auto [part, sums_of_part] = at::_scaled_dot_product_flash_attention_for_cpu(
        queries.of(q, i), keys.of(k, i), keys.of(v, i), 0, causal, {}, scale);
    queries.of(out, i).copy_(part);
    sums.narrow(1, queries.begin(i), queries.size(i)).copy_(sums_of_part[0]);
  }
  count_kernel("attention of texts", {query, key, value, *query_bounds, *key_bounds}, {result, kept});
  count_attention(c10::str("query ", query.sizes(), " keys ", key.sizes(), " ", query.scalar_type(), " of ",
                           queries.count, " texts of ", most_queries, " and ", most_keys, "; likely flash"));
  return {result, kept, Tensor(), Tensor(), Tensor()};
}

std::tuple<Tensor, Tensor, Tensor> packed_attention_backward(
    const Tensor& gradient, const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& out,
    const Tensor& sums, const Tensor& query_bounds, const Tensor& key_bounds, c10::SymInt most_queries,
    c10::SymInt most_keys, double, bool causal, const Tensor&, const Tensor&, std::optional<double> scale,
    std::optional<c10::SymInt>, std::optional<c10::SymInt>) {
  const InKernel in_kernel;
  const Tensor down = on_cpu(gradient), q = on_cpu(query), k = on_cpu(key), v = on_cpu(value),
               result = on_cpu(out), kept = on_cpu(sums), q_bounds = on_cpu(query_bounds),
               k_bounds = on_cpu(key_bounds);
  const Texts queries(q_bounds, q.size(0), most_queries.expect_int(), "queries"),
      keys(k_bounds, k.size(0), most_keys.expect_int(), "keys");
  std::array<Tensor, 3> device, cpu;  // rows of no text stay as memory is
  for (size_t i = 0; i < 3; ++i) {
    device[i] = empty_like_cpu(at::empty(i == 0 ? q.sizes() : k.sizes(), q.options()), query.device());
    cpu[i] = on_cpu(device[i]);
  }
  for (int64_t i = 0; i < queries.count; ++i) {
    if (queries.size(i) == 0) {  // keys that no query reads
      for (size_t part = 1; part < 3; ++part) keys.of(cpu[part], i).zero_();
      continue;
    }
    const auto [for_query, for_key, for_value] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
        queries.of(down, i), queries.of(q, i), keys.of(k, i), keys.of(v, i), queries.of(result, i),
        kept.narrow(1, queries.begin(i), queries.size(i)).t().contiguous().t().unsqueeze(0), 0, causal, {},
        scale);
    queries.of(cpu[0], i).copy_(for_query);
    keys.of(cpu[1], i).copy_(for_key);
    keys.of(cpu[2], i).copy_(for_value);
  }
  count_kernel("attention of texts backward",
               {gradient, query, key, value, out, sums, query_bounds, key_bounds},
               {device[0], device[1], device[2]});
  return {device[0], device[1], device[2]};
}

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("_flash_attention_forward", &packed_attention);
  m.impl("_flash_attention_backward", &packed_attention_backward);
  m.impl("_fused_sdp_choice", &choose_back_end);
  m.impl("_scaled_dot_product_fused_attention_overrideable", &attention);
  m.impl("_scaled_dot_product_fused_attention_overrideable_backward", &attention_backward);
}

struct AttentionStart {
  AttentionStart() { at::native::_fused_sdp_choice_stub.set_cuda_dispatch_ptr(&choose_back_end); }
} g_attention_start;

}  // namespace

}  // namespace fake_gpu

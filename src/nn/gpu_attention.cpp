#include "gpu_attention.h"

#include <ATen/ATen.h>
#include <ATen/SDPBackend.h>

#include <cmath>

#include "attention_timing.h"
#include "pixart/base/error.h"

namespace pixart::nn {

namespace {

constexpr int64_t kHeadUnit = 8;  // FlashAttention's loads

bool is_half(at::ScalarType dtype) { return dtype == at::kBFloat16 || dtype == at::kHalf; }

at::Tensor rows_of_heads(const at::Tensor& x, int64_t num_heads) {  // [R, D] -> [R, h, d], a view
  return x.unflatten(-1, {num_heads, x.size(-1) / num_heads});
}

}  // namespace

bool has_packed_attention(c10::Device device, at::ScalarType dtype, int64_t head_size) {
  if (!device.is_cuda() || !is_half(dtype) || head_size % kHeadUnit != 0) return false;
  at::Tensor probe = at::empty({1, 1, kHeadUnit, head_size}, at::TensorOptions(device).dtype(dtype));
  probe.set_requires_grad(true);
  const auto choice = at::SDPBackend(at::_fused_sdp_choice(probe, probe, probe));
  return choice == at::SDPBackend::flash_attention || choice == at::SDPBackend::overrideable;
}

at::Tensor packed_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const TextLayout& text, int64_t num_heads) {
  const int64_t batch = q.size(0), queries = q.size(1), width = q.size(2);
  PIXART_CHECK(text.queries.defined() && text.batch == batch, "{} texts for {} samples", text.batch, batch);
  const at::Tensor out = std::get<0>(at::_flash_attention_forward(
      rows_of_heads(q.reshape({batch * queries, width}), num_heads), rows_of_heads(k, num_heads),
      rows_of_heads(v, num_heads), text.queries, text.bounds.select(0, 0), queries, text.most,
      /*dropout_p=*/0, /*is_causal=*/false, /*return_debug_mask=*/false,
      std::optional(1 / std::sqrt(double(width / num_heads)))));
  return out.reshape({batch, queries, width});
}

at::Tensor dense_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  if (!q.is_cuda() || !is_half(q.scalar_type()) || q.size(-1) % kHeadUnit != 0)
    return at::scaled_dot_product_attention(q, k, v);
  return attention_in(fastest_form(q, k.size(2)), q, k, v);
}

}  // namespace pixart::nn

#include "pixart/nn/layers.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "attention_ops.h"
#include "fused_ops.h"
#include "gpu_attention.h"
#include "gpu_linear.h"
#include "pixart/base/error.h"
#include "pixart/nn/device.h"
#include "pixart/nn/kept_copy.h"
#include "pixart/nn/observe.h"
#include "pixart/nn/recompute.h"

namespace pixart::nn {

namespace {

constexpr int64_t kTimestepFeatures = 256;
constexpr double kAffineNormEps = 1e-5;
constexpr int64_t kMostLengths = 6, kMostTotals = 7, kLengthMultiple = 8;  // of captions on a GPU

thread_local const ObservedProducts::See* observer = nullptr;

int64_t rounded_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

at::Tensor heads(const at::Tensor& x, int64_t num_heads) {  // [B, N, D] -> [B, h, N, d], a view
  return x.unflatten(-1, {num_heads, x.size(-1) / num_heads}).transpose(1, 2);
}

at::Tensor linear_in_type_of(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto dtype = x.scalar_type();
  const at::Tensor own = in_type(weight, dtype);
  const at::Tensor y =
      has_gpu_linear(x, own) ? gpu_linear(x, own, bias, 1).front() : at::linear(x, own, in_type(bias, dtype));
  if (observer != nullptr) (*observer)(weight, y);
  return y;
}

at::Tensor merge_heads(const at::Tensor& x) { return x.transpose(1, 2).flatten(2); }

}  // namespace

ObservedProducts::ObservedProducts(See see) : see_(std::move(see)) {
  PIXART_CHECK(observer == nullptr, "products that are observed twice");
  observer = &see_;
}
ObservedProducts::~ObservedProducts() { observer = nullptr; }

Linear::Linear(const Scope& scope, int64_t in, int64_t out, bool with_bias)
    : weight(scope.parameter("weight", {out, in})), lora(scope.linear()) {
  if (with_bias) bias = scope.parameter("bias", {out});
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  return with_adapter(x, linear_in_type_of(x, weight, bias));
}

at::Tensor Linear::product(const at::Tensor& x) const {
  return with_adapter(x, linear_in_type_of(x, weight, {}));
}

std::vector<at::Tensor> Linear::parts(const at::Tensor& x, int64_t count) const {
  const at::Tensor own = in_type(weight, x.scalar_type());
  const bool is_plain = (!lora || !lora->a.defined()) && observer == nullptr;
  return is_plain && has_gpu_linear(x, own, count) ? gpu_linear(x, own, bias, count)
                                                   : (*this)(x).chunk(count, -1);
}

bool Linear::adds_bias_later(const at::Tensor& x) const {
  return bias.defined() && x.is_cuda() && has_fused_form(x, weight.size(0));
}

Branch Linear::branch(const at::Tensor& x) const {
  return adds_bias_later(x) ? Branch(product(x), bias) : Branch((*this)(x));
}

Branch Linear::last_branch(const at::Tensor& x) const {
  const at::Tensor own = in_type(weight, x.scalar_type());
  const bool is_plain = (!lora || !lora->a.defined()) && observer == nullptr;
  if (!wants_only_graph() || !is_plain || !adds_bias_later(x) || !has_gpu_linear(x, own)) return branch(x);
  return {gpu_linear_without_values(x, own), bias};
}

at::Tensor Linear::with_adapter(const at::Tensor& x, const at::Tensor& y) const {
  if (!lora || !lora->a.defined()) return y;
  return at::add(y, linear_in_type_of(linear_in_type_of(x, lora->a, {}), lora->b, {}), lora->scale);
}

at::Tensor at_least_float(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf ? x.to(at::kFloat) : x;
}

Mlp::Mlp(const Scope& scope, int64_t in, int64_t hidden, int64_t out)
    : fc1(scope / "fc1", in, hidden), fc2(scope / "fc2", hidden, out) {}

at::Tensor Mlp::operator()(const at::Tensor& x) const { return fc2(activated(x)); }
Branch Mlp::last_branch(const at::Tensor& x) const { return fc2.last_branch(activated(x)); }

at::Tensor Mlp::activated(const at::Tensor& x) const {
  const bool is_fused = has_fused_form(x, fc1.weight.size(0));
  return is_fused ? bias_gelu(fc1.product(x), fc1.bias) : at::gelu(fc1(x), "tanh");
}

AffineNorm::AffineNorm(const Scope& scope, int64_t width)
    : weight(scope.parameter("weight", {width})), bias(scope.parameter("bias", {width})) {}

at::Tensor AffineNorm::operator()(const at::Tensor& x) const {
  return at::layer_norm(at_least_float(x), {x.size(-1)}, at_least_float(weight), at_least_float(bias),
                        kAffineNormEps)
      .to(x.scalar_type());
}

SelfAttention::SelfAttention(const Scope& scope, int64_t width, int64_t head_count, bool qk_norm)
    : qkv(scope / "qkv", width, 3 * width), proj(scope / "proj", width, width), num_heads(head_count) {
  if (!qk_norm) return;
  q_norm = AffineNorm(scope / "q_norm", width);
  k_norm = AffineNorm(scope / "k_norm", width);
}

at::Tensor SelfAttention::operator()(const at::Tensor& x, const FewerTokens& fewer) const {
  return proj(attended(x, fewer));
}
Branch SelfAttention::branch(const at::Tensor& x, const FewerTokens& fewer) const {
  return proj.branch(attended(x, fewer));
}

at::Tensor SelfAttention::attended(const at::Tensor& x, const FewerTokens& fewer) const {
  const bool with_norm = q_norm.weight.defined();
  if (!with_norm && !fewer && has_fused_attention(x)) return self_attention(qkv(x), num_heads);
  const auto parts = qkv.parts(x, 3);
  const at::Tensor q = with_norm ? q_norm(parts[0]) : parts[0];
  at::Tensor k = with_norm ? k_norm(parts[1]) : parts[1], v = parts[2];
  if (fewer) k = fewer(k), v = fewer(v);
  return merge_heads(dense_attention(heads(q, num_heads), heads(k, num_heads), heads(v, num_heads)));
}

int64_t padded_length(int64_t longest, int64_t most) {
  const int64_t unit = rounded_up(rounded_up(most, kMostLengths) / kMostLengths, kLengthMultiple);
  return std::min(rounded_up(longest, unit), most);
}

namespace {

int64_t unit_of_totals(int64_t batch, int64_t most) {
  return rounded_up((batch * most + kMostTotals - 1) / kMostTotals, kLengthMultiple);
}

// Pads the rows of a GPU's layout, and says where they are (TextLayout::bounds).
void add_padding_texts(TextLayout& layout) {
  const int64_t total = layout.source.size(0), batch = layout.batch,
                rows = padded_total(total, batch, layout.most),
                texts = batch + (unit_of_totals(batch, layout.most) - 2) / layout.most + 1;
  layout.source = at::cat({layout.source, at::zeros({rows - total}, layout.source.options())});
  layout.bounds = at::empty({2, texts + 1}, at::kInt);
  auto begins = layout.bounds.accessor<int, 2>();
  const auto starts = layout.starts.accessor<int64_t, 1>();
  for (int64_t i = 0; i <= texts; ++i) {
    begins[0][i] = int(i <= batch ? starts[i] : std::min(total + (i - batch) * layout.most, rows));
    begins[1][i] = int(std::min(i, batch));
  }
}

}  // namespace

int64_t padded_total(int64_t total, int64_t batch, int64_t most) {
  return rounded_up(total, unit_of_totals(batch, most));
}

TextLayout text_layout(const at::Tensor& mask, int64_t batch, c10::Device device) {
  const int64_t length = mask.size(-1);
  PIXART_CHECK(batch % mask.size(0) == 0, "mask of {} rows for {} texts", mask.size(0), batch);
  const at::Tensor keep = mask.reshape({mask.size(0), length}).repeat({batch / mask.size(0), 1}).ne(0);
  const at::Tensor lengths = keep.sum(1), lengths_on_host = lengths.cpu();
  const int64_t shortest = lengths_on_host.min().item<int64_t>();
  PIXART_CHECK(shortest > 0, "a caption has no token");
  const int64_t longest = lengths_on_host.max().item<int64_t>();
  at::Tensor starts = at::zeros({batch + 1}, at::kLong);
  starts.narrow(0, 1, batch).copy_(lengths_on_host.cumsum(0));
  TextLayout layout{.source = keep.flatten().nonzero().squeeze(1),
                    .starts = starts,
                    .batch = batch,
                    .longest = device.is_cuda() ? padded_length(longest, length) : longest,
                    .slot = {},
                    .mask = {},
                    .most = length,
                    .bounds = {},
                    .queries = {}};
  if (device.is_cuda()) add_padding_texts(layout);
  if (shortest == (device.is_cuda() ? length : longest)) return layout;
  const at::Tensor place = at::arange(layout.longest, lengths.options());
  const at::Tensor used = place.unsqueeze(0) < lengths.unsqueeze(1);
  const at::Tensor first = lengths.cumsum(0) - lengths;
  layout.slot = (first.unsqueeze(1) + place.unsqueeze(0)).masked_fill(used.logical_not(), 0).flatten();
  layout.mask = used.view({batch, 1, 1, layout.longest});
  return layout;
}

PackedText pack_text_by(const TextLayout& layout, const at::Tensor& text, int64_t head_size) {
  PIXART_CHECK(layout.batch == text.size(0), "a layout of {} texts for {}", layout.batch, text.size(0));
  PackedText packed{layout, {}};
  packed.source = on_device(layout.source, text.device());
  packed.tokens = text.flatten(0, 1).index_select(0, packed.source);
  const bool stays_packed = layout.bounds.defined() && head_size > 0 &&
                            has_packed_attention(text.device(), text.scalar_type(), head_size);
  for (at::Tensor* tensor : {&packed.slot, &packed.mask, &packed.bounds}) {
    const bool is_read = tensor->defined() && stays_packed == (tensor == &packed.bounds);
    *tensor = is_read ? on_device(*tensor, text.device()) : at::Tensor();
  }
  return packed;
}

PackedText pack_text(const at::Tensor& text, const at::Tensor& mask, int64_t head_size) {
  const int64_t batch = text.size(0), length = text.size(1);
  PIXART_CHECK(!mask.defined() || mask.size(-1) == length, "mask of {} tokens for text of {}", mask.size(-1),
               length);
  if (mask.defined() || text.is_cuda())
    return pack_text_by(
        text_layout(mask.defined() ? mask : at::ones({1, length}, at::kLong), batch, text.device()), text,
        head_size);
  PackedText packed;
  packed.source = at::arange(batch * length, at::kLong);
  packed.starts = at::arange(batch + 1, at::kLong) * length;
  packed.batch = batch, packed.longest = packed.most = length;
  packed.tokens = text.flatten(0, 1);
  return packed;
}

void set_queries(TextLayout& layout, int64_t count) {
  if (layout.bounds.defined()) layout.queries = layout.bounds.select(0, 1) * count;
}

CrossAttention::CrossAttention(const Scope& scope, int64_t width, int64_t head_count)
    : q_linear(scope / "q_linear", width, width),
      kv_linear(scope / "kv_linear", width, 2 * width),
      proj(scope / "proj", width, width),
      num_heads(head_count) {}

at::Tensor CrossAttention::operator()(const at::Tensor& x, const PackedText& text) const {
  return attend(x, keys_and_values(text), text);
}

at::Tensor CrossAttention::keys_and_values(const PackedText& text) const {
  at::Tensor kv = kv_linear(text.tokens);  // [S, 2D]
  if (has_fused_attention(kv) || text.bounds.defined()) return kv;
  const int64_t positions = text.batch * text.longest;
  if (text.slot.defined())
    kv = kv.index_select(0, text.slot);
  else if (kv.size(0) > positions)  // padded_total()
    kv = kv.narrow(0, 0, positions);
  return kv.view({text.batch, text.longest, kv.size(1)});
}

at::Tensor CrossAttention::attend(const at::Tensor& x, const at::Tensor& keys_and_values,
                                  const TextLayout& text) const {
  return proj(attended(x, keys_and_values, text));
}
Branch CrossAttention::branch(const at::Tensor& x, const at::Tensor& kept, const PackedText& text) const {
  if (kept.defined() || !text.bounds.defined())
    return proj.branch(attended(x, kept.defined() ? kept : keys_and_values(text), text));
  const auto parts = kv_linear.parts(text.tokens, 2);
  return proj.branch(packed_attention(q_linear(x), parts[0], parts[1], text, num_heads));
}

at::Tensor CrossAttention::attended(const at::Tensor& x, const at::Tensor& keys_and_values,
                                    const TextLayout& text) const {
  if (keys_and_values.dim() == 2 && !text.bounds.defined())
    return text_attention(q_linear(x), keys_and_values, text.starts, num_heads);
  const auto parts = keys_and_values.chunk(2, -1);
  if (text.bounds.defined()) return packed_attention(q_linear(x), parts[0], parts[1], text, num_heads);
  const at::Tensor out = at::scaled_dot_product_attention(
      heads(q_linear(x), num_heads), heads(parts[0], num_heads), heads(parts[1], num_heads),
      text.mask.defined() ? std::optional<at::Tensor>(text.mask) : std::nullopt);
  return merge_heads(out);
}

TimestepEmbedder::TimestepEmbedder(const Scope& scope, int64_t width)
    : mlp0(scope / "mlp" / 0, kTimestepFeatures, width), mlp2(scope / "mlp" / 2, width, width) {}

at::Tensor TimestepEmbedder::operator()(const at::Tensor& t, at::ScalarType dtype) const {
  constexpr int64_t kHalf = kTimestepFeatures / 2;
  const auto options = at::TensorOptions().dtype(at::kFloat).device(t.device());
  const at::Tensor frequencies = at::exp(at::arange(kHalf, options) * (-std::log(10000.0) / double(kHalf)));
  const at::Tensor angles = t.to(at::kFloat).unsqueeze(1) * frequencies;
  const at::Tensor features = at::cat({angles.cos(), angles.sin()}, 1).to(dtype);
  return mlp2(at::silu(mlp0(features)));
}

PatchEmbed::PatchEmbed(const Scope& scope, int64_t channels, int64_t patch_size, int64_t width)
    : weight(scope.parameter("weight", {width, channels, patch_size, patch_size})),
      bias(scope.parameter("bias", {width})) {}

at::Tensor PatchEmbed::operator()(const at::Tensor& latent) const {
  const int64_t batch = latent.size(0), channels = latent.size(1), p = weight.size(2),
                rows = latent.size(2) / p, cols = latent.size(3) / p;
  PIXART_CHECK(rows * p == latent.size(2) && cols * p == latent.size(3), "latent of {} x {}, patch {}",
               latent.size(2), latent.size(3), p);
  const at::Tensor patches = latent.reshape({batch, channels, rows, p, cols, p})
                                 .permute({0, 2, 4, 1, 3, 5})
                                 .reshape({batch, rows * cols, channels * p * p});
  return linear_in_type_of(patches, weight.flatten(1), bias);
}

at::Tensor unpatchify(const at::Tensor& tokens, int64_t rows, int64_t cols, int64_t patch_size) {
  const int64_t batch = tokens.size(0), p = patch_size, channels = tokens.size(2) / (p * p);
  return tokens.view({batch, rows, cols, p, p, channels})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({batch, channels, rows * p, cols * p});
}

}  // namespace pixart::nn

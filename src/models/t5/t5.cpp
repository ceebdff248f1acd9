#include "pixart/models/t5.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/nn/device.h"
#include "pixart/nn/layers.h"
#include "pixart/nn/random_fill.h"

namespace pixart::models {

namespace {

struct RmsNorm {
  at::Tensor weight;
  double eps = 0;

  RmsNorm() = default;
  RmsNorm(const nn::Scope& scope, const T5Config& c)
      : weight(scope.parameter("weight", {c.d_model})), eps(c.layer_norm_epsilon) {}

  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor scale = at::rsqrt(x.to(at::kFloat).square().mean(-1, /*keepdim=*/true) + eps);
    return weight * (x * scale).to(weight.scalar_type());
  }
};

struct SelfAttention {
  nn::Linear q, k, v, o;
  int64_t num_heads;

  SelfAttention(const nn::Scope& scope, const T5Config& c)
      : q(scope / "q", c.d_model, c.num_heads * c.d_kv, false),
        k(scope / "k", c.d_model, c.num_heads * c.d_kv, false),
        v(scope / "v", c.d_model, c.num_heads * c.d_kv, false),
        o(scope / "o", c.num_heads * c.d_kv, c.d_model, false),
        num_heads(c.num_heads) {}

  // x [B, T, D], bias [B, h, T, T]. Scores are not divided by sqrt(d_kv): the initialisation accounts for it.
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& bias) const {
    const auto heads = [this](const at::Tensor& t) {
      return t.unflatten(-1, {num_heads, -1}).transpose(1, 2);
    };
    const at::Tensor scores = at::matmul(heads(q(x)), heads(k(x)).transpose(-1, -2)) + bias;
    const at::Tensor weights = at::softmax(scores, -1, at::kFloat).to(scores.scalar_type());
    return o(at::matmul(weights, heads(v(x))).transpose(1, 2).flatten(2));
  }
};

struct GatedMlp {
  nn::Linear wi_0, wi_1, wo;

  GatedMlp(const nn::Scope& scope, const T5Config& c)
      : wi_0(scope / "wi_0", c.d_model, c.d_ff, false),
        wi_1(scope / "wi_1", c.d_model, c.d_ff, false),
        wo(scope / "wo", c.d_ff, c.d_model, false) {}

  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor inner = at::gelu(wi_0(x), "tanh") * wi_1(x);
    // The released weights overflow float16 here; transformers computes this product in float32, too.
    if (inner.scalar_type() == at::kHalf) return at::linear(inner.to(at::kFloat), wo.weight.to(at::kFloat));
    return wo(inner);
  }
};

struct T5Block {
  SelfAttention attention;
  RmsNorm attention_norm;
  GatedMlp mlp;
  RmsNorm mlp_norm;

  T5Block(const nn::Scope& scope, const T5Config& c)
      : attention(scope / "layer" / 0 / "SelfAttention", c),
        attention_norm(scope / "layer" / 0 / "layer_norm", c),
        mlp(scope / "layer" / 1 / "DenseReluDense", c),
        mlp_norm(scope / "layer" / 1 / "layer_norm", c) {}

  at::Tensor operator()(const at::Tensor& x, const at::Tensor& bias) const {
    const at::Tensor after = x + attention(attention_norm(x), bias);
    return after + mlp(mlp_norm(after));
  }
};

double lowest(at::ScalarType type) {
  switch (type) {
    case at::kHalf:
      return std::numeric_limits<at::Half>::lowest();
    case at::kBFloat16:
      return std::numeric_limits<at::BFloat16>::lowest();
    default:
      return std::numeric_limits<float>::lowest();
  }
}

}  // namespace

struct T5Layers {
  at::Tensor embedding, bias_table;
  std::vector<T5Block> blocks;
  RmsNorm final_norm;
  mutable std::mutex mutex;
  mutable at::Tensor buckets;

  T5Layers(const nn::Scope& scope, const T5Config& c) {
    const nn::Scope encoder = scope / "encoder", block = encoder / "block";
    embedding = (scope / "shared").parameter("weight", {c.vocab_size, c.d_model});
    for (int64_t i = 0; i < c.num_layers; ++i) blocks.emplace_back(block / i, c);
    const nn::Scope table = block / 0 / "layer" / 0 / "SelfAttention" / "relative_attention_bias";
    bias_table = table.parameter("weight", {c.relative_attention_num_buckets, c.num_heads});
    final_norm = {encoder / "final_layer_norm", c};
  }

  // relative_buckets() on the device of the weights: the middle of those of the longest text so far.
  at::Tensor buckets_for(int64_t length, const T5Config& c) const {
    const std::scoped_lock lock(mutex);
    const int64_t known = buckets.defined() ? (buckets.size(0) + 1) / 2 : 0;
    if (known < length) buckets = nn::on_device(relative_buckets(length, c), bias_table.device());
    return buckets.narrow(0, std::max<int64_t>(known - length, 0), 2 * length - 1);
  }

  // The sum of the terms added to each block's scores: position bias, and the lowest number for masked keys.
  at::Tensor score_bias(const at::Tensor& mask, const T5Config& c) const {  // [B, T] -> [B, h, T, T]
    const int64_t length = mask.size(1);
    const auto type = bias_table.scalar_type();
    const at::Tensor place = at::arange(length, at::TensorOptions().dtype(at::kLong).device(mask.device()));
    const at::Tensor offset = place.unsqueeze(0) - place.unsqueeze(1) + (length - 1);  // key - query, from 0
    const at::Tensor bucket = buckets_for(length, c).index_select(0, offset.flatten());
    const at::Tensor bias =
        at::embedding(bias_table, bucket).view({1, length, length, -1}).permute({0, 3, 1, 2});
    return bias + (1 - mask.to(type)).mul(lowest(type)).unsqueeze(1).unsqueeze(1);
  }
};

T5Encoder::T5Encoder(const nn::Scope& scope, const T5Config& config)
    : config_(config), layers_(std::make_shared<T5Layers>(scope, config)) {}

at::Tensor T5Encoder::forward(const at::Tensor& ids, const at::Tensor& mask,
                              std::vector<at::Tensor>* hidden) const {
  PIXART_CHECK(ids.dim() == 2 && ids.sizes() == mask.sizes(), "ids and mask must both be [B, T]");
  const auto& l = *layers_;
  at::Tensor x = at::embedding(l.embedding, ids);
  if (hidden != nullptr) hidden->push_back(x);
  // In float16 the residual stream is float32, as in transformers after the first block.
  if (x.scalar_type() == at::kHalf) x = x.to(at::kFloat);
  const at::Tensor bias = l.score_bias(mask, config_);
  for (const auto& block : l.blocks) {
    x = block(x, bias);
    if (hidden != nullptr) hidden->push_back(x);
  }
  return l.final_norm(x);
}

void T5Encoder::prepare(int64_t length) const { layers_->buckets_for(length, config_); }

at::Tensor relative_buckets(int64_t length, const T5Config& config) {
  const int64_t half = config.relative_attention_num_buckets / 2;  // one half for keys before, one for after
  const int64_t exact = half / 2;  // number of distances that have a bucket of their own
  PIXART_CHECK(exact > 0 && config.relative_attention_max_distance > exact, "{} buckets up to distance {}",
               config.relative_attention_num_buckets, config.relative_attention_max_distance);
  const at::Tensor offset = at::arange(1 - length, length, at::kLong);
  const at::Tensor distance = offset.abs();
  // In float32 and in this order, because some distances are exactly at the edge of a bucket. The clamp
  // avoids log(0).
  const at::Tensor ratio = at::log(distance.clamp_min(1).to(at::kFloat) / exact) /
                           std::log(double(config.relative_attention_max_distance) / double(exact));
  const at::Tensor far = (exact + (ratio * (half - exact)).to(at::kLong)).clamp_max(half - 1);
  return at::where(distance < exact, distance, far) + (offset > 0).to(at::kLong) * half;
}

void initialize(nn::StateDict& state, const T5Config& config, uint64_t seed, double bias_std) {
  at::NoGradGuard no_grad;
  const auto width = double(config.d_model), inner = double(config.num_heads * config.d_kv);
  const std::pair<const char*, double> spreads[] = {
      {"shared.weight", 1.0},
      {"relative_attention_bias.weight", bias_std},
      {"SelfAttention.q.weight", 1 / std::sqrt(width * double(config.d_kv))},
      {"SelfAttention.k.weight", 1 / std::sqrt(width)},
      {"SelfAttention.v.weight", 1 / std::sqrt(width)},
      {"SelfAttention.o.weight", 1 / std::sqrt(inner)},
      {"DenseReluDense.wi_0.weight", 1 / std::sqrt(width)},
      {"DenseReluDense.wi_1.weight", 1 / std::sqrt(width)},
      {"DenseReluDense.wo.weight", 1 / std::sqrt(double(config.d_ff))},
  };
  for (const auto& p : state.items()) {
    at::Tensor tensor = p.tensor;
    const auto rule = std::find_if(std::begin(spreads), std::end(spreads),
                                   [&](const auto& s) { return p.name.ends_with(s.first); });
    if (rule != std::end(spreads)) {
      nn::fill_normal_named(tensor, p.name, seed, rule->second);
    } else {
      PIXART_CHECK(p.name.ends_with("layer_norm.weight"), "no rule for {}", p.name);
      tensor.fill_(1);
    }
  }
}

namespace {

struct Preset {
  const char* name;
  T5Size size;
};
constexpr Preset kPresets[] = {{"t5-v1_1-small", {512, 8, 6, 1024}},
                               {"t5-v1_1-base", {768, 12, 12, 2048}},
                               {"t5-v1_1-large", {1024, 24, 16, 2816}},
                               {"t5-v1_1-xl", {2048, 24, 32, 5120}},
                               {"t5-v1_1-xxl", {4096, 24, 64, 10240}}};

}  // namespace

std::vector<std::string> t5_preset_names() { return names_of(kPresets); }

T5Config t5_preset(const std::string& name) { return {row_named(kPresets, name, "T5 encoder").size}; }

}  // namespace pixart::models

#include "pixart/models/t5.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/nn/layers.h"
#include "pixart/nn/random_fill.h"

namespace pixart::models {

namespace {

struct RmsNorm {
  at::Tensor weight;
  double eps;
  RmsNorm(const nn::Scope& scope, int64_t width, double epsilon)
      : weight(scope.parameter("weight", {width})), eps(epsilon) {}
  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor wide = x.to(at::promoteTypes(x.scalar_type(), at::kFloat));
    const at::Tensor normed = wide * at::rsqrt(wide.square().mean(-1, true) + eps);
    return weight * normed.to(weight.scalar_type());
  }
};

// Scores are not scaled; the position bias, with the mask added, is shared by all blocks.
struct T5Attention {
  nn::Linear q, k, v, o;
  int64_t num_heads, d_kv;
  T5Attention(const nn::Scope& scope, const T5Config& c)
      : q(scope / "q", c.d_model, c.num_heads * c.d_kv, false),
        k(scope / "k", c.d_model, c.num_heads * c.d_kv, false),
        v(scope / "v", c.d_model, c.num_heads * c.d_kv, false),
        o(scope / "o", c.num_heads * c.d_kv, c.d_model, false),
        num_heads(c.num_heads),
        d_kv(c.d_kv) {}
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& bias) const {
    const auto heads = [&](const at::Tensor& t) {
      return t.view({t.size(0), t.size(1), num_heads, d_kv}).transpose(1, 2);
    };
    const at::Tensor scores = at::matmul(heads(q(x)), heads(k(x)).transpose(2, 3)) + bias;
    const at::Tensor weights = at::softmax(scores.to(at::promoteTypes(scores.scalar_type(), at::kFloat)), -1)
                                   .to(scores.scalar_type());
    return o(at::matmul(weights, heads(v(x))).transpose(1, 2).flatten(2));
  }
};

struct T5Block {
  T5Attention attention;
  at::Tensor relative_attention_bias;  // block 0 only
  RmsNorm attention_norm;
  nn::Linear wi_0, wi_1, wo;
  RmsNorm ff_norm;
  T5Block(const nn::Scope& scope, const T5Config& c, bool first)
      : attention(scope / "layer" / 0 / "SelfAttention", c),
        relative_attention_bias(
            first ? (scope / "layer" / 0 / "SelfAttention" / "relative_attention_bias")
                        .parameter("weight", {c.relative_attention_num_buckets, c.num_heads})
                  : at::Tensor()),
        attention_norm(scope / "layer" / 0 / "layer_norm", c.d_model, c.layer_norm_epsilon),
        wi_0(scope / "layer" / 1 / "DenseReluDense" / "wi_0", c.d_model, c.d_ff, false),
        wi_1(scope / "layer" / 1 / "DenseReluDense" / "wi_1", c.d_model, c.d_ff, false),
        wo(scope / "layer" / 1 / "DenseReluDense" / "wo", c.d_ff, c.d_model, false),
        ff_norm(scope / "layer" / 1 / "layer_norm", c.d_model, c.layer_norm_epsilon) {}
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& bias) const {
    const at::Tensor after = x + attention(attention_norm(x), bias);
    const at::Tensor normed = ff_norm(after);
    return after + wo(at::gelu(wi_0(normed), "tanh") * wi_1(normed));
  }
};

}  // namespace

struct T5Layers {
  at::Tensor shared;  // [vocabulary, d_model]
  std::vector<T5Block> blocks;
  RmsNorm final_norm;
  T5Layers(const nn::Scope& scope, const T5Config& c)
      : shared((scope / "shared").parameter("weight", {c.vocab_size, c.d_model})), final_norm([&] {
          for (int64_t i = 0; i < c.num_layers; ++i)
            blocks.emplace_back(scope / "encoder" / "block" / i, c, i == 0);
          return RmsNorm(scope / "encoder" / "final_layer_norm", c.d_model, c.layer_norm_epsilon);
        }()) {}
};

T5Encoder::T5Encoder(const nn::Scope& scope, const T5Config& config)
    : config_(config), layers_(std::make_shared<T5Layers>(scope, config)) {}

at::Tensor relative_buckets(int64_t length, const T5Config& config) {
  const at::Tensor distance = at::arange(-(length - 1), length, at::kLong);
  const int64_t half = config.relative_attention_num_buckets / 2, exact = half / 2;
  const at::Tensor size = distance.abs();
  const double steps = std::log(double(config.relative_attention_max_distance) / double(exact));
  const at::Tensor far =
      exact + (at::log(size.to(at::kFloat) / double(exact)) / steps * double(half - exact)).to(at::kLong);
  const at::Tensor bucket = at::where(size < exact, size, far.clamp_max(half - 1));
  return bucket + (distance > 0).to(at::kLong) * half;
}

at::Tensor T5Encoder::forward(const at::Tensor& ids, const at::Tensor& mask,
                              std::vector<at::Tensor>* hidden) const {
  const auto& l = *layers_;
  const int64_t length = ids.size(1);
  at::Tensor x = at::embedding(l.shared, ids);
  if (hidden != nullptr) hidden->push_back(x);
  // Row q, column k of the bias is the bucket of k - q.
  const at::Tensor buckets = relative_buckets(length, config_).to(ids.device());
  const at::Tensor place = at::arange(length, buckets.options());
  const at::Tensor offsets = place.unsqueeze(0) - place.unsqueeze(1) + (length - 1);
  at::Tensor bias = at::embedding(l.blocks.front().relative_attention_bias, buckets.index({offsets}))
                        .permute({2, 0, 1})
                        .unsqueeze(0);
  const double lowest = x.scalar_type() == at::kBFloat16 ? double(std::numeric_limits<at::BFloat16>::lowest())
                                                         : double(std::numeric_limits<float>::lowest());
  bias = bias + ((1.0 - mask.to(x.scalar_type())) * lowest).view({mask.size(0), 1, 1, length});
  for (const auto& block : l.blocks) {
    x = block(x, bias);
    if (hidden != nullptr) hidden->push_back(x);
  }
  return l.final_norm(x);
}

void initialize(nn::StateDict& state, const T5Config& c, uint64_t seed, double bias_std) {
  const auto ends_with = [](const std::string& name, const std::string& end) {
    return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
  };
  const double model = std::pow(double(c.d_model), -0.5);
  const std::vector<std::pair<std::string, double>> spreads = {
      {"shared.weight", 1.0},
      {"relative_attention_bias.weight", bias_std},
      {".q.weight", std::pow(double(c.d_model * c.d_kv), -0.5)},
      {".k.weight", model},
      {".v.weight", model},
      {".o.weight", std::pow(double(c.num_heads * c.d_kv), -0.5)},
      {".wi_0.weight", model},
      {".wi_1.weight", model},
      {".wo.weight", std::pow(double(c.d_ff), -0.5)}};
  for (const auto& p : state.items()) {
    at::Tensor tensor = p.tensor;
    if (ends_with(p.name, "layer_norm.weight")) {
      tensor.fill_(1.0);
      continue;
    }
    const auto rule = std::find_if(spreads.begin(), spreads.end(),
                                   [&](const auto& s) { return ends_with(p.name, s.first); });
    PIXART_CHECK(rule != spreads.end(), "no rule for {}", p.name);
    nn::fill_normal_named(tensor, p.name, seed, rule->second);
  }
}

namespace {

struct Size {
  const char* name;
  int64_t d_model, d_kv, d_ff, num_layers, num_heads;
};
constexpr Size kSizes[] = {{"t5-v1_1-small", 512, 64, 1024, 8, 6},
                           {"t5-v1_1-base", 768, 64, 2048, 12, 12},
                           {"t5-v1_1-large", 1024, 64, 2816, 24, 16},
                           {"t5-v1_1-xl", 2048, 64, 5120, 24, 32},
                           {"t5-v1_1-xxl", 4096, 64, 10240, 24, 64}};

}  // namespace

std::vector<std::string> t5_preset_names() {
  std::vector<std::string> names;
  for (const auto& size : kSizes) names.push_back(size.name);
  return names;
}

T5Config t5_preset(const std::string& name) {
  for (const auto& size : kSizes) {
    if (name != size.name) continue;
    T5Config config;
    config.d_model = size.d_model, config.d_kv = size.d_kv, config.d_ff = size.d_ff;
    config.num_layers = size.num_layers, config.num_heads = size.num_heads;
    return config;
  }
  throw UserError(fmt::format("no T5 is called '{}'; known: {}.{}", name, join(t5_preset_names(), ", "),
                              did_you_mean(name, t5_preset_names())));
}

}  // namespace pixart::models

// Initial weights of DiT and PixArt, by parameter name (PixArt-alpha, PixArt-Sigma and DiT: initialize_weights()).
#include <ATen/ATen.h>

#include <cmath>

#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/models/alignment.h"
#include "pixart/models/mup.h"
#include "pixart/nn/lora.h"
#include "pixart/nn/random_fill.h"

namespace pixart::models {

namespace {

bool has(const std::string& name, const std::string& part) { return name.find(part) != std::string::npos; }
double fan_in(const at::Tensor& weight) { return double(weight.numel() / weight.size(0)); }

// The initial values of one model.
class Rules {
 public:
  Rules(const TransformerConfig& config, const TransformerInit& init) : init_(init), shape_(config.shape()) {
    if (!init.base) return;
    const Transformer base(nn::Scope(base_), at_base(config, *init.base));
  }
  // That of the model, or of the base.
  int64_t width() const { return init_.base ? init_.base->width : shape_.hidden_size; }

  void normal(const nn::Parameter& p, double spread) const {
    nn::fill_normal_named(p.tensor, p.name, init_.seed, spread * shrink(p));
  }
  void xavier_uniform(const nn::Parameter& p) const {
    const at::Tensor like = at_base_width(p);
    const double bound = std::sqrt(6.0 / (fan_in(like) + double(like.size(0)))) * shrink(p);
    nn::fill_uniform_named(p.tensor, p.name, init_.seed, -bound, bound);
  }
  void embedder(const nn::Parameter& p) const {
    double spread = init_.embedder_std.value_or(0.02);
    if (spread == 0) spread = 1.0 / std::sqrt(fan_in(at_base_width(p)));
    normal(p, spread);
  }
  // The rules that DiT and PixArt share. Returns false for names that need a rule of their own.
  bool common(const nn::Parameter& p) const {
    if (has(p.name, "t_embedder.mlp") && p.name.ends_with(".weight")) return embedder(p), true;
    if (has(p.name, "final_layer.linear") || p.name.ends_with(".bias"))
      return at::Tensor(p.tensor).zero_(), true;
    if (p.name.ends_with("_norm.weight")) return at::Tensor(p.tensor).fill_(1), true;
    if (p.tensor.dim() < 2 || has(p.name, "table")) return false;
    return xavier_uniform(p), true;
  }
  // With muP, what is like another scale of attention.
  void scale_queries(const nn::Parameter& p) const {
    if (!init_.base) return;
    const double scale = query_scale(shape_, *init_.base);
    if (p.name.ends_with(".q_norm.weight") || p.name.ends_with(".q_linear.weight"))
      at::Tensor(p.tensor).mul_(scale);
    if (p.name.ends_with(".attn.qkv.weight") && !shape_.qk_norm)
      p.tensor.narrow(0, 0, shape_.hidden_size).mul_(scale);
  }

 private:
  // What is not of the transformer itself is the projection of an alignment, of which one input has the model's width.
  at::Tensor at_base_width(const nn::Parameter& p) const {
    if (!init_.base) return p.tensor;
    if (base_.contains(p.name)) return base_.get(p.name);
    if (p.name != kAlignmentInput) return p.tensor;
    return at::empty({p.tensor.size(0), init_.base->width}, at::TensorOptions(at::kMeta));
  }
  double shrink(const nn::Parameter& p) const {
    if (!init_.base || p.tensor.dim() < 2 || has(p.name, "table")) return 1;
    return std::sqrt(fan_in(at_base_width(p)) / fan_in(p.tensor));
  }

  TransformerInit init_;
  TransformerShape shape_;
  nn::StateDict base_{{.dtype = at::kFloat, .device = at::kMeta}};
};

}  // namespace

void initialize(nn::StateDict& state, const DitConfig& config, const TransformerInit& init) {
  at::NoGradGuard no_grad;
  const int64_t side = config.input_size / config.patch_size;
  const Rules rules(config, init);
  for (const auto& p : state.items()) {
    if (nn::initialize_lora(p, init.seed)) continue;
    at::Tensor tensor = p.tensor;
    if (p.name == "pos_embed")
      tensor.copy_(sincos_positions(config.hidden_size, side, side, side, 1.0));
    else if (p.name == "y_embedder.embedding_table.weight")
      rules.normal(p, 0.02);
    else if (has(p.name, "adaLN_modulation"))
      tensor.zero_();
    else
      PIXART_CHECK(rules.common(p), "no rule for {}", p.name);
    rules.scale_queries(p);
  }
}

void initialize(nn::StateDict& state, const PixArtConfig& config, const TransformerInit& init) {
  at::NoGradGuard no_grad;
  const int64_t side = config.input_size / config.patch_size;
  const Rules rules(config, init);
  const double table_spread = 1.0 / std::sqrt(double(rules.width()));
  for (const auto& p : state.items()) {
    if (nn::initialize_lora(p, init.seed)) continue;
    at::Tensor tensor = p.tensor;
    const bool is_weight = p.name.ends_with(".weight");
    if (is_control_name(p.name)) continue;  // begins as the model below
    if (p.name == "pos_embed")
      tensor.copy_(sincos_positions(config.hidden_size, side, side, side, config.position_scale));
    else if (p.name == "y_embedder.y_embedding")
      nn::fill_normal_named(tensor, p.name, init.seed, 1.0 / std::sqrt(double(config.caption_channels)));
    else if (p.name.ends_with("scale_shift_table"))
      rules.normal(p, table_spread);
    else if (has(p.name, "cross_attn.proj"))
      tensor.zero_();
    else if (p.name.ends_with(".attn.sr.weight"))  // the mean of a square
      tensor.fill_(1.0 / double(tensor.size(-1) * tensor.size(-2)));
    else if (p.name.ends_with(".attn.norm.weight"))
      tensor.fill_(1);
    else if (p.name ==
             "x_embedder.proj.bias") {  // the released code keeps PyTorch's default for convolutions here
      const double bound =
          1.0 / std::sqrt(double(config.in_channels * config.patch_size * config.patch_size));
      nn::fill_uniform_named(tensor, p.name, init.seed, -bound, bound);
    } else if (is_weight && has(p.name, "y_proj"))
      rules.embedder(p);
    else if (is_weight &&
             (has(p.name, "t_block") || has(p.name, "csize_embedder") || has(p.name, "ar_embedder")))
      rules.normal(p, 0.02);
    else
      PIXART_CHECK(rules.common(p), "no rule for {}", p.name);
    rules.scale_queries(p);
  }
  for (const auto& p : state.items()) {
    if (!is_control_name(p.name) || nn::is_lora_name(p.name)) continue;
    const std::string source = copied_from(p.name);
    at::Tensor tensor = p.tensor;
    source.empty() ? tensor.zero_() : tensor.copy_(state.get(source));
  }
}

std::string copied_from(const std::string& name) {
  constexpr std::string_view kCopy = ".copied_block.";
  const size_t at = name.find(kCopy), number = std::string_view(kControlPrefix).size();
  if (!is_control_name(name) || at == std::string::npos) return "";
  return "blocks." + name.substr(number, at - number) + "." + name.substr(at + kCopy.size());
}

}  // namespace pixart::models

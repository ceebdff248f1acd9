// Initial weights of DiT and PixArt, by parameter name (PixArt-alpha, PixArt-Sigma and DiT: initialize_weights()).
#include <ATen/ATen.h>

#include <cmath>

#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/models/dit.h"
#include "pixart/models/pixart.h"
#include "pixart/nn/lora.h"
#include "pixart/nn/random_fill.h"

namespace pixart::models {

namespace {

bool has(const std::string& name, const std::string& part) { return name.find(part) != std::string::npos; }
double fan_in(const at::Tensor& weight) { return double(weight.numel() / weight.size(0)); }

void xavier_uniform(const at::Tensor& weight, const std::string& name, uint64_t seed) {
  const double bound = std::sqrt(6.0 / (fan_in(weight) + double(weight.size(0))));
  nn::fill_uniform_named(weight, name, seed, -bound, bound);
}

void embedder(const at::Tensor& weight, const std::string& name, const TransformerInit& init) {
  double spread = init.embedder_std.value_or(0.02);
  if (spread == 0) spread = 1.0 / std::sqrt(fan_in(weight));
  nn::fill_normal_named(weight, name, init.seed, spread);
}

// The rules that DiT and PixArt share. Returns false for names that need a rule of their own.
bool common_rule(const nn::Parameter& p, const TransformerInit& init) {
  if (has(p.name, "t_embedder.mlp") && p.name.ends_with(".weight"))
    return embedder(p.tensor, p.name, init), true;
  if (has(p.name, "final_layer.linear") || p.name.ends_with(".bias"))
    return at::Tensor(p.tensor).zero_(), true;
  if (p.name.ends_with("_norm.weight")) return at::Tensor(p.tensor).fill_(1), true;
  if (p.tensor.dim() < 2 || has(p.name, "table")) return false;
  return xavier_uniform(p.tensor, p.name, init.seed), true;
}

}  // namespace

void initialize(nn::StateDict& state, const DitConfig& config, const TransformerInit& init) {
  at::NoGradGuard no_grad;
  const int64_t side = config.input_size / config.patch_size;
  for (const auto& p : state.items()) {
    if (nn::initialize_lora(p, init.seed)) continue;
    at::Tensor tensor = p.tensor;
    if (p.name == "pos_embed")
      tensor.copy_(sincos_positions(config.hidden_size, side, side, side, 1.0));
    else if (p.name == "y_embedder.embedding_table.weight")
      nn::fill_normal_named(tensor, p.name, init.seed, 0.02);
    else if (has(p.name, "adaLN_modulation"))
      tensor.zero_();
    else
      PIXART_CHECK(common_rule(p, init), "no rule for {}", p.name);
  }
}

void initialize(nn::StateDict& state, const PixArtConfig& config, const TransformerInit& init) {
  at::NoGradGuard no_grad;
  const int64_t side = config.input_size / config.patch_size;
  const double table_spread = 1.0 / std::sqrt(double(config.hidden_size));
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
      nn::fill_normal_named(tensor, p.name, init.seed, table_spread);
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
      embedder(tensor, p.name, init);
    else if (is_weight &&
             (has(p.name, "t_block") || has(p.name, "csize_embedder") || has(p.name, "ar_embedder")))
      nn::fill_normal_named(tensor, p.name, init.seed, 0.02);
    else
      PIXART_CHECK(common_rule(p, init), "no rule for {}", p.name);
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

#include "pixart/models/vae.h"

#include <ATen/ATen.h>

#include <cmath>

#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/nn/conv.h"
#include "pixart/nn/layers.h"
#include "pixart/nn/random_fill.h"
#include "vae_rules.h"

namespace pixart::models {

namespace {

nn::Conv2d conv3(const nn::Scope& scope, int64_t in, int64_t out) {
  return {scope, nn::ConvShape{.in = in, .out = out}};
}

nn::Conv2d conv1(const nn::Scope& scope, int64_t in, int64_t out) {
  return {scope, nn::ConvShape{.in = in, .out = out, .kernel = 1, .padding = 0}};
}

struct ResnetBlock {
  nn::GroupNorm norm1;
  nn::Conv2d first;
  nn::GroupNorm norm2;
  nn::Conv2d second;
  nn::Conv2d shortcut;  // undefined weight: the identity

  ResnetBlock(const nn::Scope& scope, int64_t in, int64_t out, int64_t groups)
      : norm1(scope / "norm1", in, groups),
        first(conv3(scope / "conv1", in, out)),
        norm2(scope / "norm2", out, groups),
        second(conv3(scope / "conv2", out, out)) {
    if (in != out) shortcut = conv1(scope / "conv_shortcut", in, out);
  }

  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor branch = second(norm2.then_silu(first(norm1.then_silu(x))));
    return (shortcut.weight.defined() ? shortcut(x) : x) + branch;
  }
};

// Attention with one head over all positions.
struct MidAttention {
  nn::GroupNorm norm;
  nn::Linear q, k, v, out;

  MidAttention(const nn::Scope& scope, int64_t channels, int64_t groups)
      : norm(scope / "group_norm", channels, groups),
        q(scope / "to_q", channels, channels),
        k(scope / "to_k", channels, channels),
        v(scope / "to_v", channels, channels),
        out(scope / "to_out" / 0, channels, channels) {}

  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor tokens = norm(x).flatten(2).transpose(1, 2).unsqueeze(1);  // [B, 1, HW, C]
    const at::Tensor attended = at::scaled_dot_product_attention(q(tokens), k(tokens), v(tokens));
    return x + out(attended).squeeze(1).transpose(1, 2).reshape(x.sizes());
  }
};

struct MidBlock {
  ResnetBlock first;
  MidAttention attention;
  ResnetBlock second;

  MidBlock(const nn::Scope& scope, int64_t channels, int64_t groups)
      : first(scope / "resnets" / 0, channels, channels, groups),
        attention(scope / "attentions" / 0, channels, groups),
        second(scope / "resnets" / 1, channels, channels, groups) {}

  at::Tensor operator()(const at::Tensor& x) const { return second(attention(first(x))); }
};

// The residual blocks of one resolution, and the convolution to the next resolution (the last level has
// none).
struct Level {
  std::vector<ResnetBlock> resnets;
  nn::Conv2d resample;
};

struct Encoder {
  nn::Conv2d conv_in;
  std::vector<Level> levels;
  std::unique_ptr<MidBlock> mid;
  nn::GroupNorm norm_out;
  nn::Conv2d conv_out;

  Encoder(const nn::Scope& scope, const VaeConfig& c) {
    const auto& widths = c.block_out_channels;
    conv_in = conv3(scope / "conv_in", c.in_channels, widths.front());
    for (size_t i = 0; i < widths.size(); ++i)
      levels.push_back(level(scope / "down_blocks" / int64_t(i), c, i));
    mid = std::make_unique<MidBlock>(scope / "mid_block", widths.back(), c.norm_num_groups);
    norm_out = {scope / "conv_norm_out", widths.back(), c.norm_num_groups};
    conv_out = conv3(scope / "conv_out", widths.back(), 2 * c.latent_channels);
  }

  static Level level(const nn::Scope& scope, const VaeConfig& c, size_t i) {
    const int64_t in = c.block_out_channels[i > 0 ? i - 1 : 0], out = c.block_out_channels[i];
    Level result;
    for (int64_t j = 0; j < c.layers_per_block; ++j)
      result.resnets.emplace_back(scope / "resnets" / j, j == 0 ? in : out, out, c.norm_num_groups);
    if (i + 1 < c.block_out_channels.size())
      result.resample = {scope / "downsamplers" / 0 / "conv",
                         nn::ConvShape{.in = out, .out = out, .stride = 2, .padding = 0}};
    return result;
  }

  at::Tensor operator()(const at::Tensor& image) const {
    at::Tensor x = conv_in(image);
    for (const auto& level : levels) {
      for (const auto& resnet : level.resnets) x = resnet(x);
      // Padded only on the right and at the bottom, as the published weights expect.
      if (level.resample.weight.defined()) x = level.resample(at::constant_pad_nd(x, {0, 1, 0, 1}));
    }
    return conv_out(norm_out.then_silu((*mid)(x)));
  }
};

struct Decoder {
  nn::Conv2d conv_in;
  std::vector<Level> levels;
  std::unique_ptr<MidBlock> mid;
  nn::GroupNorm norm_out;
  nn::Conv2d conv_out;

  Decoder(const nn::Scope& scope, const VaeConfig& c) {
    const auto& widths = c.block_out_channels;
    conv_in = conv3(scope / "conv_in", c.latent_channels, widths.back());
    mid = std::make_unique<MidBlock>(scope / "mid_block", widths.back(), c.norm_num_groups);
    for (size_t i = 0; i < widths.size(); ++i)
      levels.push_back(level(scope / "up_blocks" / int64_t(i), c, i));
    norm_out = {scope / "conv_norm_out", widths.front(), c.norm_num_groups};
    conv_out = conv3(scope / "conv_out", widths.front(), c.in_channels);
  }

  static Level level(const nn::Scope& scope, const VaeConfig& c, size_t i) {
    const size_t last = c.block_out_channels.size() - 1;
    const int64_t in = c.block_out_channels[last - (i > 0 ? i - 1 : 0)], out = c.block_out_channels[last - i];
    Level result;
    for (int64_t j = 0; j <= c.layers_per_block; ++j)  // one block more than in the encoder
      result.resnets.emplace_back(scope / "resnets" / j, j == 0 ? in : out, out, c.norm_num_groups);
    if (i < last) result.resample = conv3(scope / "upsamplers" / 0 / "conv", out, out);
    return result;
  }

  at::Tensor operator()(const at::Tensor& latent) const {
    at::Tensor x = (*mid)(conv_in(latent));
    for (const auto& level : levels) {
      for (const auto& resnet : level.resnets) x = resnet(x);
      if (level.resample.weight.defined())
        x = level.resample(at::upsample_nearest2d(x, at::IntArrayRef{2 * x.size(2), 2 * x.size(3)}));
    }
    return conv_out(norm_out.then_silu(x));
  }
};

}  // namespace

at::Tensor arranged(const at::Tensor& image, const at::Tensor& weight) {
  const auto format = weight.is_cpu() ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  return image.to(weight.scalar_type()).contiguous(format);
}

VaeConfig checked(const VaeConfig& config) {
  Problems problems;
  add_problems(config, problems);
  problems.throw_if_any("autoencoder");
  return config;
}

struct VaeLayers {
  Encoder encoder;
  Decoder decoder;
  nn::Conv2d quant_conv, post_quant_conv;

  VaeLayers(const nn::Scope& scope, const VaeConfig& c)
      : encoder(scope / "encoder", c),
        decoder(scope / "decoder", c),
        quant_conv(conv1(scope / "quant_conv", 2 * c.latent_channels, 2 * c.latent_channels)),
        post_quant_conv(conv1(scope / "post_quant_conv", c.latent_channels, c.latent_channels)) {}
};

AutoencoderKl::AutoencoderKl(const nn::Scope& scope, const VaeConfig& config)
    : config_(checked(config)), layers_(std::make_shared<VaeLayers>(scope, config_)) {
  PIXART_CHECK(!config_.tiny, "an AutoencoderTiny's config");
}

Moments AutoencoderKl::encode(const at::Tensor& image) const {
  PIXART_CHECK(image.dim() == 4 && image.size(1) == config_.in_channels, "image must be [B, {}, H, W]",
               config_.in_channels);
  const auto& l = *layers_;
  const auto parts = l.quant_conv(l.encoder(arranged(image, l.quant_conv.weight))).contiguous().chunk(2, 1);
  return {.mean = parts[0], .log_var = parts[1].clamp(kLowestLogVar, kHighestLogVar)};
}

at::Tensor AutoencoderKl::decode(const at::Tensor& latent) const {
  PIXART_CHECK(latent.dim() == 4 && latent.size(1) == config_.latent_channels, "latent must be [B, {}, h, w]",
               config_.latent_channels);
  const auto& l = *layers_;
  return l.decoder(l.post_quant_conv(arranged(latent, l.quant_conv.weight))).contiguous();
}

void initialize(nn::StateDict& state, const VaeConfig&, uint64_t seed) {
  at::NoGradGuard no_grad;
  for (const auto& p : state.items()) {
    at::Tensor tensor = p.tensor;
    const bool ends_a_branch = p.name.ends_with(".conv2.weight") || p.name.ends_with(".to_out.0.weight");
    if (p.name.ends_with(".bias") || ends_a_branch)
      tensor.zero_();
    else if (tensor.dim() == 1)
      tensor.fill_(1);
    else
      nn::fill_normal_named(tensor, p.name, seed, 1 / std::sqrt(double(tensor.numel() / tensor.size(0))));
  }
}

namespace {

struct VaePreset {
  const char* name;
  double scaling_factor;
};
constexpr VaePreset kVaePresets[] = {{"sd-vae", 0.18215},
                                     {"sdxl-vae", 0.13025}};  // otherwise only weights differ

}  // namespace

std::vector<std::string> vae_preset_names() { return names_of(kVaePresets); }

VaeConfig vae_preset(const std::string& name) {
  VaeConfig config;
  config.scaling_factor = row_named(kVaePresets, name, "autoencoder").scaling_factor;
  return config;
}

}  // namespace pixart::models

#include <ATen/ATen.h>

#include "pixart/base/error.h"
#include "pixart/models/vae.h"
#include "pixart/nn/conv.h"
#include "vae_rules.h"

namespace pixart::models {

namespace {

constexpr int64_t kNormGroups = 4, kNormWidening = 4;
constexpr double kNormEps = 1e-5;
constexpr double kLargestLatent = 3;  // the decoder squashes its input between -3 and 3

struct TinyBlock {
  nn::Conv2d first, second, third;
  nn::Conv2d widen, narrow;  // undefined without a branch that has a norm
  nn::GroupNorm norm;

  TinyBlock(const nn::Scope& scope, int64_t width, bool normed)
      : first(scope / "conv" / 0, {.in = width, .out = width}),
        second(scope / "conv" / 2, {.in = width, .out = width}),
        third(scope / "conv" / 4, {.in = width, .out = width}) {
    if (!normed) return;
    const int64_t wide = kNormWidening * width;
    widen = {scope / "pool" / 0, {.in = width, .out = wide, .kernel = 1, .padding = 0, .bias = false}};
    norm = {scope / "pool" / 1, wide, kNormGroups, kNormEps};
    narrow = {scope / "pool" / 3, {.in = wide, .out = width, .kernel = 1, .padding = 0, .bias = false}};
  }

  at::Tensor operator()(at::Tensor x) const {
    if (widen.weight.defined()) x = x + narrow(at::relu(norm(widen(x))));
    return at::relu(third(at::relu(second(at::relu(first(x))))) + x);
  }
};

// The blocks of one resolution, and the convolution that follows them (encoder: precedes them).
struct TinyLevel {
  std::vector<TinyBlock> blocks;
  nn::Conv2d resample;
};

// Layers have the numbers of torch.nn.Sequential, where an activation and an enlargement count, too.
class Numbered {
 public:
  Numbered(nn::Scope scope, int64_t width) : scope_(std::move(scope)), width_(width) {}
  nn::Conv2d conv(const nn::ConvShape& shape) { return {scope_ / next_++, shape}; }
  nn::Conv2d resample(int64_t stride) {
    return conv({.in = width_, .out = width_, .stride = stride, .bias = false});
  }
  std::vector<TinyBlock> blocks(int64_t count, bool normed) {
    std::vector<TinyBlock> result;
    for (int64_t i = 0; i < count; ++i) result.emplace_back(scope_ / next_++, width_, normed);
    return result;
  }
  void skip() { ++next_; }

 private:
  nn::Scope scope_;
  int64_t width_, next_ = 0;
};

struct TinyEncoder {
  nn::Conv2d conv_in, conv_out;
  std::vector<TinyLevel> levels;

  TinyEncoder(const nn::Scope& scope, const VaeConfig& c) {
    const int64_t width = c.block_out_channels.front();
    Numbered layers(scope / "layers", width);
    conv_in = layers.conv({.in = c.in_channels, .out = width});
    for (size_t i = 0; i < c.tiny->encoder.size(); ++i) {
      TinyLevel level;
      if (i > 0) level.resample = layers.resample(2);
      level.blocks = layers.blocks(c.tiny->encoder[i], c.tiny->normed && i + 1 == c.tiny->encoder.size());
      levels.push_back(std::move(level));
    }
    conv_out = layers.conv({.in = width, .out = c.latent_channels});
  }

  at::Tensor operator()(const at::Tensor& image) const {
    at::Tensor x = conv_in((image + 1) / 2);
    for (const auto& level : levels) {
      if (level.resample.weight.defined()) x = level.resample(x);
      for (const auto& block : level.blocks) x = block(x);
    }
    return conv_out(x);
  }
};

struct TinyDecoder {
  nn::Conv2d conv_in, conv_out;
  std::vector<TinyLevel> levels;

  TinyDecoder(const nn::Scope& scope, const VaeConfig& c) {
    const int64_t width = c.block_out_channels.front();
    Numbered layers(scope / "layers", width);
    conv_in = layers.conv({.in = c.latent_channels, .out = width});
    layers.skip();
    for (size_t i = 0; i < c.tiny->decoder.size(); ++i) {
      TinyLevel level{.blocks = layers.blocks(c.tiny->decoder[i], c.tiny->normed && i == 0), .resample = {}};
      const bool is_last = i + 1 == c.tiny->decoder.size();
      if (!is_last) layers.skip(), level.resample = layers.resample(1);
      levels.push_back(std::move(level));
    }
    conv_out = layers.conv({.in = width, .out = c.in_channels});
  }

  at::Tensor operator()(const at::Tensor& latent) const {
    at::Tensor x = at::relu(conv_in(at::tanh(latent / kLargestLatent) * kLargestLatent));
    for (const auto& level : levels) {
      for (const auto& block : level.blocks) x = block(x);
      if (level.resample.weight.defined())
        x = level.resample(at::upsample_nearest2d(x, at::IntArrayRef{2 * x.size(2), 2 * x.size(3)}));
    }
    return conv_out(x) * 2 - 1;
  }
};

}  // namespace

struct TinyLayers {
  std::unique_ptr<TinyEncoder> encoder;
  std::unique_ptr<TinyDecoder> decoder;
};

AutoencoderTiny::AutoencoderTiny(const nn::Scope& scope, const VaeConfig& config)
    : config_(checked(config)), layers_(std::make_shared<TinyLayers>()) {
  PIXART_CHECK(config_.tiny, "an AutoencoderKL's config");
  if (!config_.tiny->encoder.empty())
    layers_->encoder = std::make_unique<TinyEncoder>(scope / "encoder", config_);
  if (!config_.tiny->decoder.empty())
    layers_->decoder = std::make_unique<TinyDecoder>(scope / "decoder", config_);
}

at::Tensor AutoencoderTiny::encode(const at::Tensor& image) const {
  PIXART_CHECK(layers_->encoder, "a decoder for previews encodes nothing");
  PIXART_CHECK(image.dim() == 4 && image.size(1) == config_.in_channels, "image must be [B, {}, H, W]",
               config_.in_channels);
  const auto& encoder = *layers_->encoder;
  return encoder(arranged(image, encoder.conv_in.weight)).contiguous();
}

at::Tensor AutoencoderTiny::decode(const at::Tensor& latent) const {
  PIXART_CHECK(layers_->decoder, "this autoencoder has only an encoder");
  PIXART_CHECK(latent.dim() == 4 && latent.size(1) == config_.latent_channels, "latent must be [B, {}, h, w]",
               config_.latent_channels);
  const auto& decoder = *layers_->decoder;
  return decoder(arranged(latent, decoder.conv_in.weight)).contiguous();
}

Moments LoadedVae::encode(const at::Tensor& image) const {
  if (!tiny) return vae->encode(image);
  const at::Tensor latent = tiny->encode(image);
  return {.mean = latent, .log_var = at::full_like(latent, kLowestLogVar)};
}

}  // namespace pixart::models

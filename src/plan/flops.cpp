#include "pixart/plan/flops.h"

namespace pixart::plan {

namespace {

constexpr double kTimestepFeatures = 256;

double block_flops(const models::TransformerWork& s, int64_t block) {
  const double n = double(s.tokens_in(block)), d = double(s.width), t = double(s.caption_tokens),
               keys = double(s.keys(block)), factor = double(s.kv_compression.factor);
  double self_attention = 8 * n * d * d + 4 * n * keys * d;
  if (s.kv_compression.in_layer(block) && s.kv_compression.has_weights())
    self_attention += 4 * keys * factor * factor * d;
  const double mlp = 4 * n * d * double(s.mlp_width());
  if (!s.cross_attention) return self_attention + mlp + 12 * d * d;
  return self_attention + mlp + 4 * n * d * d + 4 * t * d * d + 4 * n * t * d;
}

// FLOPs of the layers whose input needs no gradient: the patches and the caption features.
double first_layers(const models::TransformerWork& s) {
  const double d = double(s.width);
  return 2 * double(s.tokens) * d * double(s.patch_values) +
         2 * double(s.caption_tokens) * d * double(s.caption_width);
}

double timestep_flops(double width) { return 2 * width * (kTimestepFeatures + width); }

double outer_flops(const models::TransformerWork& s) {
  const double d = double(s.width), n = double(s.tokens);
  const double modulation = (s.cross_attention ? 12 : 4) * d * d;
  const double caption = s.cross_attention ? 2 * double(s.caption_tokens) * d * d : 0;
  return first_layers(s) + 2 * n * d * double(s.output_values) + timestep_flops(d) + modulation + caption +
         (s.micro_conditions ? 3 * timestep_flops(double(s.width / 3)) : 0);
}

struct Convolutions {
  double flops = 0, saved = 0;

  void convolve(double in, double out, double pixels, double kernel = 3) {
    flops += 2 * kernel * kernel * in * out * pixels;
  }
  // Keeps the input, both norms' inputs and outputs, and the outputs of SiLU.
  void resnet(double in, double out, double pixels) {
    convolve(in, out, pixels);
    convolve(out, out, pixels);
    if (in != out) convolve(in, out, pixels, 1);
    saved += 3 * (in + out) * pixels;
  }
  void mid(double width, double pixels) {
    resnet(width, width, pixels);
    resnet(width, width, pixels);
    flops += 8 * pixels * width * width + 4 * pixels * pixels * width;
    saved += 7 * width * pixels;  // norm in and out, q, k, v, attended, projected
  }
};

}  // namespace

Flops transformer_flops(const models::TransformerWork& s, int64_t recompute_every,
                        const run::Trained& trained) {
  double forward = outer_flops(s), again = 0, tokens = 0;
  for (int64_t i = 0; i < s.depth; ++i) {
    const double block = block_flops(s, i);
    forward += block;
    tokens += double(s.tokens_in(i)) / double(s.depth);
    if (recompute_every > 0 && (i + 1) % recompute_every == 0) again += block;
  }
  // The control's patches, its copies of the first blocks, and a linear layer after each and before the first.
  const double linear = 2 * double(s.tokens) * double(s.width) * double(s.width);
  if (s.control_blocks > 0)
    forward += linear + 2 * double(s.tokens) * double(s.width) * double(s.patch_values);
  for (int64_t i = 0; i < s.control_blocks; ++i) {
    const double block = block_flops(s, i);
    forward += block + linear;
    if (recompute_every > 0 && (i + 1) % recompute_every == 0) again += block;
  }
  const double adapters = 2 * tokens * double(trained.adapters);
  Flops flops;
  flops.forward = forward + adapters;
  flops.training = forward * (2 + trained.share) + 3 * adapters - first_layers(s);
  flops.executed = flops.training + again;
  return flops;
}

Flops mixed(const Flops& few, const Flops& all, double share) {
  return {.forward = all.forward,
          .training = share * few.training + (1 - share) * all.training,
          .executed = share * few.executed + (1 - share) * all.executed};
}

Flops stage_flops(const run::StageConfig& stage, const models::TransformerWork& work,
                  const run::Trained& trained, int64_t recompute_every) {
  Flops flops = transformer_flops(work, recompute_every, trained);
  if (!stage.info().distills) return flops;
  constexpr double kOtherNetworks = 3;  // the teacher with both conditions, and the target
  flops.training += kOtherNetworks * flops.forward;
  flops.executed += kOtherNetworks * flops.forward;
  return flops;
}

namespace {

// Blocks of three convolutions, and two of one pixel each where they have norms. It is not trained here, so nothing is
// saved.
AutoencoderCost tiny_cost(const models::VaeConfig& c, int64_t side) {
  const double width = double(c.block_out_channels.front()), latent = double(c.latent_channels),
               image = double(c.in_channels);
  const auto chain = [&](const std::vector<int64_t>& blocks, double pixels, bool narrows) {
    Convolutions cost;
    for (size_t i = 0; i < blocks.size(); ++i) {
      const bool is_lowest = narrows ? i + 1 == blocks.size() : i == 0;
      if (i > 0) pixels *= narrows ? 0.25 : 4;
      if (i > 0) cost.convolve(width, width, pixels);
      for (int64_t j = 0; j < 3 * blocks[i]; ++j) cost.convolve(width, width, pixels);
      if (is_lowest) cost.convolve(latent, width, pixels);
      if (is_lowest && c.tiny->normed) cost.convolve(width, 8 * width * double(blocks[i]), pixels, 1);
    }
    return cost.flops;
  };
  const double pixels = double(side) * double(side), few = pixels / double(c.downscale() * c.downscale());
  Convolutions ends;
  ends.convolve(image, width, pixels);
  return {.encode = ends.flops + chain(c.tiny->encoder, pixels, true),
          .decode = ends.flops + chain(c.tiny->decoder, few, false)};
}

}  // namespace

AutoencoderCost autoencoder_cost(const models::VaeConfig& c, int64_t side) {
  if (c.tiny) return tiny_cost(c, side);
  const auto& widths = c.block_out_channels;
  const double latent = double(c.latent_channels);
  Convolutions encoder, decoder;
  double pixels = double(side) * double(side);
  encoder.convolve(double(c.in_channels), double(widths.front()), pixels);
  for (size_t i = 0; i < widths.size(); ++i) {
    const double in = double(widths[i > 0 ? i - 1 : 0]), out = double(widths[i]);
    for (int64_t j = 0; j < c.layers_per_block; ++j) encoder.resnet(j == 0 ? in : out, out, pixels);
    if (i + 1 == widths.size()) continue;
    encoder.saved += out * pixels;  // padded
    pixels /= 4;
    encoder.convolve(out, out, pixels);
  }
  const double last = double(widths.back());
  encoder.mid(last, pixels);
  encoder.convolve(last, 2 * latent, pixels);
  encoder.saved += 3 * last * pixels;
  decoder.convolve(latent, last, pixels);
  decoder.mid(last, pixels);
  for (size_t i = 0; i < widths.size(); ++i) {
    const size_t level = widths.size() - 1 - i;
    const double in = double(widths[i > 0 ? level + 1 : level]), out = double(widths[level]);
    for (int64_t j = 0; j <= c.layers_per_block; ++j) decoder.resnet(j == 0 ? in : out, out, pixels);
    if (level == 0) continue;
    pixels *= 4;
    decoder.convolve(out, out, pixels);
    decoder.saved += out * pixels;  // enlarged
  }
  const double first = double(widths.front());
  decoder.convolve(first, double(c.in_channels), pixels);
  decoder.saved += 3 * first * pixels;
  return {.encode = encoder.flops, .decode = decoder.flops, .saved_numbers = encoder.saved + decoder.saved};
}

double text_encoder_flops(const models::T5Config& config, int64_t tokens) {
  const double t = double(tokens), d = double(config.d_model), inner = double(config.num_heads * config.d_kv);
  const double layer = 8 * t * d * inner + 4 * t * t * inner + 6 * t * d * double(config.d_ff);
  return double(config.num_layers) * layer;
}

}  // namespace pixart::plan

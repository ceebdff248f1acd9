#include "pixart_layout.h"

#include <algorithm>
#include <cmath>

#include "pipeline_folder.h"
#include "pixart/base/error.h"
#include "provenance_keys.h"

namespace pixart::convert {
using formats::Weights;

namespace {

constexpr int64_t kSidePerScale = 64;  // latents of 512 pixels have the scale 1

// PixArt-alpha's positions are divided by a whole number.
double alphas_position_scale(int64_t input_size) {
  return double(std::max<int64_t>(input_size / kSidePerScale, 1));
}

// A convolution of R x R with stride R tells the factor.
models::KvCompression kv_compression_of(const Weights& weights, int64_t depth) {
  models::KvCompression result;
  for (int64_t block = 0; block < depth; ++block) {
    const auto found = weights.tensors.find(fmt::format("blocks.{}.attn.sr.weight", block));
    if (found == weights.tensors.end()) continue;
    result.sampling = models::KvSampling::kConv;
    result.factor = found->second.shape.empty() ? 0 : found->second.shape.back();
    result.layers.push_back(block);
  }
  return result;
}

// Without micro-conditions, only PixArt-Sigma has latent sides above 64, and other positions at 32.
bool has_sizes_of_sigma(const models::PixArtConfig& c) {
  return !c.micro_conditions &&
         (c.input_size > kSidePerScale || c.position_scale != alphas_position_scale(c.input_size));
}

std::string assumption(const models::PixArtConfig& c, bool makes_sigma) {
  const std::string other = "another number with --max-tokens of `pixart convert`";
  if (makes_sigma)
    return fmt::format(
        "PixArt-Sigma, captions of {} tokens: a latent side of {} and positions / {} without "
        "micro-conditions are its own ({})",
        c.max_tokens, c.input_size, c.position_scale, other);
  return fmt::format(
      "captions of {} tokens, because diffusers' config.json does not tell; PixArt-Sigma has {} ({})",
      c.max_tokens, models::kSigmaTokens, other);
}

}  // namespace

void read_text_sizes(const Weights& weights, int64_t depth, const LayoutHints& hints,
                     models::PixArtConfig& config) {
  config.micro_conditions = weights.tensors.contains("csize_embedder.mlp.0.weight");
  config.kv_compression = kv_compression_of(weights, depth);
  const auto null_caption = weights.tensors.find("y_embedder.y_embedding");
  if (null_caption != weights.tensors.end())
    config.max_tokens = null_caption->second.shape.empty() ? 0 : null_caption->second.shape.front();
  else
    config.max_tokens = hints.max_tokens.value_or(config.max_tokens);
  const bool has_sigmas_weights =
      config.max_tokens == models::kSigmaTokens || !config.kv_compression.layers.empty();
  config.multi_scale = config.micro_conditions || has_sigmas_weights;
}

void complete_diffusers_config(Opened& opened, const LayoutHints& hints) {
  auto* config = std::get_if<models::PixArtConfig>(&opened.identity.architecture);
  if (config == nullptr) return;
  const auto& metadata = opened.weights.metadata;
  if (const auto own = metadata.find(kArchitectureKey); own != metadata.end()) {
    const Architecture stated = parse_architecture(own->second, opened.path.string());
    if (const auto* pixart = std::get_if<models::PixArtConfig>(&stated)) {
      config->max_tokens = pixart->max_tokens;
      config->multi_scale = pixart->multi_scale;
      return;
    }
  }
  if (config->max_tokens != models::PixArtConfig().max_tokens) return;  // from its own entry
  auto told = is_of_sigma_pipeline(opened.path);
  if (!told && hints.max_tokens) told = *hints.max_tokens == models::kSigmaTokens;
  const bool makes_sigma = !config->micro_conditions && told.value_or(has_sizes_of_sigma(*config));
  config->max_tokens = hints.max_tokens.value_or(makes_sigma ? models::kSigmaTokens : config->max_tokens);
  if (!told && !config->micro_conditions) opened.identity.assumed.push_back(assumption(*config, makes_sigma));
  config->multi_scale = config->micro_conditions || makes_sigma || (!told && config->multi_scale);
}

double published_position_scale(const models::PixArtConfig& config) {
  if (models::is_sigma(config)) return double(config.input_size) / double(kSidePerScale);
  return alphas_position_scale(config.input_size);
}

int64_t published_sigma_side(double position_scale) {
  return std::llround(position_scale * double(kSidePerScale));
}

}  // namespace pixart::convert

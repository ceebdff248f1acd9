#include "pixart/train/components.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "file_fingerprint.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/file_lock.h"
#include "pixart/base/leftovers.h"
#include "pixart/base/log.h"
#include "pixart/text/clean_caption.h"

namespace pixart::train {
namespace fs = std::filesystem;

namespace {

data::FeatureInput folder_input(const std::string& name, const fs::path& folder) {
  return {.name = name, .value = folder_fingerprint(folder), .former = former_folder_fingerprint(folder)};
}

}  // namespace

LatentCodec::LatentCodec(models::LoadedVae loaded, fs::path folder)
    : loaded_(std::move(loaded)), folder_(std::move(folder)) {
  const auto& config = loaded_.vae->config();
  const auto options = at::TensorOptions().dtype(at::kFloat);
  const int64_t channels = config.latent_channels;
  const auto device = loaded_.state->options().device;
  at::Tensor mean = at::zeros({channels}, options), spread = at::ones({channels}, options);
  for (size_t i = 0; i < config.latents_mean.size(); ++i) mean[int64_t(i)] = config.latents_mean[i];
  for (size_t i = 0; i < config.latents_std.size(); ++i) spread[int64_t(i)] = config.latents_std[i];
  mean_ = mean.view({1, channels, 1, 1}).to(device);
  scale_ = (config.scaling_factor / spread).view({1, channels, 1, 1}).to(device);
}

data::FeatureInput LatentCodec::input() const { return folder_input("autoencoder", folder_); }

at::Tensor LatentCodec::normalize(const at::Tensor& sample) const { return (sample - mean_) * scale_; }
at::Tensor LatentCodec::decode(const at::Tensor& latent) const {
  return loaded_.vae->decode(latent / scale_ + mean_);
}

models::VaeConfig configured_vae(const AutoencoderConfig& config) {
  models::VaeConfig result;
  result.block_out_channels = config.block_out_channels;
  result.layers_per_block = config.layers_per_block;
  result.norm_num_groups = config.norm_num_groups;
  result.latent_channels = config.latent_channels;
  return result;
}

fs::path autoencoder_folder(const RunConfig& config) {
  return config.autoencoder.path ? *config.autoencoder.path : RunFolder{config.run}.autoencoder();
}

LatentCodec load_codec(const RunConfig& config, at::Device device) {
  const fs::path folder = autoencoder_folder(config);
  if (!fs::exists(folder / "config.json")) {
    throw UserError(
        fmt::format("no autoencoder in {}: set autoencoder.path to a diffusers folder (config.json and "
                    "weights), or put a stage "
                    "with objective autoencoder first.",
                    folder.string()));
  }
  return {models::load_vae(folder, device), folder};
}

std::vector<std::string> cleaned(const std::vector<std::string>& captions, bool by_released_rules) {
  std::vector<std::string> result;
  for (const auto& caption : captions)
    result.push_back(by_released_rules ? text::clean_caption_twice(caption) : text::plain_caption(caption));
  return result;
}

CaptionEncoder::CaptionEncoder(models::LoadedT5 encoder, text::Tokenizer tokenizer, TextEncoderConfig config,
                               fs::path tokenizer_folder)
    : encoder_(std::move(encoder)),
      tokenizer_(std::move(tokenizer)),
      config_(std::move(config)),
      tokenizer_folder_(std::move(tokenizer_folder)) {}

const data::FeatureInputs& CaptionEncoder::inputs() const {
  if (inputs_.empty()) inputs_ = caption_encoder_inputs(config_, tokenizer_folder_);
  return inputs_;
}

EncodedText CaptionEncoder::encode(const std::vector<std::string>& captions) const {
  at::NoGradGuard no_grad;
  const auto tokens = tokenizer_.encode_batch(cleaned(captions, config_.clean_captions), max_tokens());
  const auto device = encoder_.state->options().device;
  const at::Tensor mask = tokens.mask.to(device);
  const at::Tensor features = encoder_.encoder->forward(tokens.ids.to(device), mask).to(at::kFloat);
  const auto num_cut = std::count_if(tokens.uncut.begin(), tokens.uncut.end(),
                                     [this](int64_t length) { return length > max_tokens(); });
  return {features * mask.unsqueeze(-1), mask, num_cut};
}

namespace {

void make_random_encoder(const RunConfig& config, const std::vector<std::string>& captions) {
  const auto& settings = config.text_encoder;
  const fs::path folder = RunFolder{config.run}.text_encoder();
  const auto texts = cleaned(captions, settings.clean_captions);
  if (texts.empty())
    throw UserError(
        "no source of this run has captions, so no tokenizer can be made: set text_encoder.path.");
  // Whole or absent: what is there without a config.json is somebody else's.
  if (fs::exists(folder) && !(fs::is_directory(folder) && fs::is_empty(folder)))
    throw UserError(
        fmt::format("{} holds no text encoder (config.json) and is not replaced. Move it away, or set "
                    "text_encoder.path.",
                    folder.string()));
  StagedFolder staged(folder);
  text::train_tokenizer(texts, settings.vocabulary, staged.path() / "spiece.model");
  models::T5Config t5;
  t5.vocab_size = text::Tokenizer(staged.path() / "spiece.model").vocab_size();
  t5.d_model = settings.d_model;
  t5.num_layers = settings.num_layers;
  t5.num_heads = settings.num_heads;
  t5.d_kv = settings.d_model / settings.num_heads;
  t5.d_ff = settings.d_ff;
  nn::StateDict state;
  models::T5Encoder encoder(nn::Scope(state), t5);
  models::initialize(state, t5, uint64_t(config.seed), settings.position_bias_std);
  models::save_t5(staged.path(), encoder, state);
  staged.commit();
  log::info("text encoder: {} layers of width {}, fixed random weights, {} tokens known ({})", t5.num_layers,
            t5.d_model, t5.vocab_size, folder.string());
}

}  // namespace

namespace {

std::string tokenizer_fingerprint(const fs::path& folder) {
  const fs::path model = folder / "spiece.model";
  return fs::exists(model) ? file_fingerprint(model) : std::string("none");
}

}  // namespace

CaptionEncoder load_caption_encoder(const RunConfig& config, at::Device device,
                                    const std::function<std::vector<std::string>()>& captions) {
  const auto& settings = config.text_encoder;
  const fs::path folder = settings.path ? *settings.path : RunFolder{config.run}.text_encoder();
  if (!settings.path && !fs::exists(folder / "config.json")) {
    create_folders(config.run);
    const FileLock lock(config.run / ".text_encoder.lock");  // processes that extract together make one
    remove_leftovers(config.run, {.folders = {"text_encoder"}});
    if (!fs::exists(folder / "config.json")) make_random_encoder(config, captions());
  }
  TextEncoderConfig found = settings;
  found.path = folder;
  return load_caption_encoder_from(found, {}, device);
}

namespace {

std::optional<at::ScalarType> scalar_type(EncoderDtype dtype) {
  switch (dtype) {
    case EncoderDtype::kStored:
      return std::nullopt;
    case EncoderDtype::kFloat32:
      return at::kFloat;
    case EncoderDtype::kBFloat16:
      return at::kBFloat16;
  }
  return std::nullopt;
}

}  // namespace

data::FeatureInputs caption_encoder_inputs(const TextEncoderConfig& settings, const fs::path& tokenizer) {
  const fs::path folder = *settings.path;
  return {folder_input("text_encoder", folder),
          {"tokenizer", tokenizer_fingerprint(tokenizer.empty() ? folder : tokenizer)},
          {"max_tokens", std::to_string(settings.max_tokens)},
          {"caption_cleaning", settings.clean_captions ? "released rules, twice" : "lower case, stripped"},
          {"encoder_dtype", word_of(settings.dtype)}};
}

CaptionEncoder load_caption_encoder_from(const TextEncoderConfig& settings, const fs::path& tokenizer,
                                         at::Device device) {
  const fs::path folder = *settings.path, words = tokenizer.empty() ? folder : tokenizer;
  auto encoder = models::load_t5(folder, device, scalar_type(settings.dtype));
  return {std::move(encoder), text::Tokenizer(words), settings, tokenizer};
}

namespace {

models::TransformerShape shape_of(const TransformerSizeConfig& config) {
  if (config.preset) return models::transformer_preset(*config.preset);
  return {.patch_size = config.patch_size.value_or(0),
          .hidden_size = config.hidden_size.value_or(0),
          .depth = config.depth.value_or(0),
          .num_heads = config.num_heads.value_or(0),
          .mlp_ratio = config.mlp_ratio};
}

int64_t latent_side(const StageConfig& stage, const models::VaeConfig& vae, int64_t patch_size) {
  const int64_t unit = vae.downscale() * patch_size;
  if (stage.resolution % unit != 0) {
    throw UserError(fmt::format(
        "stage {}: resolution {} is no multiple of {} (the autoencoder's factor {} times the patch {}).",
        stage.name, stage.resolution, unit, vae.downscale(), patch_size));
  }
  return stage.resolution / vae.downscale();
}

}  // namespace

models::TransformerConfig transformer_config(const RunConfig& run, const StageConfig& stage,
                                             const models::VaeConfig& vae, models::ConditionSizes sizes) {
  models::TransformerShape shape = shape_of(run.transformer);
  shape.input_size = latent_side(stage, vae, shape.patch_size);
  shape.in_channels = vae.latent_channels;
  sizes.text.max_tokens = run.text_encoder.max_tokens;
  sizes.text.position_scale = stage.position_scale;
  sizes.text.multi_scale = stage.multi_scale;
  return models::transformer_config(stage.info().model, shape, sizes);
}

}  // namespace pixart::train

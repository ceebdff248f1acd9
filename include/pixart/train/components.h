// The shared parts of a run: autoencoder, text encoder, transformer sizes.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pixart/data/feature_set.h"
#include "pixart/models/t5.h"
#include "pixart/models/transformer.h"
#include "pixart/models/vae.h"
#include "pixart/text/tokenizer.h"
#include "pixart/train/run_config.h"
#include "pixart/train/run_folder.h"

namespace pixart::train {

// An autoencoder with the scaling that makes its latents unit-sized.
class LatentCodec {
 public:
  LatentCodec(models::LoadedVae loaded, std::filesystem::path folder);  // loaded from there
  models::Moments encode(const at::Tensor& image) const { return loaded_.vae->encode(image); }
  at::Tensor normalize(
      const at::Tensor& sample) const;  // latent as the autoencoder makes it -> as the transformer sees it
  at::Tensor decode(const at::Tensor& latent) const;  // from normalised latents to pictures in [-1, 1]
  const models::VaeConfig& config() const { return loaded_.vae->config(); }
  data::FeatureInput input() const;  // what latents depend on; reads the folder

 private:
  models::LoadedVae loaded_;
  std::filesystem::path folder_;
  at::Tensor mean_, scale_;  // [1, L, 1, 1]
};

models::VaeConfig configured_vae(const AutoencoderConfig& config);   // of the one that this run trains
std::filesystem::path autoencoder_folder(const RunConfig& config);   // configured path, or the run's own
LatentCodec load_codec(const RunConfig& config, at::Device device);  // UserError if the stage has not run yet

// Captions -> features.
struct EncodedText {
  at::Tensor features;  // [B, T, C] float32, zero where masked
  at::Tensor mask;      // [B, T] int64
  int64_t num_cut = 0;  // captions that were longer than T
};

class CaptionEncoder {
 public:
  CaptionEncoder(models::LoadedT5 encoder, text::Tokenizer tokenizer, TextEncoderConfig config,
                 std::filesystem::path tokenizer_folder);
  EncodedText encode(const std::vector<std::string>& captions) const;
  int64_t channels() const { return encoder_.encoder->config().d_model; }
  int64_t max_tokens() const { return config_.max_tokens; }
  const data::FeatureInputs& inputs() const;  // what its features depend on; reads the folder once

 private:
  models::LoadedT5 encoder_;
  text::Tokenizer tokenizer_;
  TextEncoderConfig config_;
  std::filesystem::path tokenizer_folder_;
  mutable data::FeatureInputs inputs_ = {};
};

// Loads the configured encoder; without a path it makes the run's own first (tokenizer trained on
// `captions()`, random weights) in <run>/text_encoder.
CaptionEncoder load_caption_encoder(const RunConfig& config, at::Device device,
                                    const std::function<std::vector<std::string>()>& captions);

// Captions as they are given to the tokenizer.
std::vector<std::string> cleaned(const std::vector<std::string>& captions, bool by_released_rules);

// What the features of an encoder that is there depend on, without loading it.
data::FeatureInputs caption_encoder_inputs(const TextEncoderConfig& settings,
                                           const std::filesystem::path& tokenizer);

// The same of an encoder that is there; `tokenizer`: its folder, or "" where it lies beside the encoder.
CaptionEncoder load_caption_encoder_from(const TextEncoderConfig& settings,
                                         const std::filesystem::path& tokenizer, at::Device device);

// The config of the stage's transformer. `sizes` of its labels or captions, as far as its objective reads
// them.
models::TransformerConfig transformer_config(const RunConfig& run, const StageConfig& stage,
                                             const models::VaeConfig& vae, models::ConditionSizes sizes);

}  // namespace pixart::train

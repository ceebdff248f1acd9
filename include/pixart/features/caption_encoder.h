// The text encoder of a run: captions to features.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "pixart/data/feature_set.h"
#include "pixart/models/t5.h"
#include "pixart/run/run_config.h"
#include "pixart/text/tokenizer.h"

namespace pixart::features {

// Captions -> features.
struct EncodedText {
  at::Tensor features;  // [B, T, C] float32, zero where masked
  at::Tensor mask;      // [B, T] int64
  int64_t num_cut = 0;  // captions that were longer than T
};

class CaptionEncoder {
 public:
  CaptionEncoder(models::LoadedT5 encoder, text::Tokenizer tokenizer, run::TextEncoderConfig config,
                 std::filesystem::path tokenizer_folder);
  EncodedText encode(const std::vector<std::string>& captions) const;
  int64_t channels() const { return encoder_.encoder->config().d_model; }
  int64_t max_tokens() const { return config_.max_tokens; }
  const data::FeatureInputs& inputs() const;  // the files that its features depend on; reads the folder once

 private:
  models::LoadedT5 encoder_;
  text::Tokenizer tokenizer_;
  run::TextEncoderConfig config_;
  std::filesystem::path tokenizer_folder_;
  mutable data::FeatureInputs inputs_ = {};
};

// Loads the configured encoder. Without a path it first makes the run's own encoder in <run>/text_encoder,
// with a tokenizer trained on `captions()` and random weights.
CaptionEncoder load_caption_encoder(const run::RunConfig& config, at::Device device,
                                    const std::function<std::vector<std::string>()>& captions);

// The captions after cleaning, as the tokenizer gets them.
std::vector<std::string> cleaned(const std::vector<std::string>& captions, bool by_released_rules);

// The files that the features of an existing encoder depend on, without loading the encoder.
data::FeatureInputs caption_encoder_inputs(const run::TextEncoderConfig& settings,
                                           const std::filesystem::path& tokenizer);

// Loads an existing encoder; `tokenizer` is its folder, or "" if its files are in the encoder's folder.
CaptionEncoder load_caption_encoder_from(const run::TextEncoderConfig& settings,
                                         const std::filesystem::path& tokenizer, at::Device device);

}  // namespace pixart::features

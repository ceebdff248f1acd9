// The text encoder of a run: captions to features.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pixart/data/feature_set.h"
#include "pixart/models/t5.h"
#include "pixart/run/run_config.h"
#include "pixart/text/tokenizer.h"

namespace pixart::features {

// Captions -> features.
struct EncodedText {
  at::Tensor features;                // [B, T, C] float32, zero where masked
  at::Tensor mask;                    // [B, T] int64
  int64_t num_cut = 0;                // captions that were longer than max_tokens
  std::vector<int64_t> lengths = {};  // [B] tokens of each caption
};

// T of EncodedText: max_tokens; or, on a GPU, as few as the longest caption needs, rounded up so that there
// are few shapes. On the CPU T changes the last bits of features, so it is always max_tokens there.
enum class Padding { kMaxTokens, kShortOnGpu };

class CaptionEncoder {
 public:
  // An existing encoder; `config.path` is its folder. `tokenizer` is the tokenizer's, or "" for
  // text::tokenizer_folder(). Reads only config.json.
  CaptionEncoder(run::TextEncoderConfig config, std::filesystem::path tokenizer, at::Device device);
  void load() const;  // reads weights and tokenizer, once; the first encode() does so by itself
  bool has_loaded() const { return loaded_ != nullptr; }
  EncodedText encode(const std::vector<std::string>& captions, Padding padding = Padding::kMaxTokens) const;
  at::ScalarType dtype() const;  // of the weights; loads them
  int64_t channels() const { return channels_; }
  int64_t max_tokens() const { return config_.max_tokens; }
  bool cleans_by_released_rules() const { return config_.clean_captions; }
  at::Device device() const { return device_; }
  const data::FeatureInputs& inputs() const;  // the files that its features depend on; reads the folder once

 private:
  struct Loaded {
    models::LoadedT5 t5;
    text::Tokenizer tokenizer;
  };

  run::TextEncoderConfig config_;
  std::filesystem::path tokenizer_folder_;
  at::Device device_;
  int64_t channels_;
  mutable std::unique_ptr<const Loaded> loaded_ = {};
  mutable data::FeatureInputs inputs_ = {};
};

// The configured encoder. Without a path it first makes the run's own encoder in <run>/text_encoder, with a
// tokenizer trained on `captions()` and random weights.
CaptionEncoder open_caption_encoder(const run::RunConfig& config, at::Device device,
                                    const std::function<std::vector<std::string>()>& captions);

// The captions after cleaning, as the tokenizer gets them.
std::vector<std::string> cleaned(const std::vector<std::string>& captions, bool by_released_rules);

// The files that the features of an existing encoder depend on, without loading the encoder.
data::FeatureInputs caption_encoder_inputs(const run::TextEncoderConfig& settings,
                                           const std::filesystem::path& tokenizer);

}  // namespace pixart::features

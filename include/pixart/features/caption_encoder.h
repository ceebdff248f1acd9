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

// Captions as the text encoder takes them, on the CPU.
struct TokenizedText {
  at::Tensor ids, mask;          // [B, max_tokens] int64
  std::vector<int64_t> lengths;  // [B] tokens of each caption
  int64_t num_cut = 0;
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
  // The two halves of encode(). Several threads may tokenize, after load().
  TokenizedText tokenize(const std::vector<std::string>& captions) const;
  // T for captions of which the longest has this many tokens.
  int64_t padded_length(int64_t longest, Padding padding) const;
  // Ids and mask [B, T] on the encoder's device -> [B, T, C] float32, zero where masked.
  at::Tensor encode(const at::Tensor& ids, const at::Tensor& mask) const;
  int64_t num_cut(const std::vector<std::string>& captions) const;  // of encode(); needs no weights
  at::ScalarType dtype() const;                                     // of the weights; loads them
  int64_t channels() const { return channels_; }
  int64_t max_tokens() const { return config_.max_tokens; }
  bool cleans_by_released_rules() const { return config_.clean_captions; }
  at::Device device() const { return device_; }
  const data::FeatureInputs& inputs() const;  // the files that its features depend on; reads the folder once

 private:
  const text::Tokenizer& tokenizer() const;  // read when it is first needed

  run::TextEncoderConfig config_;
  std::filesystem::path tokenizer_folder_;
  at::Device device_;
  int64_t channels_;
  mutable std::unique_ptr<const models::LoadedT5> loaded_ = {};
  mutable std::unique_ptr<const text::Tokenizer> tokenizer_ = {};
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

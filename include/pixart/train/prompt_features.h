// Features of prompts, kept on disk between calls, so that a text encoder of gigabytes is loaded only for
// prompts that are new.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pixart/train/components.h"

namespace pixart::train {

// A folder of files to read and write; once they have more than `most_bytes`, those go that were not used for
// longest.
struct PromptCache {
  std::filesystem::path folder = {};  // "": nothing is kept
  uint64_t most_bytes = uint64_t{1} << 30;
};

class PromptFeatures {
 public:
  // `settings.path` is the encoder's folder; `tokenizer` its folder, or "" where it lies beside the encoder.
  // Reads config.json alone.
  PromptFeatures(TextEncoderConfig settings, std::filesystem::path tokenizer, at::Device device,
                 PromptCache cache);

  // A prompt is known by its words after cleaning, the hashes of encoder and tokenizer, max_tokens, types and
  // the kind of device. With a cache each prompt is encoded alone, so that its features do not depend on the
  // others. A damaged file is made again, with a warning; one that cannot be written is a warning.
  EncodedText encode(const std::vector<std::string>& prompts);

  int64_t channels() const { return channels_; }
  bool has_loaded() const { return encoder_ != nullptr; }  // the encoder was needed

 private:
  const CaptionEncoder& encoder();
  EncodedText encode_one(const std::string& prompt);
  std::filesystem::path file_of(const std::string& prompt) const;

  TextEncoderConfig settings_;
  std::filesystem::path tokenizer_;
  PromptCache cache_;
  at::Device device_;
  int64_t channels_ = 0;
  std::string identity_;
  std::unique_ptr<CaptionEncoder> encoder_;
};

}  // namespace pixart::train

// Features of prompts, kept on disk between calls, so that a text encoder of gigabytes is loaded only for new
// prompts.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pixart/features/caption_encoder.h"

namespace pixart::features {

// A folder of feature files. When they exceed `most_bytes`, the least recently used ones are deleted; a process
// looks after its first file, and after each 64th of these bytes that it adds.
struct PromptCache {
  std::filesystem::path folder = {};  // "": nothing is kept
  uint64_t most_bytes = uint64_t{1} << 30;
};

class PromptFeatures {
 public:
  PromptFeatures(std::shared_ptr<const CaptionEncoder> encoder, PromptCache cache);

  // The key of a prompt in the cache is its text after cleaning, the hashes of encoder and tokenizer,
  // max_tokens, types and the kind of device. Each prompt is encoded alone, so that its features depend neither
  // on the others nor on the cache. A damaged file is made again, with a warning; a file that cannot be written
  // is only a warning.
  EncodedText encode(const std::vector<std::string>& prompts);

  int64_t channels() const { return encoder_->channels(); }
  const data::FeatureInputs& inputs() const { return encoder_->inputs(); }
  bool has_loaded() const { return encoder_->has_loaded(); }  // true once a prompt needed it

 private:
  EncodedText encode_one(const std::string& prompt);
  std::filesystem::path file_of(const std::string& prompt) const;
  void make_room();

  std::shared_ptr<const CaptionEncoder> encoder_;
  PromptCache cache_;
  bool is_said_ = false;  // that features cannot be cached
  std::string identity_ = {};
  bool has_grown_ = false;  // since make_room()
  bool has_listed_ = false;
  uint64_t grown_bytes_ = 0;  // since the folder was listed
};

}  // namespace pixart::features

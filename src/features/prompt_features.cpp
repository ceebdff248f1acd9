#include "pixart/features/prompt_features.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <regex>
#include <utility>

#include "pixart/base/deletion.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/tensor_file.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

constexpr const char* kHash = "sha256";  // hash of the features' bytes

std::string hash_of(const at::Tensor& features) {
  const at::Tensor bytes = features.cpu().contiguous();
  return formats::sha256({static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes()});
}

// Writes the features without the padding, which is zero.
void write_features(const fs::path& file, const EncodedText& text) {
  const at::Tensor features = text.features[0].narrow(0, 0, text.mask[0].sum().item<int64_t>());
  // Not durable at once: a file that a power cut has damaged is made again.
  formats::write_safetensors(
      file,
      formats::weights_of({{"features", features}, {"mask", text.mask[0]}}, {{kHash, hash_of(features)}}), {},
      Durability::kLater);
}

EncodedText read_features(const fs::path& file, int64_t channels, int64_t max_tokens) {
  auto stored = formats::load_safetensors(file);
  const at::Tensor features = stored.tensors["features"], mask = stored.tensors["mask"];
  const bool fits = features.defined() && mask.defined() && features.dim() == 2 && mask.dim() == 1 &&
                    features.scalar_type() == at::kFloat && mask.scalar_type() == at::kLong &&
                    features.size(1) == channels && mask.size(0) == max_tokens &&
                    features.size(0) == mask.sum().item<int64_t>() &&
                    stored.metadata[kHash] == hash_of(features);
  if (!fits) throw UserError(file.string() + " is damaged");
  at::Tensor padded = at::zeros({1, max_tokens, channels});
  padded[0].narrow(0, 0, features.size(0)).copy_(features);
  return {.features = padded, .mask = mask.unsqueeze(0)};
}

struct KeptFile {
  fs::file_time_type used;
  uint64_t bytes;
  fs::path path;
};

// Another process may do the same meanwhile, so missing files are not an error.
void remove_oldest(const PromptCache& cache) {
  static const std::regex own(R"([0-9a-f]{64}\.safetensors)");
  std::error_code error;
  std::vector<KeptFile> files;
  uint64_t sum = 0;
  for (fs::directory_iterator at(cache.folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code gone;
    if (!std::regex_match(at->path().filename().string(), own)) continue;
    const KeptFile file{at->last_write_time(gone), at->file_size(gone), at->path()};
    if (!gone) files.push_back(file), sum += file.bytes;
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.used < b.used; });
  for (const auto& file : files) {
    if (sum <= cache.most_bytes) return;
    delete_file(file.path);
    sum -= file.bytes;
  }
}

}  // namespace

PromptFeatures::PromptFeatures(std::shared_ptr<const CaptionEncoder> encoder, PromptCache cache)
    : encoder_(std::move(encoder)), cache_(std::move(cache)) {
  if (cache_.folder.empty()) return;
  identity_ = at::DeviceTypeName(encoder_->device().type(), /*lower_case=*/true);
  for (const auto& input : encoder_->inputs()) identity_ += "\n" + input.name + ": " + input.value;
}

fs::path PromptFeatures::file_of(const std::string& prompt) const {
  const std::string words = cleaned({prompt}, encoder_->cleans_by_released_rules()).front();
  return cache_.folder / (formats::sha256(identity_ + "\n\n" + words) + ".safetensors");
}

EncodedText PromptFeatures::encode_one(const std::string& prompt) {
  if (cache_.folder.empty()) return encoder_->encode({prompt});
  const fs::path file = file_of(prompt);
  try {
    std::error_code not_readable;  // then writing fails, too, and says so
    if (fs::exists(file, not_readable)) {
      EncodedText kept = read_features(file, channels(), encoder_->max_tokens());
      std::error_code of_another_user;
      fs::last_write_time(file, fs::file_time_type::clock::now(), of_another_user);
      return kept;
    }
  } catch (const UserError& error) {
    log::warning("the features of a prompt are made again: {}", error.what());
  }
  const EncodedText text = encoder_->encode({prompt});
  try {
    create_folders(cache_.folder);
    write_features(file, text);
    has_grown_ = true;
    grown_bytes_ += text.features.nbytes();
  } catch (const UserError& error) {
    if (!std::exchange(is_said_, true))
      log::warning("the features of a prompt are not cached: {}", error.what());
  }
  return text;
}

// Listing a folder of thousands of files takes as long as drawing a small image.
void PromptFeatures::make_room() {
  constexpr uint64_t kShares = 64;
  if (!std::exchange(has_grown_, false)) return;
  if (std::exchange(has_listed_, true) && grown_bytes_ < cache_.most_bytes / kShares) return;
  grown_bytes_ = 0;
  remove_oldest(cache_);
}

EncodedText PromptFeatures::encode(const std::vector<std::string>& prompts) {
  std::vector<at::Tensor> features, masks;
  for (const auto& prompt : prompts) {
    const EncodedText one = encode_one(prompt);
    features.push_back(one.features.to(encoder_->device()));
    masks.push_back(one.mask.to(encoder_->device()));
  }
  make_room();
  return {.features = at::cat(features), .mask = at::cat(masks)};
}

}  // namespace pixart::features

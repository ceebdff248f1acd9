// Latents of a source's images: mean and log-variance of the autoencoder's posterior, as a feature set. What a teacher
// sees in the images (features/teacher.h) is kept in the same form: its two planes are the halves of the channels.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/data/feature_set.h"
#include "pixart/data/quarantine.h"

namespace pixart::data {

enum class LatentDtype { kFloat16, kFloat32 };
inline EnumWords<LatentDtype> enum_words(LatentDtype) {
  return {{"float16", LatentDtype::kFloat16}, {"float32", LatentDtype::kFloat32}};
}

// The words for what a set holds (FeatureManifest::kind).
inline constexpr const char *kLatentKind = "latents", *kTeacherKind = "teacher_features";

// The latents of one image in a shard. Records are in the order of the source's rows.
struct LatentRecord {
  int64_t row = 0;
  int height = 0, width = 0;  // of the original image
  uint8_t bucket = 0;         // aspect bucket; 0 without buckets
  uint32_t image = 0;         // checksum of the encoded image (formats::ReducedImage); 0: none was read
  at::Tensor moments;  // [V, 2, L, h, w] on the CPU: V variants (original, mirrored), mean and log-variance
};

// Writes a shard: records, ordered by row, and rejections. `dtype`: kHalf or kFloat.
void write_latent_shard(const std::filesystem::path& file, const std::vector<LatentRecord>& records,
                        const std::vector<Rejection>& rejected, at::ScalarType dtype);

// The images that the listing rejects, without decoding them. Rows without a caption have latents
// nevertheless, so that adding captions later does not require new latents.
std::vector<Rejection> rejected_images(const Dataset& dataset);

// Writes index and quarantine file of a set whose shards are complete. Checks accepted + rejected = listed.
// Returns the number of rejected rows.
int64_t write_latent_index(const std::filesystem::path& folder,
                           const std::vector<std::filesystem::path>& shards, const std::string& source,
                           const Dataset& dataset);

class LatentSet {
 public:
  // Throws UserError if files are missing or contradict each other, or if the set holds something else.
  explicit LatentSet(std::filesystem::path folder, const std::string& kind = kLatentKind);
  ~LatentSet();
  LatentSet(LatentSet&&) noexcept;

  struct Shape {
    int64_t channels = 0, height = 0, width = 0;
  };
  struct Item {
    Shape latent;
    int64_t height = 0, width = 0;  // of the original image
    uint8_t bucket = 0;
  };

  const FeatureManifest& manifest() const;
  int64_t rows() const;
  const std::vector<Rejection>& rejected() const;  // rows without latents, in rising order
  bool has_mirrored() const;
  Item item(int64_t row) const;  // of a row that is not rejected
  // Checksum of the encoded image that the latents were made from; 0 if none was read, or in a set of an older
  // version.
  uint32_t image_checksum(int64_t row) const;

  // Reads mean and log-variance, [L, h, w] each. May be called from several threads. Throws DamagedRecord.
  void read(int64_t row, bool mirrored, float* mean, float* log_var) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::data

#include "former_latents.h"

#include <ATen/ATen.h>

#include <map>

#include "extract_common.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"

namespace pixart::features {

namespace {

// The images of a shard and a shape are encoded in order, in full batches and one with the rest.
std::vector<uint8_t> batches_of(const data::LatentSet& set, int64_t batch) {
  std::vector<uint8_t> result(static_cast<size_t>(set.rows()));
  int64_t first = 0;
  for (const auto& shard : set.manifest().shards) {
    std::map<uint8_t, std::vector<int64_t>> encoded;
    for (int64_t row = first; row < first + shard.items; ++row)
      if (set.image_checksum(row) != 0) encoded[set.item(row).bucket].push_back(row);
    for (const auto& [bucket, rows] : encoded) {
      const auto count = int64_t(rows.size()), full = count - count % batch;
      for (int64_t i = 0; i < count; ++i)
        result[size_t(rows[size_t(i)])] = uint8_t(i < full ? batch : count - full);
    }
    first += shard.items;
  }
  return result;
}

}  // namespace

FormerLatents::FormerLatents(const std::filesystem::path& folder, const std::string& kind, int64_t batch)
    : set_(folder, kind), keys_(folder), batches_(batches_of(set_, batch)) {}

std::optional<FormerLatent> FormerLatents::find(const data::Dataset& dataset, int64_t row) const {
  const auto own = keys_.find(data::feature_key(dataset.key(row)));
  if (!own || *own >= set_.rows()) return std::nullopt;
  const uint32_t checksum = set_.image_checksum(*own);  // 0: rejected, or no image was read
  if (checksum == 0 || !is_same_image(dataset, row, checksum)) return std::nullopt;
  FormerLatent found{.item = set_.item(*own), .checksum = checksum, .batch = batches_[size_t(*own)]};
  const auto& [channels, height, width] = found.item.latent;
  const int64_t variants = set_.has_mirrored() ? 2 : 1;
  found.moments = at::empty({variants, 2, channels, height, width}, at::kFloat);
  try {
    for (int64_t variant = 0; variant < variants; ++variant)
      set_.read(*own, variant == 1, found.moments[variant][0].data_ptr<float>(),
                found.moments[variant][1].data_ptr<float>());
  } catch (const data::DamagedRecord& damaged) {
    log::warning("{} It is encoded again.", damaged.what());
    return std::nullopt;
  }
  return found;
}

}  // namespace pixart::features

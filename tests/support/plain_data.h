// A data set in memory, and feature sets of it whose numbers are known.
#pragma once
#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/data/caption_set.h"
#include "pixart/data/dataset.h"
#include "pixart/data/latent_set.h"

namespace pixart::testing {

// Images of one gray, which is the row's number.
class PlainDataset : public data::Dataset {
 public:
  explicit PlainDataset(int64_t count) {
    for (int64_t i = 0; i < count; ++i)
      rows.push_back({.key = fmt::format("{}.png", i),
                      .captions = {{.text = fmt::format("caption {}", i)}},
                      .label = i % 3});
  }
  int64_t size() const override { return int64_t(rows.size()); }
  data::Row row(int64_t index) const override { return rows.at(size_t(index)); }
  const std::vector<std::string>& class_names() const override { return classes; }
  const std::vector<data::Rejection>& rejected() const override { return listed; }
  std::string fingerprint() const override { return "plain"; }

  // The listing's word on a row; rows must come rising.
  void reject(int64_t row, data::Reason reason) {
    listed.push_back({.row = row, .key = rows[size_t(row)].key, .reason = reason, .detail = "bad"});
  }

  std::vector<data::Row> rows;
  std::vector<data::Rejection> listed;
  std::set<int64_t> damaged;  // found when they are opened
  std::set<int64_t> odd;      // a library throws when they are decoded
  std::set<int64_t> thin;     // 1000 x 3 pixels
  std::vector<std::string> classes = {"a", "b", "c"};

 private:
  std::string read_bytes_of(int64_t index) const override {
    return formats::encode_png(decode(index, 0).image);
  }
  formats::ReducedImage decode(int64_t index, int) const override {
    if (damaged.count(index) > 0)
      throw data::BadSample({.row = index,
                             .key = row(index).key,
                             .reason = data::Reason::kDamagedImage,
                             .detail = "it is cut off"});
    if (odd.count(index) > 0) throw std::runtime_error("a library's surprise");
    if (thin.count(index) > 0) return formats::whole(Image(3, 1000, uint8_t(index)));
    return formats::whole(Image(4 + int(index % 3), 5, uint8_t(index)));
  }
};

inline at::Tensor waves(at::IntArrayRef shape, double start) {
  int64_t numel = 1;
  for (const int64_t side : shape) numel *= side;
  return at::arange(numel, at::kFloat).mul(0.37).add(start).sin().reshape(shape);
}

inline constexpr int64_t kPlainChannels = 4;

// [V, 2, L, h, w] of a row.
inline at::Tensor plain_moments(int64_t row, int64_t variants, int64_t height, int64_t width) {
  return waves({variants, 2, kPlainChannels, height, width}, double(row));
}

struct PlainLatents {
  at::ScalarType dtype = at::kHalf;
  int64_t variants = 1, per_shard = 3;
  std::function<std::pair<int64_t, int64_t>(int64_t row)> shape = [](int64_t) { return std::pair{2, 2}; };
};

// A latent set of the data set; the bucket of a row is the height of its latents.
inline data::FeatureWork plain_latent_work(const std::filesystem::path& folder, const data::Dataset& dataset,
                                           const PlainLatents& options = {}) {
  data::FeatureWork work;
  work.folder = folder;
  work.manifest = {.kind = "latents",
                   .source = "plain",
                   .rows = dataset.size(),
                   .inputs = {{"dtype", options.dtype == at::kHalf ? "float16" : "float32"}}};
  work.items = dataset.size(), work.items_per_shard = options.per_shard;
  work.compute_shard = [&dataset, options](int64_t first, int64_t last) {
    std::vector<data::LatentRecord> records;
    std::vector<data::Rejection> rejected;
    const auto listed = data::rejected_images(dataset);
    for (int64_t row = first; row < last; ++row) {
      const auto known =
          std::find_if(listed.begin(), listed.end(), [&](const auto& r) { return r.row == row; });
      if (known != listed.end()) {
        rejected.push_back(*known);
        continue;
      }
      try {
        const Image image = dataset.image(row);
        const auto [height, width] = options.shape(row);
        records.push_back({.row = row,
                           .height = image.height,
                           .width = image.width,
                           .bucket = uint8_t(height),
                           .moments = plain_moments(row, options.variants, height, width)});
      } catch (const data::BadSample& bad) {
        rejected.push_back(bad.rejection());
      }
    }
    return [records, rejected, options](const std::filesystem::path& file) {
      data::write_latent_shard(file, records, rejected, options.dtype);
    };
  };
  work.write_index = [&dataset, folder](const std::vector<std::filesystem::path>& shards) {
    return data::write_latent_index(folder, shards, "plain", dataset);
  };
  return work;
}

// Of a caption: as many tokens as bytes.
inline at::Tensor plain_features(const std::string& text, int64_t channels) {
  return waves({int64_t(text.size()) + 1, channels}, double(text.empty() ? 0 : text.back()));
}

inline data::FeatureWork plain_caption_work(const std::filesystem::path& folder, const data::Dataset& dataset,
                                            const std::string& dtype, int64_t channels,
                                            int64_t per_shard = 3) {
  auto captions = std::make_shared<data::DistinctCaptions>(data::find_distinct_captions(dataset));
  data::FeatureWork work;
  work.folder = folder;
  work.manifest = {
      .kind = "captions", .source = "plain", .rows = dataset.size(), .inputs = {{"dtype", dtype}}};
  work.items = int64_t(captions->first.size()), work.items_per_shard = per_shard;
  work.compute_shard = [=, &dataset](int64_t first, int64_t last) {
    std::vector<at::Tensor> features;
    for (int64_t id = first; id < last; ++id) {
      const auto place = captions->first[size_t(id)];
      const auto row = dataset.row(place.row);
      features.push_back(
          plain_features(row.captions.empty() ? "" : row.captions[size_t(place.kind)].text, channels));
    }
    return [features, dtype](const std::filesystem::path& file) {
      data::write_caption_shard(file, features, 1, enum_of_word<data::CaptionDtype>(dtype, "type"));
    };
  };
  work.write_index = [=](const std::vector<std::filesystem::path>& shards) {
    data::write_caption_index(folder, shards, *captions);
    return int64_t{0};
  };
  return work;
}

}  // namespace pixart::testing

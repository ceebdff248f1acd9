#include "made_features.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/data/caption_set.h"
#include "pixart/data/latent_set.h"

namespace pixart::bench {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kRowsPerShard = 256, kLatentChannels = 4, kPixelsPerLatent = 8;
constexpr double kGoldenRatio = 0.6180339887498949;  // less one: its multiples spread most evenly in [0, 1)

data::FeatureWork work_of(const fs::path& folder, const std::string& kind, const std::string& dtype,
                          int64_t rows) {
  data::FeatureWork work;
  work.folder = folder;
  work.manifest = {.kind = kind,
                   .source = "bench",
                   .rows = rows,
                   .rejected = 0,
                   .inputs = {{"dtype", dtype}},
                   .shards = {}};
  work.items = rows;
  work.items_per_shard = kRowsPerShard;
  return work;
}

}  // namespace

int64_t CaptionLengths::of(int64_t sample) const {
  return least + int64_t(std::fmod(double(sample) * kGoldenRatio, 1.0) * double(most - least + 1));
}

CaptionLengths caption_lengths(const std::string& text, int64_t limit) {
  CaptionLengths lengths;
  long long least = 0, most = 0;
  int end = 0;
  const bool is_read = std::sscanf(text.c_str(), "%lld-%lld%n", &least, &most, &end) == 2;
  if (!is_read || size_t(end) != text.size() || least < 1 || most < least || most > limit)
    throw UserError(
        fmt::format("--captions is '{}', expected the least and the most tokens of a caption, "
                    "from 1 to --caption-tokens ({}), for example 60-120",
                    text, limit));
  lengths.least = least, lengths.most = most;
  return lengths;
}

Scratch::Scratch(fs::path folder) : path(std::move(folder)) { create_folders(path); }

Scratch::~Scratch() {
  std::error_code none;
  fs::remove_all(path, none);
}

data::Row Samples::row(int64_t index) const {
  const std::string key = std::to_string(index);
  return {.key = key, .captions = {{.name = "caption", .text = key}}};
}

std::string Samples::read_bytes_of(int64_t) const { throw InternalError("no images"); }

void write_latents(const fs::path& folder, const data::Dataset& dataset, int64_t side) {
  auto work = work_of(folder, "latents", "float16", dataset.size());
  work.compute_shard = [&](int64_t first, int64_t last) {
    const int pixels = int(kPixelsPerLatent * side);
    std::vector<data::LatentRecord> records;
    for (int64_t row = first; row < last; ++row)
      records.push_back({.row = row,
                         .height = pixels,
                         .width = pixels,
                         .moments = at::randn({1, 2, kLatentChannels, side, side}).to(at::kHalf)});
    return [records](const fs::path& file) { data::write_latent_shard(file, records, {}, at::kHalf); };
  };
  work.write_index = [&](const std::vector<fs::path>& shards) {
    return data::write_latent_index(folder, shards, "bench", dataset);
  };
  data::make_feature_set(work);
}

// The tokens are from a pool: their values do not matter, their size does.
void write_captions(const fs::path& folder, const data::Dataset& dataset, const std::string& dtype,
                    const CaptionLengths& lengths, int64_t channels) {
  const at::Tensor pool = at::randn({2 * lengths.most, channels}).to(at::kBFloat16).to(at::kFloat);
  auto work = work_of(folder, "captions", dtype, dataset.size());
  work.compute_shard = [&](int64_t first, int64_t last) {
    std::vector<at::Tensor> features;
    for (int64_t row = first; row < last; ++row)
      features.push_back(pool.narrow(0, row % lengths.most, lengths.of(row)));
    return [features, dtype](const fs::path& file) {
      data::write_caption_shard(file, features, 0,
                                enum_of_word<data::CaptionDtype>(dtype, "type of caption features"));
    };
  };
  work.write_index = [&](const std::vector<fs::path>& shards) {
    data::write_caption_index(folder, shards, data::find_distinct_captions(dataset));
    return int64_t{0};
  };
  data::make_feature_set(work);
}

}  // namespace pixart::bench

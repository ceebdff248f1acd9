#include "pixart/data/latent_set.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "feature_files.h"
#include "feature_index.h"
#include "feature_values.h"
#include "pixart/base/claim.h"
#include "pixart/base/error.h"
#include "pixart/data/quarantine_file.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/formats/weights.h"
#include "rejection_json.h"
#include "shard_reader.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// Columns of the table `item` in shards and index.
enum Column { kChannels, kLatentHeight, kLatentWidth, kHeight, kWidth, kBucket, kVariants, kColumns };
constexpr int64_t kMostVariants = 2;  // original, mirrored
constexpr const char* kImages = "image";

// Number of elements of one variant's mean and log-variance.
int64_t variant_numel(const int32_t* item) {
  return 2 * int64_t(item[kChannels]) * item[kLatentHeight] * item[kLatentWidth];
}

// [N, V] checksums of each variant of a shard's records: a variant is read at once.
at::Tensor checksums_of(const at::Tensor& moments, const at::Tensor& begin, const at::Tensor& item) {
  const int64_t count = begin.numel();
  at::Tensor result = at::zeros({count, kMostVariants}, at::kInt);
  const auto* bytes = static_cast<const char*>(moments.const_data_ptr());
  const auto element = int64_t(moments.element_size());
  for (int64_t i = 0; i < count; ++i) {
    const int32_t* values = item.const_data_ptr<int32_t>() + i * kColumns;
    const int64_t numel = variant_numel(values), first = begin.const_data_ptr<int64_t>()[i];
    PIXART_CHECK(values[kVariants] <= kMostVariants && first + values[kVariants] * numel <= moments.numel());
    for (int64_t v = 0; v < values[kVariants]; ++v)
      result.data_ptr<int32_t>()[i * kMostVariants + v] =
          record_checksum(bytes + (first + v * numel) * element, uint64_t(numel * element));
  }
  return result;
}

}  // namespace

void write_latent_shard(const fs::path& file, const std::vector<LatentRecord>& records,
                        const std::vector<Rejection>& rejected, at::ScalarType dtype) {
  const auto count = int64_t(records.size());
  at::Tensor row = at::empty({count}, at::kLong), begin = at::empty({count}, at::kLong),
             item = at::empty({count, kColumns}, at::kInt), image = at::empty({count, 1}, at::kInt);
  std::vector<at::Tensor> flat;
  int64_t total = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto& record = records[size_t(i)];
    const auto& moments = record.moments;
    PIXART_CHECK(moments.dim() == 5 && moments.size(1) == 2, "moments of {} dimensions", moments.dim());
    row.data_ptr<int64_t>()[i] = record.row;
    image.data_ptr<int32_t>()[i] = int32_t(record.image);
    begin.data_ptr<int64_t>()[i] = total;
    const int64_t values[kColumns] = {moments.size(2), moments.size(3), moments.size(4), record.height,
                                      record.width,    record.bucket,   moments.size(0)};
    for (int64_t c = 0; c < kColumns; ++c) item.data_ptr<int32_t>()[i * kColumns + c] = int32_t(values[c]);
    flat.push_back(moments.to(dtype).flatten());
    if (!at::isfinite(flat.back()).all().item<bool>())
      throw UserError(
          fmt::format("{}: the latents of row {} are not finite in {}. Check the autoencoder's weights, or "
                      "set features.latent_dtype to float32.",
                      file.string(), record.row, dtype == at::kHalf ? "float16" : "float32"),
          ExitCode::kNumerics);
    total += moments.numel();
  }
  const at::Tensor all = flat.empty() ? at::empty({0}, dtype) : at::cat(flat);
  formats::save_safetensors(file,
                            {{"moments", all},
                             {"row", row},
                             {"begin", begin},
                             {"item", item},
                             {kImages, image},
                             {kChecksums, checksums_of(all, begin, item)}},
                            {{"rejected", rejections_text(rejected)}});
}

std::vector<Rejection> rejected_images(const Dataset& dataset) {
  std::vector<Rejection> result;
  for (const auto& rejection : dataset.rejected())
    if (!concerns_caption(rejection.reason)) result.push_back(rejection);
  return result;
}

int64_t write_latent_index(const fs::path& folder, const std::vector<fs::path>& shards,
                           const std::string& source, const Dataset& dataset) {
  const int64_t rows = dataset.size();
  at::Tensor shard_of = at::full({rows}, -1, at::kInt), begin = at::zeros({rows}, at::kLong),
             item = at::zeros({rows, kColumns}, at::kInt),
             checksums = at::zeros({rows, kMostVariants}, at::kInt), image = at::zeros({rows, 1}, at::kInt);
  std::vector<Rejection> rejected;
  for (size_t s = 0; s < shards.size(); ++s) {
    give_sign_of_life();
    const auto weights = formats::open_safetensors(shards[s]);
    const at::Tensor row = weights.read("row"), first = weights.read("begin"), items = weights.read("item");
    shard_of.index_fill_(0, row, int64_t(s));
    begin.index_copy_(0, row, first);
    item.index_copy_(0, row, items);
    // Shards of older versions have none.
    checksums.index_copy_(0, row,
                          weights.tensors.count(kChecksums) > 0
                              ? weights.read(kChecksums)
                              : checksums_of(weights.read("moments"), first, items));
    if (weights.tensors.count(kImages) > 0) image.index_copy_(0, row, weights.read(kImages));
    const auto some = parse_rejections(weights.metadata.at("rejected"));
    rejected.insert(rejected.end(), some.begin(), some.end());
  }
  std::sort(rejected.begin(), rejected.end(), [](const auto& a, const auto& b) { return a.row < b.row; });
  const Ledger ledger{.source = source, .listed = rows, .rejected = std::move(rejected)};
  const int64_t accepted = shard_of.ge(0).sum().item<int64_t>();
  PIXART_CHECK(accepted == ledger.accepted(), "{} rows have latents, {} were accepted", accepted,
               ledger.accepted());
  set_aside_foreign_quarantine(folder / kQuarantineFile);
  write_quarantine(folder / kQuarantineFile, ledger);
  formats::save_safetensors(
      folder / kIndexFile,
      {{"shard", shard_of}, {"begin", begin}, {"item", item}, {kImages, image}, {kChecksums, checksums}},
      {{"rejected", rejections_text(ledger.rejected)}});
  return int64_t(ledger.rejected.size());
}

struct LatentSet::State {
  FeatureManifest manifest;
  at::Tensor shard, begin, item, checksum, image;
  const int32_t* checksums = nullptr;  // null for sets of older versions
  const int32_t* shards = nullptr;
  const int64_t* begins = nullptr;
  const int32_t* items = nullptr;
  std::vector<Rejection> rejected;
  bool is_half = true, has_mirrored = false;
  std::unique_ptr<ShardReader> reader;
};

namespace {

std::vector<Rejection> rejections_of(const FeatureIndex& index) {
  try {
    return parse_rejections(index.text("rejected"));
  } catch (const nlohmann::json::exception& error) {
    index.require(false, fmt::format("is damaged ({})", error.what()));
    return {};
  }
}

// Checks that each row has either latents or a rejection.
void check_rows(const FeatureIndex& index, const FeatureManifest& manifest, const int32_t* shards,
                const int32_t* items, const std::vector<Rejection>& rejected) {
  size_t next = 0;
  for (int64_t row = 0; row < manifest.rows; ++row) {
    const bool is_rejected = next < rejected.size() && rejected[next].row == row;
    next += is_rejected ? 1 : 0;
    index.require(is_rejected == (shards[row] < 0),
                  fmt::format("and its rejections contradict each other about row {}", row));
    if (is_rejected) continue;
    const int32_t* item = items + row * kColumns;
    index.require(
        size_t(shards[row]) < manifest.shards.size() && item[kBucket] >= 0 && item[kBucket] < 256 &&
            std::min({item[kChannels], item[kLatentHeight], item[kLatentWidth], item[kVariants]}) > 0,
        fmt::format("is damaged at row {}", row));
  }
  index.require(
      next == rejected.size() && int64_t(next) == manifest.rejected,
      fmt::format("has {} rejected rows, but the manifest has {}", rejected.size(), manifest.rejected));
}

}  // namespace

LatentSet::LatentSet(fs::path folder, const std::string& kind) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.manifest = read_feature_manifest(folder);
  if (s.manifest.kind != kind)
    throw UserError(fmt::format("{} holds {}, expected {}.", folder.string(), s.manifest.kind, kind));
  const FeatureIndex index(folder, s.manifest);
  const int64_t rows = s.manifest.rows;
  s.shard = index.tensor("shard", at::kInt, rows);
  s.begin = index.tensor("begin", at::kLong, rows);
  s.item = index.tensor("item", at::kInt, rows * kColumns);
  s.shards = s.shard.const_data_ptr<int32_t>();
  s.begins = s.begin.const_data_ptr<int64_t>();
  s.items = s.item.const_data_ptr<int32_t>();
  s.checksum = index.checksums(kChecksums, rows, kMostVariants);
  s.image = index.checksums(kImages, rows, 1);
  if (s.checksum.defined()) s.checksums = s.checksum.const_data_ptr<int32_t>();
  s.rejected = rejections_of(index);
  check_rows(index, s.manifest, s.shards, s.items, s.rejected);
  for (int64_t row = 0; row < rows; ++row) {
    if (s.shards[row] >= 0) s.has_mirrored = s.items[row * kColumns + kVariants] > 1;
  }
  for (const auto& input : s.manifest.inputs)
    if (input.name == "dtype")
      s.is_half = enum_of_word<LatentDtype>(input.value, "type of latents") == LatentDtype::kFloat16;
  s.reader = std::make_unique<ShardReader>(
      shard_files(folder, s.manifest),
      std::map<std::string, std::string>{{"moments", s.is_half ? "F16" : "F32"}});
}
LatentSet::~LatentSet() = default;
LatentSet::LatentSet(LatentSet&&) noexcept = default;

const FeatureManifest& LatentSet::manifest() const { return state_->manifest; }
int64_t LatentSet::rows() const { return state_->manifest.rows; }
const std::vector<Rejection>& LatentSet::rejected() const { return state_->rejected; }
bool LatentSet::has_mirrored() const { return state_->has_mirrored; }

LatentSet::Item LatentSet::item(int64_t row) const {
  PIXART_CHECK(row >= 0 && row < rows() && state_->shards[row] >= 0, "row {} has no latents", row);
  const int32_t* values = state_->items + row * kColumns;
  return {.latent = {values[kChannels], values[kLatentHeight], values[kLatentWidth]},
          .height = values[kHeight],
          .width = values[kWidth],
          .bucket = uint8_t(values[kBucket])};
}

uint32_t LatentSet::image_checksum(int64_t row) const {
  const at::Tensor& image = state_->image;
  return image.defined() ? uint32_t(image.const_data_ptr<int32_t>()[row]) : 0;
}

void LatentSet::read(int64_t row, bool mirrored, float* mean, float* log_var) const {
  const State& s = *state_;
  const auto [channels, height, width] = item(row).latent;
  const int64_t half = channels * height * width, variant = mirrored ? 1 : 0;
  PIXART_CHECK(!mirrored || s.items[row * kColumns + kVariants] > 1, "row {} has no mirrored latents", row);
  const uint64_t element = s.is_half ? 2 : 4, bytes = uint64_t(2 * half) * element;
  const uint64_t begin = uint64_t(s.begins[row] + variant * 2 * half) * element;
  std::optional<uint32_t> checksum;
  if (s.checksums != nullptr) checksum = uint32_t(s.checksums[row * kMostVariants + variant]);
  const auto read = std::make_unique_for_overwrite<char[]>(bytes);
  s.reader->read(size_t(s.shards[row]), "moments", begin, bytes, read.get(), checksum);
  if (s.is_half) {
    const auto* moments = reinterpret_cast<const uint16_t*>(read.get());
    halves_to_floats(moments, half, mean);
    halves_to_floats(moments + half, half, log_var);
  } else {
    std::memcpy(mean, read.get(), bytes / 2);
    std::memcpy(log_var, read.get() + bytes / 2, bytes / 2);
  }
}

}  // namespace pixart::data

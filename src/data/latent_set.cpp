#include "pixart/data/latent_set.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "feature_files.h"
#include "feature_index.h"
#include "pixart/base/error.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/formats/weights.h"
#include "rejection_json.h"
#include "shard_reader.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// Columns of the table `item` of shards and index.
enum Column { kChannels, kLatentHeight, kLatentWidth, kHeight, kWidth, kBucket, kVariants, kColumns };

}  // namespace

void write_latent_shard(const fs::path& file, const std::vector<LatentRecord>& records,
                        const std::vector<Rejection>& rejected, at::ScalarType dtype) {
  const auto count = int64_t(records.size());
  at::Tensor row = at::empty({count}, at::kLong), begin = at::empty({count}, at::kLong),
             item = at::empty({count, kColumns}, at::kInt);
  std::vector<at::Tensor> flat;
  int64_t total = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto& record = records[size_t(i)];
    const auto& moments = record.moments;
    PIXART_CHECK(moments.dim() == 5 && moments.size(1) == 2, "moments of {} dimensions", moments.dim());
    row.data_ptr<int64_t>()[i] = record.row;
    begin.data_ptr<int64_t>()[i] = total;
    const int64_t values[kColumns] = {moments.size(2), moments.size(3), moments.size(4), record.height,
                                      record.width,    record.bucket,   moments.size(0)};
    for (int64_t c = 0; c < kColumns; ++c) item.data_ptr<int32_t>()[i * kColumns + c] = int32_t(values[c]);
    flat.push_back(moments.to(dtype).flatten());
    if (!at::isfinite(flat.back()).all().item<bool>())
      throw UserError(
          fmt::format("{}: latents of row {} are not finite in {}. Check the autoencoder's weights, "
                      "or set features.latent_dtype to float32.",
                      file.string(), record.row, dtype == at::kHalf ? "float16" : "float32"),
          ExitCode::kNumerics);
    total += moments.numel();
  }
  const at::Tensor all = flat.empty() ? at::empty({0}, dtype) : at::cat(flat);
  formats::save_safetensors(file, {{"moments", all}, {"row", row}, {"begin", begin}, {"item", item}},
                            {{"rejected", rejections_text(rejected)}});
}

std::vector<Rejection> rejected_pictures(const Dataset& dataset) {
  std::vector<Rejection> result;
  for (const auto& rejection : dataset.rejected())
    if (!concerns_caption(rejection.reason)) result.push_back(rejection);
  return result;
}

int64_t write_latent_index(const fs::path& folder, const std::vector<fs::path>& shards,
                           const std::string& source, const Dataset& dataset) {
  const int64_t rows = dataset.size();
  at::Tensor shard_of = at::full({rows}, -1, at::kInt), begin = at::zeros({rows}, at::kLong),
             item = at::zeros({rows, kColumns}, at::kInt);
  std::vector<Rejection> rejected;
  for (size_t s = 0; s < shards.size(); ++s) {
    const auto weights = formats::open_safetensors(shards[s]);
    const at::Tensor row = weights.read("row"), first = weights.read("begin"), items = weights.read("item");
    shard_of.index_fill_(0, row, int64_t(s));
    begin.index_copy_(0, row, first);
    item.index_copy_(0, row, items);
    const auto some = parse_rejections(weights.metadata.at("rejected"));
    rejected.insert(rejected.end(), some.begin(), some.end());
  }
  std::sort(rejected.begin(), rejected.end(), [](const auto& a, const auto& b) { return a.row < b.row; });
  const Ledger ledger{.source = source, .listed = rows, .rejected = std::move(rejected)};
  const int64_t accepted = shard_of.ge(0).sum().item<int64_t>();
  PIXART_CHECK(accepted == ledger.accepted(), "{} rows have latents, {} were accepted", accepted,
               ledger.accepted());
  write_quarantine(folder / kQuarantineFile, ledger);
  formats::save_safetensors(folder / kIndexFile, {{"shard", shard_of}, {"begin", begin}, {"item", item}},
                            {{"rejected", rejections_text(ledger.rejected)}});
  return int64_t(ledger.rejected.size());
}

struct LatentSet::State {
  FeatureManifest manifest;
  at::Tensor shard, begin, item;
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

// Each row has latents or a reason why not.
void check_rows(const FeatureIndex& index, const FeatureManifest& manifest, const int32_t* shards,
                const int32_t* items, const std::vector<Rejection>& rejected) {
  size_t next = 0;
  for (int64_t row = 0; row < manifest.rows; ++row) {
    const bool is_rejected = next < rejected.size() && rejected[next].row == row;
    next += is_rejected ? 1 : 0;
    index.require(is_rejected == (shards[row] < 0),
                  fmt::format("and its rejections disagree on row {}", row));
    if (is_rejected) continue;
    const int32_t* item = items + row * kColumns;
    index.require(
        size_t(shards[row]) < manifest.shards.size() && item[kBucket] >= 0 && item[kBucket] < 256 &&
            std::min({item[kChannels], item[kLatentHeight], item[kLatentWidth], item[kVariants]}) > 0,
        fmt::format("is damaged at row {}", row));
  }
  index.require(next == rejected.size() && int64_t(next) == manifest.rejected,
                fmt::format("has {} rejected rows, the manifest {}", rejected.size(), manifest.rejected));
}

}  // namespace

LatentSet::LatentSet(fs::path folder) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.manifest = read_feature_manifest(folder);
  if (s.manifest.kind != "latents")
    throw UserError(fmt::format("{} holds {}, not latents.", folder.string(), s.manifest.kind));
  const FeatureIndex index(folder);
  const int64_t rows = s.manifest.rows;
  s.shard = index.tensor("shard", at::kInt, rows);
  s.begin = index.tensor("begin", at::kLong, rows);
  s.item = index.tensor("item", at::kInt, rows * kColumns);
  s.shards = s.shard.const_data_ptr<int32_t>();
  s.begins = s.begin.const_data_ptr<int64_t>();
  s.items = s.item.const_data_ptr<int32_t>();
  s.rejected = rejections_of(index);
  check_rows(index, s.manifest, s.shards, s.items, s.rejected);
  for (int64_t row = 0; row < rows; ++row) {
    if (s.shards[row] >= 0) s.has_mirrored = s.items[row * kColumns + kVariants] > 1;
  }
  for (const auto& [name, value] : s.manifest.inputs)
    if (name == "dtype")
      s.is_half = enum_of_word<LatentDtype>(value, "type of latents") == LatentDtype::kFloat16;
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

void LatentSet::read(int64_t row, bool mirrored, float* mean, float* log_var) const {
  const auto [channels, height, width] = item(row).latent;
  const int64_t half = channels * height * width;
  const uint64_t element = state_->is_half ? 2 : 4;
  const uint64_t begin = uint64_t(state_->begins[row] + (mirrored ? 2 * half : 0)) * element;
  const auto read = [&](uint64_t from, uint64_t count, void* out) {
    state_->reader->read(size_t(state_->shards[row]), "moments", from, count, out);
  };
  PIXART_CHECK(!mirrored || has_mirrored(), "row {} has no mirrored latents", row);
  if (!state_->is_half) {
    read(begin, uint64_t(half) * 4, mean);
    read(begin + uint64_t(half) * 4, uint64_t(half) * 4, log_var);
    return;
  }
  std::vector<c10::Half> moments(size_t(2 * half));
  read(begin, uint64_t(2 * half) * 2, moments.data());
  std::copy_n(moments.begin(), half, mean);
  std::copy_n(moments.begin() + half, half, log_var);
}

}  // namespace pixart::data

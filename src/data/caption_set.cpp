#include "pixart/data/caption_set.h"

#include <ATen/ATen.h>

#include <numeric>
#include <unordered_map>

#include "feature_files.h"
#include "feature_index.h"
#include "feature_values.h"
#include "pixart/base/claim.h"
#include "pixart/base/error.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/formats/weights.h"
#include "shard_reader.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr float kLargestFloat8 = 448;
// The smallest normal float16: normal values are rounded by at most 2^-11 of themselves.
constexpr double kSmallestScale = 0x1p-14, kLargestScale = 65504;

at::ScalarType scalar_type(CaptionDtype dtype) {
  switch (dtype) {
    case CaptionDtype::kFloat32:
      return at::kFloat;
    case CaptionDtype::kBFloat16:
      return at::kBFloat16;
    case CaptionDtype::kFloat8:
      return at::kFloat8_e4m3fn;
  }
  PIXART_CHECK(false, "dtype {}", int(dtype));
}

int64_t element_bytes(CaptionDtype dtype) { return int64_t(c10::elementSize(scalar_type(dtype))); }

// [N, 1] checksums of captions of the given lengths, whose rows follow each other in `rows`.
at::Tensor checksums_of(const at::Tensor& rows, const at::Tensor& lengths) {
  const int64_t count = lengths.numel(),
                row_bytes = rows.numel() == 0 ? 0 : int64_t(rows.nbytes()) / rows.size(0);
  at::Tensor result = at::zeros({count, 1}, at::kInt);
  const auto* bytes = static_cast<const char*>(rows.const_data_ptr());
  PIXART_CHECK(lengths.sum().item<int64_t>() == rows.size(0));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t own = lengths.const_data_ptr<int64_t>()[i] * row_bytes;
    result.data_ptr<int32_t>()[i] = record_checksum(bytes, uint64_t(own));
    bytes += own;
  }
  return result;
}

// Checksums of a shard's tensor; shards of older versions have none.
at::Tensor checksums_of(const formats::Weights& shard, const char* checksums, const char* tensor,
                        const at::Tensor& lengths) {
  return shard.tensors.count(checksums) > 0 ? shard.read(checksums)
                                            : checksums_of(shard.read(tensor), lengths);
}

// Features [..., T, C] in the type in which they are stored. float8 has a scale for each token, else it is
// undefined; it is rounded first, so that division here and multiplication later use the same value.
CaptionRecord stored_tokens(const at::Tensor& features, CaptionDtype dtype) {
  if (dtype != CaptionDtype::kFloat8) return {features.to(scalar_type(dtype)), {}};
  const at::Tensor scale =
      (features.abs().amax(-1) / kLargestFloat8).clamp(kSmallestScale, kLargestScale).to(at::kHalf);
  const at::Tensor divided =
      (features / scale.to(at::kFloat).unsqueeze(-1)).clamp(-kLargestFloat8, kLargestFloat8);
  return {divided.to(scalar_type(dtype)), scale};
}

}  // namespace

at::Tensor as_stored(const at::Tensor& features, CaptionDtype dtype) {
  const auto [values, scale] = stored_tokens(features, dtype);
  if (!scale.defined()) return values;
  return (values.to(at::kFloat) * scale.to(at::kFloat).unsqueeze(-1)).to(at::kBFloat16);
}

int64_t bytes_per_token(CaptionDtype dtype, int64_t channels) {
  return channels * element_bytes(dtype) + (dtype == CaptionDtype::kFloat8 ? 2 : 0);
}

DistinctCaptions find_distinct_captions(const Dataset& dataset) {
  DistinctCaptions result;
  // Captions are identified by half of their SHA-256: millions of texts would not fit into memory.
  std::unordered_map<std::string, int32_t> known;
  const auto lacks = rows_without_captions(dataset);
  for (int64_t index = 0; index < dataset.size(); ++index) {
    result.begin.push_back(int64_t(result.ids.size()));
    if (lacks[size_t(index)]) continue;
    const Row row = dataset.row(index);
    const auto add = [&](const std::string& what, int64_t kind) {
      const auto [entry, is_new] =
          known.try_emplace(formats::sha256(what).substr(0, 32), int32_t(result.first.size()));
      if (is_new) result.first.push_back({.row = index, .kind = kind});
      result.ids.push_back(entry->second);
    };
    if (!row.caption_file.empty())
      add("file " + row.caption_file.string(), -1);
    else if (row.captions.empty())
      add("text ", 0);  // missing_caption: empty
    else
      for (size_t kind = 0; kind < row.captions.size(); ++kind)
        add("text " + row.captions[kind].text, int64_t(kind));
  }
  result.begin.push_back(int64_t(result.ids.size()));
  return result;
}

namespace {

CaptionRecord record_of(const at::Tensor& features, CaptionDtype dtype, const fs::path& file) {
  const at::Tensor all = features.to(at::kFloat);
  if (!at::isfinite(all).all().item<bool>())
    throw UserError(fmt::format("{}: the text encoder's features are not finite. Use another type "
                                "(text_encoder.dtype), or check its weights.",
                                file.string()),
                    ExitCode::kNumerics);
  return stored_tokens(all, dtype);
}

// Joined as bytes: not every function of LibTorch knows fp8.
at::Tensor joined(const std::vector<at::Tensor>& parts, CaptionDtype dtype) {
  std::vector<at::Tensor> bytes;
  for (const auto& part : parts) bytes.push_back(part.contiguous().view(at::kByte));
  return at::cat(bytes).view(scalar_type(dtype));
}

}  // namespace

void write_caption_shard(const fs::path& file, const std::vector<at::Tensor>& features, int64_t num_cut,
                         CaptionDtype dtype, const std::map<size_t, CaptionRecord>& records) {
  std::vector<int64_t> lengths;
  std::vector<at::Tensor> tokens, scales;
  for (size_t i = 0; i < features.size(); ++i) {
    const auto stored = records.find(i);
    const CaptionRecord record =
        stored == records.end() ? record_of(features[i], dtype, file) : stored->second;
    lengths.push_back(record.features.size(0));
    tokens.push_back(record.features);
    if (dtype == CaptionDtype::kFloat8) scales.push_back(record.scale);
  }
  const at::Tensor length = at::tensor(lengths, at::kLong), all = joined(tokens, dtype);
  std::vector<formats::NamedTensor> tensors = {{"length", length}};
  if (!scales.empty()) {
    const at::Tensor scale = at::cat(scales);
    tensors.push_back({"scale", scale});
    tensors.push_back({kScaleChecksums, checksums_of(scale, length)});
  }
  tensors.push_back({kChecksums, checksums_of(all, length)});
  tensors.push_back({"features", all});
  formats::save_safetensors(file, tensors, {{"num_cut", std::to_string(num_cut)}});
}

void write_caption_index(const fs::path& folder, const std::vector<fs::path>& shards,
                         const DistinctCaptions& captions) {
  std::vector<at::Tensor> shard, begin, length, checksum, scale_checksum;
  int64_t num_cut = 0, channels = 0;
  for (size_t s = 0; s < shards.size(); ++s) {
    give_sign_of_life();
    const auto weights = formats::open_safetensors(shards[s]);
    length.push_back(weights.read("length"));
    const at::Tensor last = length.back().cumsum(0);
    begin.push_back(last - length.back());
    shard.push_back(at::full({last.numel()}, int64_t(s), at::kInt));
    checksum.push_back(checksums_of(weights, kChecksums, "features", length.back()));
    if (weights.tensors.count("scale") > 0)
      scale_checksum.push_back(checksums_of(weights, kScaleChecksums, "scale", length.back()));
    num_cut += std::stoll(weights.metadata.at("num_cut"));
    channels = weights.tensors.at("features").shape.at(1);
  }
  const at::Tensor lengths = at::cat(length);
  PIXART_CHECK(lengths.numel() == int64_t(captions.first.size()), "{} captions encoded, {} listed",
               lengths.numel(), captions.first.size());
  std::vector<formats::NamedTensor> tensors = {{"shard", at::cat(shard)},
                                               {"begin", at::cat(begin)},
                                               {"length", lengths.to(at::kInt)},
                                               {"row_begin", at::tensor(captions.begin, at::kLong)},
                                               {"ids", at::tensor(captions.ids, at::kInt)},
                                               {kChecksums, at::cat(checksum)}};
  if (!scale_checksum.empty()) tensors.push_back({kScaleChecksums, at::cat(scale_checksum)});
  formats::save_safetensors(folder / kIndexFile, tensors,
                            {{"num_cut", std::to_string(num_cut)}, {"channels", std::to_string(channels)}});
}

struct CaptionSet::State {
  FeatureManifest manifest;
  std::unique_ptr<FeatureIndex> index;
  const int32_t *shard = nullptr, *length = nullptr, *ids = nullptr;
  const int64_t *begin = nullptr, *row_begin = nullptr;
  at::Tensor checksums, scale_checksums;  // undefined in sets of older versions
  int64_t channels = 0, num_cut = 0, num_distinct = 0;
  CaptionDtype dtype = CaptionDtype::kBFloat16;
  std::unique_ptr<ShardReader> reader;

  void check(int64_t num_ids) const;
  // Reads one caption of a tensor with rows of `row_bytes`.
  void read(int32_t id, const char* tensor, int64_t row_bytes, void* out) const;
};

// Checks that every index is in range.
void CaptionSet::State::check(int64_t num_ids) const {
  const auto num_shards = int64_t(manifest.shards.size());
  for (int64_t id = 0; id < num_distinct; ++id)
    index->require(shard[id] >= 0 && shard[id] < num_shards && begin[id] >= 0 && length[id] >= 0,
                   fmt::format("is damaged at caption {}", id));
  for (int64_t row = 0; row < manifest.rows; ++row)
    index->require(row_begin[row] <= row_begin[row + 1], fmt::format("is damaged at row {}", row));
  index->require(row_begin[0] == 0 && row_begin[manifest.rows] == num_ids,
                 "does not hold every row's captions");
  for (int64_t i = 0; i < num_ids; ++i)
    index->require(ids[i] >= 0 && ids[i] < num_distinct, fmt::format("names caption {}", ids[i]));
}

void CaptionSet::State::read(int32_t id, const char* tensor, int64_t row_bytes, void* out) const {
  const at::Tensor& own = tensor == std::string_view("scale") ? scale_checksums : checksums;
  std::optional<uint32_t> checksum;
  if (own.defined()) checksum = uint32_t(own.const_data_ptr<int32_t>()[id]);
  reader->read(size_t(shard[id]), tensor, uint64_t(begin[id] * row_bytes), uint64_t(length[id] * row_bytes),
               out, checksum);
}

CaptionSet::CaptionSet(fs::path folder) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.manifest = read_feature_manifest(folder);
  if (s.manifest.kind != "captions")
    throw UserError(fmt::format("{} holds {}, expected captions.", folder.string(), s.manifest.kind));
  s.index = std::make_unique<FeatureIndex>(folder, s.manifest);
  const auto& lengths = s.index->tensor("length", at::kInt);
  const auto& ids = s.index->tensor("ids", at::kInt);
  s.num_distinct = lengths.numel();
  s.length = lengths.const_data_ptr<int32_t>();
  s.ids = ids.const_data_ptr<int32_t>();
  s.shard = s.index->tensor("shard", at::kInt, s.num_distinct).const_data_ptr<int32_t>();
  s.begin = s.index->tensor("begin", at::kLong, s.num_distinct).const_data_ptr<int64_t>();
  s.row_begin = s.index->tensor("row_begin", at::kLong, s.manifest.rows + 1).const_data_ptr<int64_t>();
  s.num_cut = s.index->number("num_cut");
  s.channels = s.index->number("channels");
  s.check(ids.numel());
  for (const auto& input : s.manifest.inputs)
    if (input.name == "dtype") s.dtype = enum_of_word<CaptionDtype>(input.value, "type of caption features");
  std::map<std::string, std::string> tensors = {{"features", formats::dtype_text(scalar_type(s.dtype))}};
  s.checksums = s.index->checksums(kChecksums, s.num_distinct, 1);
  if (s.dtype == CaptionDtype::kFloat8) {
    tensors["scale"] = "F16";
    s.scale_checksums = s.index->checksums(kScaleChecksums, s.num_distinct, 1);
  }
  s.reader = std::make_unique<ShardReader>(shard_files(folder, s.manifest), std::move(tensors));
}
CaptionSet::~CaptionSet() = default;
CaptionSet::CaptionSet(CaptionSet&&) noexcept = default;

const FeatureManifest& CaptionSet::manifest() const { return state_->manifest; }
int64_t CaptionSet::channels() const { return state_->channels; }
int64_t CaptionSet::num_distinct() const { return state_->num_distinct; }
int64_t CaptionSet::num_cut() const { return state_->num_cut; }
at::ScalarType CaptionSet::read_dtype() const {
  return state_->dtype == CaptionDtype::kFloat32 ? at::kFloat : at::kBFloat16;
}

std::pair<const int32_t*, int64_t> CaptionSet::ids(int64_t row) const {
  PIXART_CHECK(row >= 0 && row < state_->manifest.rows, "row {} of {}", row, state_->manifest.rows);
  const int64_t first = state_->row_begin[row];
  return {state_->ids + first, state_->row_begin[row + 1] - first};
}

int64_t CaptionSet::num_tokens(int32_t id) const {
  PIXART_CHECK(id >= 0 && id < state_->num_distinct, "caption {} of {}", id, state_->num_distinct);
  return state_->length[id];
}

CaptionRecord CaptionSet::record(int32_t id) const {
  const State& s = *state_;
  const int64_t tokens = num_tokens(id);
  CaptionRecord record{.features = at::empty({tokens, s.channels}, scalar_type(s.dtype))};
  s.read(id, "features", s.channels * element_bytes(s.dtype), record.features.data_ptr());
  if (s.dtype != CaptionDtype::kFloat8) return record;
  record.scale = at::empty({tokens}, at::kHalf);
  s.read(id, "scale", 2, record.scale.data_ptr());
  return record;
}

void CaptionSet::read(int32_t id, void* out) const {
  const State& s = *state_;
  const int64_t tokens = num_tokens(id), channels = s.channels;
  const int64_t row_bytes = channels * element_bytes(s.dtype);
  if (s.dtype != CaptionDtype::kFloat8) return s.read(id, "features", row_bytes, out);

  const auto bytes = std::make_unique_for_overwrite<uint8_t[]>(size_t(tokens * channels));
  std::vector<c10::Half> scales(static_cast<size_t>(tokens));
  s.read(id, "features", row_bytes, bytes.get());
  s.read(id, "scale", 2, scales.data());
  for (int64_t token = 0; token < tokens; ++token)
    scaled_float8_to_bfloat16(bytes.get() + token * channels, channels, float(scales[size_t(token)]),
                              static_cast<uint16_t*>(out) + token * channels);
}

}  // namespace pixart::data

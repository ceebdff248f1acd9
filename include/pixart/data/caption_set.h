// Text features of a source's captions, as a feature set. Equal captions are stored once, and each caption
// has its true length.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/data/dataset.h"
#include "pixart/data/feature_set.h"

namespace pixart::data {

// How features are stored. fp8: e4m3 with one float16 scale per token, so that each token's maximum is 448.
enum class CaptionDtype { kFloat32, kBFloat16, kFloat8 };
inline EnumWords<CaptionDtype> enum_words(CaptionDtype) {
  return {{"bfloat16", CaptionDtype::kBFloat16},
          {"float32", CaptionDtype::kFloat32},
          {"float8_e4m3fn", CaptionDtype::kFloat8}};
}
int64_t bytes_per_token(CaptionDtype dtype, int64_t channels);

// Features [..., T, C] float32 as a set of this type gives them back: rounded, and in the type of
// CaptionSet::read(). On the device where they are.
at::Tensor as_stored(const at::Tensor& features, CaptionDtype dtype);

// The distinct captions of a source, in the order of their first occurrence, and the captions of each row.
struct DistinctCaptions {
  struct Place {
    int64_t row = 0;
    int64_t kind = 0;  // index into Row::captions; -1: the row's own feature file
  };
  std::vector<Place> first;    // [D] the first occurrence of each caption
  std::vector<int64_t> begin;  // [rows + 1] into `ids`
  std::vector<int32_t>
      ids;  // captions of each row, in the order of Row::captions; none for rows_without_captions()
};
DistinctCaptions find_distinct_captions(const Dataset& dataset);

// The features of a caption as they are stored.
struct CaptionRecord {
  at::Tensor features;    // [T, C] in the type of the set
  at::Tensor scale = {};  // [T] float16, with fp8
};

// Writes a shard. `features`: [T_i, C] float32 of each caption, without padding; undefined for places in `records`.
void write_caption_shard(const std::filesystem::path& file, const std::vector<at::Tensor>& features,
                         int64_t num_cut, CaptionDtype dtype,
                         const std::map<size_t, CaptionRecord>& records = {});
void write_caption_index(const std::filesystem::path& folder,
                         const std::vector<std::filesystem::path>& shards, const DistinctCaptions& captions);

class CaptionSet {
 public:
  explicit CaptionSet(
      std::filesystem::path folder);  // throws UserError if files are missing or contradict each other
  ~CaptionSet();
  CaptionSet(CaptionSet&&) noexcept;

  const FeatureManifest& manifest() const;
  int64_t channels() const;
  int64_t num_distinct() const;
  int64_t num_cut() const;            // captions that were longer than the text encoder's limit
  at::ScalarType read_dtype() const;  // kFloat or kBFloat16
  std::pair<const int32_t*, int64_t> ids(int64_t row) const;  // the row's caption ids and their count
  int64_t num_tokens(int32_t id) const;

  // Reads [num_tokens, C] in read_dtype(). May be called from several threads. Throws DamagedRecord.
  void read(int32_t id, void* out) const;
  CaptionRecord record(int32_t id) const;  // the stored bytes; throws DamagedRecord

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::data

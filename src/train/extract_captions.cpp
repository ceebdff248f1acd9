#include <ATen/ATen.h>

#include <algorithm>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/progress.h"
#include "pixart/train/extract.h"
#include "stopped.h"

namespace pixart::train {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kEncodeBatch = 64;

class CaptionExtraction {
 public:
  CaptionExtraction(const RunConfig& run, const std::string& source, const data::Dataset& dataset,
                    const CaptionEncoder& encoder)
      : run_(run), source_(source), dataset_(dataset), encoder_(encoder) {}

  // Everything but the items, which are counted where a set is to be made.
  data::FeatureWork work() {
    data::FeatureWork result;
    result.folder = caption_set_folder(run_, source_);
    result.manifest = {.kind = "captions",
                       .source = source_,
                       .rows = dataset_.size(),
                       .rejected = 0,
                       .inputs = {{"captions", data::captions_fingerprint(dataset_)}},
                       .shards = {}};
    for (const auto& input : encoder_.inputs()) result.manifest.inputs.push_back(input);
    result.manifest.inputs.emplace_back("dtype", run_.features.caption_dtype);
    result.items_per_shard = std::max<int64_t>(
        1, (run_.features.shard_megabytes << 20) /
               (encoder_.max_tokens() * data::bytes_per_token(dtype(), encoder_.channels())));
    result.write_shard = [this](const fs::path& file, int64_t first, int64_t last) {
      write_shard(file, first, last);
    };
    result.write_index = [this, folder = result.folder](const std::vector<fs::path>& shards) {
      data::write_caption_index(folder, shards, captions_);
      return int64_t(dataset_.rejected().size());
    };
    result.stop = stop_requested;
    return result;
  }

  int64_t list() {
    captions_ = data::find_distinct_captions(dataset_);
    return int64_t(captions_.first.size());
  }
  void show_progress(int64_t missing) {
    progress_ = std::make_unique<Progress>("encode captions of " + source_, missing, "caption");
  }

 private:
  data::CaptionDtype dtype() const { return data::caption_dtype(run_.features.caption_dtype); }

  std::string text_of(int64_t id) const {
    const auto& place = captions_.first[size_t(id)];
    const auto row = dataset_.row(place.row);
    return row.captions.empty() ? std::string() : row.captions[size_t(place.kind)].text;
  }

  void write_shard(const fs::path& file, int64_t first, int64_t last) {
    std::vector<at::Tensor> features;
    int64_t num_cut = 0;
    for (int64_t begin = first; begin < last; begin += kEncodeBatch) {
      if (stop_requested()) throw stopped("extraction; finished shards are kept");
      const int64_t end = std::min(begin + kEncodeBatch, last);
      std::vector<std::string> texts;
      for (int64_t id = begin; id < end; ++id) texts.push_back(text_of(id));
      const auto encoded = encoder_.encode(texts);
      num_cut += encoded.num_cut;
      const at::Tensor all = encoded.features.cpu(), lengths = encoded.mask.sum(1).cpu();
      for (int64_t i = 0; i < end - begin; ++i)
        features.push_back(all[i].narrow(0, 0, lengths[i].item<int64_t>()).clone());
      done_ += end - begin;
      if (progress_) progress_->update(done_);
    }
    data::write_caption_shard(file, features, num_cut, dtype());
  }

  const RunConfig& run_;
  std::string source_;
  const data::Dataset& dataset_;
  const CaptionEncoder& encoder_;
  data::DistinctCaptions captions_;
  std::unique_ptr<Progress> progress_;
  int64_t done_ = 0;
};

}  // namespace

fs::path caption_set_folder(const RunConfig& run, const std::string& source) {
  return features_folder(run) / (source + "-captions");
}

data::CaptionSet caption_set(const RunConfig& run, const std::string& source, const data::Dataset& dataset,
                             const CaptionEncoder& encoder) {
  CaptionExtraction extraction(run, source, dataset, encoder);
  auto work = extraction.work();
  if (!data::has_feature_set(work.folder)) {
    work.items = extraction.list();
    extraction.show_progress(data::num_missing_items(work));
    if (!data::make_feature_set(work)) throw stopped("extraction; finished shards are kept");
  }
  data::CaptionSet set(work.folder);
  data::require_inputs(work.folder, set.manifest(), work.manifest.inputs);
  if (set.num_cut() > 0)
    log::warning(
        "source {}: {} of {} captions are longer than text_encoder.max_tokens = {} and lose their end",
        source, set.num_cut(), set.num_distinct(), encoder.max_tokens());
  return set;
}

}  // namespace pixart::train

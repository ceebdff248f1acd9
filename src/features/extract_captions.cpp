#include <ATen/ATen.h>

#include <algorithm>
#include <optional>

#include "encoded_batch.h"
#include "extract_common.h"
#include "pixart/base/claim.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/progress.h"
#include "pixart/data/stored_features.h"
#include "pixart/features/extract.h"
#include "pixart/run/stopped.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kEncodeBatch = 64;

class CaptionExtraction {
 public:
  CaptionExtraction(const run::RunConfig& run, const std::string& source, const data::Dataset& dataset,
                    const CaptionEncoder& encoder)
      : run_(run), source_(source), dataset_(dataset), encoder_(encoder) {}

  // Everything except the items, which are counted only when a set must be made.
  data::FeatureWork work() {
    data::FeatureWork result;
    result.folder = caption_set_folder(run_, source_);
    result.manifest = {.kind = "captions",
                       .source = source_,
                       .rows = dataset_.size(),
                       .rejected = 0,
                       .inputs = {captions_input()},
                       .shards = {}};
    for (const auto& input : encoder_.inputs()) result.manifest.inputs.push_back(input);
    result.manifest.inputs.push_back({"dtype", word_of(run_.features.caption_dtype)});
    result.items_per_shard = std::max<int64_t>(
        1, int64_t(run_.features.shard_megabytes * double(1 << 20)) /
               (encoder_.max_tokens() * data::bytes_per_token(dtype(), encoder_.channels())));
    result.compute_shard = [this](int64_t first, int64_t last) { return compute_shard(first, last); };
    result.write_index = [this, folder = result.folder](const std::vector<fs::path>& shards) {
      data::write_caption_index(folder, shards, captions_);
      const auto without = data::rows_without_captions(dataset_);
      return int64_t(std::count(without.begin(), without.end(), true));
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
  // Earlier versions took only the first line of a .txt file.
  data::FeatureInput captions_input() const {
    data::FeatureInput input{.name = "captions",
                             .value = data::captions_fingerprint(dataset_),
                             .former = data::former_captions_fingerprint(dataset_)};
    if (run_.source(source_).type == "image_folder" && has_several_lines())
      input.hint = fmt::format(
          "Captions with several lines are taken whole; sources.{}.caption_lines: first takes their first "
          "line, as earlier versions did",
          source_);
    return input;
  }
  bool has_several_lines() const {
    for (int64_t row = 0; row < dataset_.size(); ++row)
      if (dataset_.caption(row).find('\n') != std::string::npos) return true;
    return false;
  }
  data::CaptionDtype dtype() const { return run_.features.caption_dtype; }

  std::string text_of(int64_t id) const {
    const auto& place = captions_.first[size_t(id)];
    const auto row = dataset_.row(place.row);
    return row.captions.empty() ? std::string() : row.captions[size_t(std::max<int64_t>(place.kind, 0))].text;
  }

  // Features that the source itself holds for a caption, undefined if there are none. A bad file is an error
  // only if the caption has no text.
  at::Tensor stored(int64_t id) const {
    const auto& place = captions_.first[size_t(id)];
    if (place.kind >= 0) return {};
    const auto row = dataset_.row(place.row);
    std::string fault;
    try {
      const at::Tensor tokens = data::read_stored_caption(row.caption_file, encoder_.max_tokens()).tokens;
      if (tokens.size(1) == encoder_.channels()) return tokens;
      fault =
          fmt::format("it has {} channels, but the text encoder has {}", tokens.size(1), encoder_.channels());
    } catch (const data::BadSample& bad) {
      fault = bad.what();
    }
    if (row.captions.empty())
      throw UserError(fmt::format("source {}: {}: {}. Remove the file, or give the sample a caption.",
                                  source_, row.caption_file.string(), fault));
    log::warning("source {}: {} is not used; its caption is encoded instead: {}", source_,
                 row.caption_file.string(), fault);
    return {};
  }

  // Captions that the text encoder has begun to encode, and their places in the shard.
  struct Batch {
    std::vector<size_t> places = {};
    std::optional<EncodedBatch> encoded = {};
  };

  // Begins captions [begin, end) of the shard that starts at `first`; takes what the source itself holds.
  Batch start(int64_t first, int64_t begin, int64_t end, std::vector<at::Tensor>& features) const {
    Batch batch;
    std::vector<std::string> texts;
    for (int64_t id = begin; id < end; ++id) {
      const auto place = size_t(id - first);
      features[place] = stored(id);
      if (features[place].defined()) continue;
      batch.places.push_back(place);
      texts.push_back(text_of(id));
    }
    if (!texts.empty()) batch.encoded.emplace(encoder_, texts, dtype());
    return batch;
  }

  // Waits for the batch. Returns the number of captions that were cut.
  static int64_t finish(Batch& batch, std::vector<at::Tensor>& features) {
    if (!batch.encoded) return 0;
    auto encoded = batch.encoded->take();
    for (size_t i = 0; i < encoded.size(); ++i) features[batch.places[i]] = std::move(encoded[i]);
    return batch.encoded->num_cut();
  }

  // A batch is taken while the device computes the next one.
  data::ShardWriter compute_shard(int64_t first, int64_t last) {
    std::vector<at::Tensor> features(static_cast<size_t>(last - first));
    int64_t num_cut = 0;
    Batch before;
    for (int64_t begin = first; begin < last; begin += kEncodeBatch) {
      if (stop_requested()) throw run::stopped("extraction; finished shards are kept");
      const int64_t end = std::min(begin + kEncodeBatch, last);
      Batch batch = start(first, begin, end, features);
      num_cut += finish(before, features);
      before = std::move(batch);
      give_sign_of_life();
      done_ += end - begin;
      if (progress_) progress_->update(done_);
    }
    num_cut += finish(before, features);
    return [features = std::move(features), num_cut, type = dtype()](const fs::path& file) {
      data::write_caption_shard(file, features, num_cut, type);
    };
  }

  const run::RunConfig& run_;
  std::string source_;
  const data::Dataset& dataset_;
  const CaptionEncoder& encoder_;
  data::DistinctCaptions captions_;
  std::unique_ptr<Progress> progress_;
  int64_t done_ = 0;
};

}  // namespace

fs::path caption_set_folder(const run::RunConfig& run, const std::string& source) {
  return features_folder(run) / (source + "-captions");
}

data::CaptionSet caption_set(const run::RunConfig& run, const std::string& source,
                             const data::Dataset& dataset, const CaptionEncoder& encoder, bool is_mended) {
  CaptionExtraction extraction(run, source, dataset, encoder);
  auto work = extraction.work();
  if (is_mended) mend(work);
  if (!data::has_feature_set(work.folder)) {
    work.items = extraction.list();
    extraction.show_progress(data::num_missing_items(work));
  }
  make(work);
  data::CaptionSet set(work.folder);
  if (set.num_cut() > 0)
    log::warning("source {}: {} of {} captions are longer than text_encoder.max_tokens = {} and are cut",
                 source, set.num_cut(), set.num_distinct(), encoder.max_tokens());
  return set;
}

}  // namespace pixart::features

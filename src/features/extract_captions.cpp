#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <optional>

#include "encoded_batch.h"
#include "extract_common.h"
#include "make_set.h"
#include "pixart/base/claim.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/data/feature_update.h"
#include "pixart/data/stored_features.h"
#include "pixart/features/extract.h"
#include "pixart/run/stopped.h"
#include "set_progress.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kCaptionBatch = 64;

class CaptionExtraction {
 public:
  CaptionExtraction(const run::RunConfig& run, const std::string& source, const data::Dataset& dataset,
                    const CaptionEncoder& encoder)
      : run_(run), source_(source), dataset_(dataset), encoder_(encoder) {}

  // Everything except the items, which are counted only when a set must be made.
  data::FeatureWork work(const fs::path& folder) {
    data::FeatureWork result;
    result.folder = folder;
    result.manifest = {.kind = "captions",
                       .source = source_,
                       .rows = dataset_.size(),
                       .rejected = 0,
                       .inputs = inputs(),
                       .shards = {}};
    result.items_per_shard = std::max<int64_t>(
        1, int64_t(run_.features.shard_megabytes * double(1 << 20)) /
               (encoder_.max_tokens() * data::bytes_per_token(dtype(), encoder_.channels())));
    result.compute_shard = [this](int64_t first, int64_t last) { return compute_shard(first, last); };
    result.write_index = [this, folder](const std::vector<fs::path>& shards) {
      data::write_caption_keys(folder, dataset_, captions_);
      data::write_caption_index(folder, shards, captions_);
      const auto without = data::rows_without_captions(dataset_);
      return int64_t(std::count(without.begin(), without.end(), true));
    };
    result.writes_keys = true;
    result.stop = stop_requested;
    return result;
  }

  int64_t list() {
    if (captions_.begin.empty()) captions_ = data::find_distinct_captions(dataset_);
    return int64_t(captions_.first.size());
  }
  void show_progress(const data::FeatureWork& work) {
    progress_.emplace("encode captions of " + source_, "caption", work);
  }
  void end_progress() {
    if (progress_) progress_->finish();
    progress_.reset();
    if (former_)
      log::info("source {}: this process took over the features of {} captions from the former set", source_,
                num_taken_);
    former_.reset();
  }
  void take_from(const fs::path& folder) { former_.emplace(folder); }

 private:
  // Computed once: every caption is read.
  const data::FeatureInputs& inputs() {
    if (!inputs_.empty()) return inputs_;
    inputs_.push_back(captions_input());
    for (const auto& input : encoder_.inputs()) inputs_.push_back(input);
    inputs_.push_back({"dtype", word_of(run_.features.caption_dtype)});
    return inputs_;
  }

  // Earlier versions took only the first line of a .txt file.
  data::FeatureInput captions_input() const {
    const auto fingerprints = dataset_.caption_fingerprints();
    data::FeatureInput input{.name = "captions",
                             .value = fingerprints.now,
                             .former = fingerprints.former,
                             .hint = kHowToUpdate,
                             .of_samples = true};
    if (run_.source(source_).type == "image_folder" && fingerprints.has_lines)
      input.hint = fmt::format(
          "Captions with several lines are taken whole; sources.{}.caption_lines: first takes their first "
          "line, as earlier versions did. {}",
          source_, kHowToUpdate);
    return input;
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
    const auto row = dataset_.outline(place.row);
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

  // A shard that is made.
  struct Shard {
    int64_t first = 0, last = 0;                         // its captions
    std::vector<at::Tensor> features = {};               // of each caption, or
    std::map<size_t, data::CaptionRecord> records = {};  // from the former set
    int64_t num_cut = 0;
  };
  // Captions that the text encoder has begun to encode, and their places in the shard.
  struct Batch {
    std::vector<size_t> places = {};
    std::optional<EncodedBatch> encoded = {};
  };

  // Takes the caption's features of the former set. The set does not say which captions of full length were cut.
  bool take_former(int64_t id, const std::string& text, Shard& shard) {
    if (!former_) return false;
    const auto found = former_->keys.find(data::feature_key(text));
    if (!found) return false;
    try {
      auto record = former_->set.record(int32_t(*found));
      if (record.features.size(0) == encoder_.max_tokens()) shard.num_cut += encoder_.num_cut({text});
      shard.records[size_t(id - shard.first)] = std::move(record);
    } catch (const data::DamagedRecord& damaged) {
      log::warning("{} It is encoded again.", damaged.what());
      return false;
    }
    ++num_taken_;
    return true;
  }

  // Begins captions from `begin` on; takes what the source itself or the former set holds. Returns the end of
  // the batch.
  int64_t start(int64_t begin, Shard& shard, Batch& batch) {
    std::vector<std::string> texts;
    int64_t id = begin;
    for (; id < shard.last && int64_t(texts.size()) < kCaptionBatch; ++id) {
      if (!former_ && id == begin + kCaptionBatch) break;
      const auto place = size_t(id - shard.first);
      shard.features[place] = stored(id);
      if (shard.features[place].defined()) continue;
      std::string text = text_of(id);
      if (former_) give_sign_of_life();
      if (take_former(id, text, shard)) continue;
      batch.places.push_back(place);
      texts.push_back(std::move(text));
    }
    if (!texts.empty()) batch.encoded.emplace(encoder_, texts, dtype());
    return id;
  }

  // Waits for the batch.
  static void finish(Batch& batch, Shard& shard) {
    if (!batch.encoded) return;
    auto encoded = batch.encoded->take();
    for (size_t i = 0; i < encoded.size(); ++i) shard.features[batch.places[i]] = std::move(encoded[i]);
    shard.num_cut += batch.encoded->num_cut();
  }

  // A batch is taken while the device computes the next one.
  data::ShardWriter compute_shard(int64_t first, int64_t last) {
    Shard shard{.first = first, .last = last, .features = std::vector<at::Tensor>(size_t(last - first))};
    Batch before;
    for (int64_t begin = first; begin < last;) {
      if (stop_requested()) throw run::stopped("extraction; finished shards are kept");
      Batch batch;
      const int64_t end = start(begin, shard, batch);
      finish(before, shard);
      before = std::move(batch);
      give_sign_of_life();
      if (progress_) progress_->add(end - begin);
      begin = end;
    }
    finish(before, shard);
    return [shard = std::move(shard), type = dtype()](const fs::path& file) {
      data::write_caption_shard(file, shard.features, shard.num_cut, type, shard.records);
    };
  }

  const run::RunConfig& run_;
  std::string source_;
  const data::Dataset& dataset_;
  const CaptionEncoder& encoder_;
  data::FeatureInputs inputs_;
  data::DistinctCaptions captions_;
  // What is taken over when the source has changed.
  struct Former {
    explicit Former(const fs::path& folder) : set(folder), keys(folder) {}
    data::CaptionSet set;
    data::FeatureKeys keys;
  };
  std::optional<Former> former_;
  int64_t num_taken_ = 0;
  std::optional<SetProgress> progress_;
};

}  // namespace

fs::path caption_set_folder(const run::RunConfig& run, const std::string& source) {
  return features_folder(run) / (source + "-captions");
}

data::CaptionSet caption_set(const run::RunConfig& run, const std::string& source,
                             const data::Dataset& dataset, const CaptionEncoder& encoder,
                             const SetOptions& options) {
  CaptionExtraction extraction(run, source, dataset, encoder);
  const fs::path folder = caption_set_folder(run, source);
  const auto begin = [&](data::FeatureWork& work) {
    work.items = extraction.list();
    extraction.show_progress(work);
  };
  make_set(run, folder,
           {.work = [&](const fs::path& place) { return extraction.work(place); },
            .begin = begin,
            .end = [&] { extraction.end_progress(); },
            .take_from = [&](const fs::path& former) { extraction.take_from(former); }},
           options);
  data::CaptionSet set(folder);
  if (set.num_cut() > 0)
    log::warning("source {}: {} of {} captions are longer than text_encoder.max_tokens = {} and are cut",
                 source, set.num_cut(), set.num_distinct(), encoder.max_tokens());
  return set;
}

}  // namespace pixart::features

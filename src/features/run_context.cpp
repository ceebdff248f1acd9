#include "pixart/features/run_context.h"

#include <unordered_set>

#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/features/extract.h"
#include "shared_work.h"

namespace pixart::features {

data::Dataset& RunContext::source(const std::string& name) {
  auto& dataset = sources[name];
  auto place = index_place(config);
  place.lists_anew = lists_anew;
  if (!dataset) blame_silent_rank([&] { dataset = data::open_dataset(config.source(name), place); });
  return *dataset;
}

std::shared_ptr<const CaptionEncoder> RunContext::caption_encoder() {
  if (!opened_encoder)
    opened_encoder = std::make_shared<const CaptionEncoder>(
        open_caption_encoder(config, device, [this] { return all_captions(); }));
  return opened_encoder;
}

namespace {

uint8_t first_bucket(const run::StageConfig& stage, const run::MixConfig& part) {
  if (!part.resolution) return 0;
  const auto shapes = stage.shapes();
  uint8_t bucket = 0;
  while (shapes.side(bucket) != *part.resolution) ++bucket;
  return bucket;
}

}  // namespace

StageParts RunContext::parts(const run::StageConfig& stage) {
  StageParts result;
  int64_t first_row = 0;
  for (const auto& part : stage.parts()) {
    const auto& dataset = source(part.source);
    result.push_back({.source = &config.source(part.source),
                      .dataset = &dataset,
                      .passes = part.passes,
                      .first_row = first_row,
                      .resolution = part.resolution,
                      .first_bucket = first_bucket(stage, part)});
    first_row += dataset.size();
    const bool same = dataset.class_names() == result.front().dataset->class_names();
    if (stage.info().reads_labels && !same)
      throw UserError(
          fmt::format("stage {}: the sources {} and {} have different classes; one model cannot learn both.",
                      stage.name, result.front().source->name, part.source));
  }
  return result;
}

uint64_t RunContext::stage_seed(const run::StageConfig& stage) const {
  uint64_t hash = 14695981039346656037ull;  // FNV-1a of the name: stages get different random numbers
  for (const char letter : stage.name) hash = (hash ^ uint8_t(letter)) * 1099511628211ull;
  return hash ^ philox({uint64_t(config.seed), 0, Purpose::kInit}, 0)[0];
}

std::vector<std::string> RunContext::all_captions() {
  std::unordered_set<std::string> seen;
  std::vector<std::string> captions;
  for (const auto& stage : config.stages) {
    if (!stage.info().reads_captions) continue;
    for (const auto& part : stage.parts()) {
      const auto& dataset = source(part.source);
      for (int64_t row = 0; row < dataset.size(); ++row)
        for (const auto& caption : dataset.row(row).captions)
          if (seen.insert(caption.text).second) captions.push_back(caption.text);
    }
  }
  return captions;
}

}  // namespace pixart::features

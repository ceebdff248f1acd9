#include "stage_prompts.h"

#include <algorithm>
#include <unordered_set>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/distributed/agreement.h"
#include "pixart/features/prompt_features.h"
#include "pixart/run/stopped.h"
#include "pixart/sample/generate.h"

namespace pixart::train {
namespace {

constexpr size_t kMostPrompts = 16;

// Captions and the rows that they are of.
struct CaptionsToDraw {
  std::vector<std::string> texts = {};
  std::vector<int64_t> rows = {};
};

// The captions to draw if the config has none: distinct ones, evenly spread over the source.
CaptionsToDraw some_captions(const data::Dataset& dataset) {
  std::unordered_set<std::string> seen;
  CaptionsToDraw result;
  const int64_t stride = std::max<int64_t>(1, dataset.size() / int64_t(4 * kMostPrompts));
  for (int64_t row = 0; row < dataset.size() && result.texts.size() < kMostPrompts; row += stride)
    if (const auto caption = dataset.caption(row); !caption.empty() && seen.insert(caption).second)
      result.texts.push_back(caption), result.rows.push_back(row);
  return result;
}

void require_classes(const data::Dataset& dataset, const run::StageConfig& stage, const std::string& source) {
  if (!dataset.class_names().empty()) return;
  throw UserError(
      fmt::format("stage {}: source {} has no classes; objective {} needs type class_folder, idx, scenes, or "
                  "a table or shards with labels.",
                  stage.name, source, stage.objective));
}

std::vector<int64_t> classes_to_draw(const data::Dataset& dataset, const run::StageConfig& stage,
                                     const std::string& source) {
  const auto names = dataset.class_names();
  std::vector<int64_t> classes;
  for (const auto& prompt : stage.samples.prompts) {
    const auto found = std::find(names.begin(), names.end(), prompt);
    if (found == names.end()) {
      throw UserError(
          fmt::format("stage {}: samples.prompts: '{}' is not a class of source {}; classes: {}.{}",
                      stage.name, prompt, source, join(names, ", "), did_you_mean(prompt, names)));
    }
    classes.push_back(found - names.begin());
  }
  if (classes.empty())
    for (size_t i = 0; i < std::min(names.size(), kMostPrompts); ++i) classes.push_back(int64_t(i));
  return classes;
}

void add_labels(const data::Dataset& dataset, const run::StageConfig& stage, const std::string& source,
                Prompts& prompts) {
  require_classes(dataset, stage, source);
  const auto names = dataset.class_names();
  const auto classes = classes_to_draw(dataset, stage, source);
  prompts.sizes.labels.num_classes = int64_t(names.size());
  for (int64_t label : classes) prompts.texts.push_back(names[size_t(label)]);
  prompts.to_draw.label = sample::condition_of(classes).label;
}

CaptionsToDraw captions_to_draw(features::RunContext& run, const run::StageConfig& stage) {
  if (!stage.samples.prompts.empty()) return {.texts = stage.samples.prompts};
  const std::string source = stage.parts().front().source;
  auto captions = some_captions(run.source(source));
  if (captions.texts.empty())
    throw UserError(
        fmt::format("stage {}: none of the rows of source {} that were looked at has a caption to "
                    "draw. Set samples.prompts.",
                    stage.name, source));
  return captions;
}

void add_captions(features::RunContext& run, const run::StageConfig& stage, Prompts& prompts) {
  auto features = prompt_features(run);
  prompts.sizes.text.caption_channels = features.channels();
  auto captions = captions_to_draw(run, stage);
  prompts.texts = std::move(captions.texts), prompts.rows = std::move(captions.rows);
  prompts.to_draw = sample::condition_of(features.encode(prompts.texts));
}

}  // namespace

features::PromptFeatures prompt_features(features::RunContext& run) {
  return {run.caption_encoder(), {.folder = run.folder.prompts()}};
}

Prompts prompts_of(features::RunContext& run, const run::StageConfig& stage) {
  const std::string source = stage.parts().front().source;
  const auto& dataset = run.source(source);
  Prompts prompts;
  if (stage.info().reads_labels) add_labels(dataset, stage, source, prompts);
  if (stage.info().reads_captions) add_captions(run, stage, prompts);
  return prompts;
}

void check_prompts(features::RunContext& run, const run::StageConfig& stage) {
  Prompts prompts;
  const std::string source = stage.parts().front().source;
  if (stage.info().reads_labels) add_labels(run.source(source), stage, source, prompts);
  if (stage.info().reads_captions) captions_to_draw(run, stage);
  if (stage.validation.every > 0) require_held_out_classes(run, stage);
}

void require_held_out_classes(features::RunContext& run, const run::StageConfig& stage) {
  const auto& source = run.source(stage.parts().front().source);
  if (stage.info().reads_labels && run.source(stage.validation.source).class_names() != source.class_names())
    throw UserError(fmt::format("stage {}: validation.source {} has other classes than the stage's source",
                                stage.name, stage.validation.source));
}

void store_prompts(features::RunContext& run, const run::StageConfig& stage) {
  if (!stage.info().reads_captions) return;
  const std::string phase = "encoding the prompts of stage " + stage.name;
  std::vector<std::string> texts;
  distributed::all_together(run.ranks, phase, [&] {
    run.caption_encoder();  // all ranks wait for one that makes it
    texts = captions_to_draw(run, stage).texts;
    for (const auto& part : stage.parts())
      if (const auto& source = run.config.source(part.source); source.draw > 0)
        texts.push_back(source.prompt);
  });
  const auto encode = [&](const std::function<bool()>& asked_to_stop) {
    auto features = prompt_features(run);
    for (const auto& text : texts)
      if (!asked_to_stop()) features.encode({text});
  };
  const bool stop = distributed::together_until(run.ranks, phase, stop_requested, [&](const auto& asked) {
    if (run.ranks.rank() == 0) encode(asked);
  });
  if (stop) throw run::stopped("stage " + stage.name + " had not begun");
}

}  // namespace pixart::train

#include "metric_prompts.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/distributed/agreement.h"
#include "pixart/features/inputs.h"
#include "pixart/features/prompt_features.h"
#include "pixart/run/stopped.h"
#include "pixart/sample/image_set.h"
#include "pixart/sample/suite.h"
#include "pixart/score/drawn_scores.h"
#include "validation.h"

namespace pixart::train {

namespace {

// Like the other problems here it names no stage: check_metrics() does.
void require_enough(const run::StageConfig& stage, const std::string& what, int64_t count) {
  const int64_t least = stage.metrics.least_images();
  if (count < least)
    throw UserError(fmt::format("metrics: {} has {} prompt{}; at least {} images are needed for {}", what,
                                count, count == 1 ? "" : "s", least, join(stage.metrics.scores, ", ")));
}

// Problems name the key in place of the option of pixart sample.
sample::Suite read_suite(const std::string& named) {
  constexpr std::string_view kOption = "--suite: ";
  try {
    return sample::read_suite({.named = named, .count = 1});
  } catch (const UserError& error) {
    const std::string_view what = error.what();
    throw UserError(
        fmt::format("metrics.suite: {}", what.starts_with(kOption) ? what.substr(kOption.size()) : what),
        error.code());
  }
}

MetricPrompts of_suite(const run::StageConfig& stage, uint64_t seed) {
  const auto suite = read_suite(stage.metrics.suite);
  if (suite.kind == sample::SuiteKind::kClasses)
    throw UserError("metrics.suite: this stage draws from captions, not from classes");
  MetricPrompts prompts{.suite = word_of(suite.kind)};
  for (const int64_t file : evenly_spread_rows(suite.num_files(), {}, stage.metrics.images)) {
    const auto& item = suite.item(file);
    if (item.height > 0)
      throw UserError(fmt::format(
          "metrics.suite: {} has a size of its own, and metrics draw at the stage's resolution", item.place));
    prompts.texts.push_back(item.prompt);
    prompts.noise.push_back(suite.noise_key(file, 0, seed));
  }
  require_enough(stage, "the suite " + stage.metrics.suite, prompts.size());
  if (prompts.size() == suite.num_files()) prompts.sha256 = suite.sha256();
  return prompts;
}

MetricPrompts of_source(const data::Dataset& dataset, const run::StageConfig& stage, uint64_t seed) {
  const auto without = data::rows_without_captions(dataset);
  std::vector<int64_t> left_out;
  const auto& scores = dataset.selection();
  for (int64_t row = 0; row < dataset.size(); ++row)
    if (without[size_t(row)] || (scores && !scores->drawn.has(row)) || dataset.caption(row).empty())
      left_out.push_back(row);
  MetricPrompts prompts;
  for (const int64_t row : evenly_spread_rows(dataset.size(), left_out, stage.metrics.images)) {
    prompts.noise.push_back({seed, prompts.size()});
    prompts.texts.push_back(dataset.caption(row));
  }
  require_enough(stage, "source " + stage.metrics.source, prompts.size());
  return prompts;
}

MetricPrompts of_classes(const std::vector<std::string>& names, int64_t images, uint64_t seed) {
  MetricPrompts prompts;
  const auto classes = int64_t(names.size());
  for (int64_t i = 0; i < images; ++i) {
    // Fewer images than classes: of classes evenly spread over all.
    prompts.labels.push_back(images < classes ? i * classes / images : i % classes);
    prompts.texts.push_back(names[size_t(prompts.labels.back())]);
    prompts.noise.push_back({seed, i});
  }
  return prompts;
}

// Apart from the prompts of samples, whose cache is small and forgets the oldest.
features::PromptFeatures metric_prompt_features(features::RunContext& run) {
  return {run.caption_encoder(),
          {.folder = run.folder.metric_features() / "prompts",
           .most_bytes = std::numeric_limits<uint64_t>::max()}};
}

}  // namespace

MetricPrompts metric_prompts(features::RunContext& run, const run::StageConfig& stage) {
  const auto seed = uint64_t(run.config.seed);
  MetricPrompts prompts;
  if (stage.info().reads_labels) {
    const auto& names = run.source(stage.parts().front().source).class_names();
    if (names.empty()) throw UserError("its source has no classes");
    prompts = of_classes(names, stage.metrics.images, seed);
  } else if (!stage.metrics.suite.empty()) {
    prompts = of_suite(stage, seed);
  } else {
    prompts = of_source(run.source(stage.metrics.source), stage, seed);
  }
  if (prompts.sha256.empty()) prompts.sha256 = sample::hash_of_prompts(prompts.texts);
  return prompts;
}

void check_metrics(features::RunContext& run, const run::StageConfig& stage) {
  if (stage.metrics.every == 0) return;
  Problems problems;
  features::collect(problems, [&] { metric_prompts(run, stage); });
  score::check_drawn_scores(stage.metrics, problems);
  problems.throw_if_any(fmt::format("stage {}: its metrics cannot be computed", stage.name));
}

void store_metric_prompts(features::RunContext& run, const run::StageConfig& stage) {
  if (stage.metrics.every == 0 || !stage.info().reads_captions) return;
  const std::string phase = "encoding the prompts of the metrics of stage " + stage.name;
  MetricPrompts prompts;
  distributed::all_together(run.ranks, phase, [&] {
    run.caption_encoder();  // all ranks wait for one that makes it
    prompts = metric_prompts(run, stage);
  });
  const auto encode = [&](const std::function<bool()>& asked_to_stop) {
    auto features = metric_prompt_features(run);
    for (const auto& text : prompts.texts)
      if (!asked_to_stop()) features.encode({text});
  };
  const bool stop = distributed::together_until(run.ranks, phase, stop_requested, [&](const auto& asked) {
    if (run.ranks.rank() == 0) encode(asked);
  });
  if (stop) throw run::stopped("stage " + stage.name + " had not begun");
}

std::vector<PromptRow> stored_prompts(features::RunContext& run, const MetricPrompts& prompts,
                                      const std::vector<int64_t>& numbers) {
  std::vector<PromptRow> rows;
  auto features = metric_prompt_features(run);
  for (const int64_t number : numbers) {
    const auto text = features.encode({prompts.texts[size_t(number)]});
    const at::Tensor mask = text.mask[0].cpu();
    rows.push_back(
        {.features = text.features[0].narrow(0, 0, mask.sum().item<int64_t>()).cpu().clone(), .mask = mask});
  }
  return rows;
}

}  // namespace pixart::train

#include "stage_work.h"

#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/features/stage_transformer.h"
#include "pixart/plan/flops.h"

namespace pixart::train {

namespace {

// What a sample costs, at each of the stage's resolutions.
struct WorkOfSamples {
  std::vector<run::StepWork> skipping = {}, whole = {};  // while image tokens skip blocks, and without
  std::vector<double> samples = {};                      // of an epoch, about
  run::SkippedTokens skipped = {};

  const run::StepWork& at(size_t level, int64_t step) const {
    return skipped.at_step(step) ? skipping[level] : whole[level];
  }
  double mean_flops(size_t level, int64_t steps) const {
    const double share = skipped.share_of(steps);
    return share * skipping[level].flops + (1 - share) * whole[level].flops;
  }
};

WorkOfSamples work_of_samples(const std::vector<models::TransformerWork>& works,
                              const run::ParameterCounts& counts, const run::StageConfig& stage) {
  WorkOfSamples result{.skipped = stage.skipped_tokens(works.front().depth)};
  const auto& [rate, from, to, until, loss] = result.skipped;
  for (const auto& work : works) {
    const auto flops = [&](const models::TransformerWork& one) {
      return plan::stage_flops(stage, one, counts.trained_part()).training;
    };
    result.whole.push_back({.tokens = work.tokens, .flops = flops(work)});
    result.skipping.push_back({.tokens = work.tokens, .flops = flops(work.skipping(rate, from, to))});
  }
  result.samples.resize(works.size());
  return result;
}

void count_samples(const features::StageParts& parts, const data::SampleOrder& order,
                   const data::TrainingShapes& shapes, WorkOfSamples& work) {
  for (const auto& part : parts)
    for (int64_t row = 0; row < part.dataset->size(); ++row) {
      const uint8_t bucket = order.bucket(part.first_row + row);
      if (bucket < shapes.size() && features::uses_row(part, row))
        work.samples[shapes.level(bucket)] += part.passes;
    }
}

run::StageFacts facts_of(const run::StageConfig& stage, const run::ParameterCounts& counts,
                         const WorkOfSamples& work) {
  run::StageFacts facts{.parameters = counts.model,
                        .trained_parameters = counts.trained,
                        .tokens_per_sample = work.whole.front().tokens,
                        .flops_per_sample = work.mean_flops(0, stage.steps),
                        .batch_size = stage.batch_size};
  if (work.whole.size() == 1) return facts;
  double samples = 0, tokens = 0, flops = 0;
  std::vector<std::string> parts;
  for (size_t level = 0; level < work.whole.size(); ++level) {
    samples += work.samples[level];
    tokens += work.samples[level] * double(work.whole[level].tokens);
    flops += work.samples[level] * work.mean_flops(level, stage.steps);
    parts.push_back(fmt::format("{} of {} pixels", with_thousands(int64_t(work.samples[level])),
                                stage.resolutions[level].side));
  }
  log::info("stage {}: an epoch has {} samples", stage.name, join(parts, ", "));
  facts.tokens_per_sample = int64_t(tokens / samples), facts.flops_per_sample = flops / samples;
  return facts;
}

// The work of a step, of which most or all samples have one resolution.
run::StepWork work_of_step(const data::SampleOrder& order, const data::TrainingShapes& shapes,
                           const WorkOfSamples& work, int64_t step, int64_t batch) {
  run::StepWork sum;
  for (int64_t position = step * batch; position < (step + 1) * batch; ++position) {
    const size_t level = work.whole.size() == 1 ? 0 : shapes.level(order.bucket(order.row(position)));
    const run::StepWork& one = work.at(level, step);
    sum.tokens += one.tokens, sum.flops += one.flops;
  }
  return sum;
}

}  // namespace

std::vector<models::TransformerWork> works_of_samples(const features::RunContext& run,
                                                      const run::StageConfig& stage,
                                                      const SampleSizes& sizes) {
  std::vector<models::TransformerWork> result;
  for (const auto& alone : stage.at_each_resolution()) {
    auto& work = result.emplace_back(
        features::transformer_config(run.config, alone, sizes.vae, sizes.condition).work());
    if (stage.info().reads_captions) work.caption_tokens = sizes.caption_tokens;
  }
  return result;
}

void count_work(const run::StageConfig& stage, const run::ParameterCounts& counts,
                const features::StageParts& parts, const std::vector<models::TransformerWork>& works,
                StageModel& result) {
  WorkOfSamples work = work_of_samples(works, counts, stage);
  const auto shapes = std::make_shared<const data::TrainingShapes>(stage.shapes());
  if (!stage.resolutions.empty()) count_samples(parts, *result.order, *shapes, work);
  result.facts = facts_of(stage, counts, work);
  if (stage.resolutions.empty() && !work.skipped.until) return;
  result.work_of = [work, shapes, order = result.order, batch = stage.batch_size](int64_t step) {
    return work_of_step(*order, *shapes, work, step, batch);
  };
}

}  // namespace pixart::train

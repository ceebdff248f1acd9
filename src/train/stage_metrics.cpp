#include "stage_metrics.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/convert/stated_process.h"
#include "pixart/distributed/agreement.h"
#include "pixart/run/metrics.h"
#include "pixart/run/stopped.h"
#include "pixart/sample/generate.h"

namespace pixart::train {
using nlohmann::ordered_json;

namespace {

// Thrown through a network's loop to end it.
struct AskedToStop {};

std::map<int64_t, PromptRow> own_rows(features::RunContext& run, const run::StageConfig& stage,
                                      const MetricPrompts& prompts, const MetricGroups& groups) {
  std::map<int64_t, PromptRow> rows;
  if (!stage.info().reads_captions) return rows;
  std::vector<int64_t> numbers;
  for (const int64_t group : groups.of_rank(run.ranks.rank(), run.ranks.world_size()))
    for (int64_t i = 0; i < groups.size_of(group); ++i) numbers.push_back(groups.first(group) + i);
  auto stored = stored_prompts(run, prompts, numbers);
  for (size_t i = 0; i < numbers.size(); ++i) rows[numbers[i]] = std::move(stored[i]);
  return rows;
}

}  // namespace

StageMetrics::StageMetrics(features::RunContext& run, const run::StageConfig& stage,
                           std::shared_ptr<const models::Transformer> ema,
                           std::shared_ptr<const features::LatentCodec> codec)
    : stage_(stage),
      cache_(run.folder.metric_features() / "references"),
      device_(run.device),
      seed_(run.config.seed),
      ema_(std::move(ema)),
      codec_(std::move(codec)),
      prompts_(metric_prompts(run, stage)),
      groups_(metric_groups(prompts_.size(), stage.resolution)),
      rows_(own_rows(run, stage, prompts_, groups_)),
      scores_(stage.metrics, run.device) {}

void StageMetrics::prepare(distributed::Communicator& ranks) {
  const std::string phase = "the reference of the metrics of stage " + stage_.name;
  const bool stop =
      distributed::together_until(ranks, phase, stop_requested, [&](const std::function<bool()>& asked) {
        if (ranks.rank() != 0) return;
        const auto progress = [&] {
          if (asked()) throw AskedToStop();
        };
        try {
          scores_.open_reference(cache_, progress);
          scores_.set_prompts(prompts_.texts, progress);
        } catch (const AskedToStop&) {
        }
      });
  if (stop) throw run::stopped("stage " + stage_.name + " had not begun");
}

// Captions are padded again to the length that the encoder gives.
models::Condition StageMetrics::condition(int64_t first, int64_t count) const {
  if (!prompts_.labels.empty())
    return sample::condition_of(
        std::vector<int64_t>(prompts_.labels.begin() + first, prompts_.labels.begin() + first + count));
  const PromptRow& any = rows_.at(first);
  at::Tensor features = at::zeros({count, any.mask.size(0), any.features.size(1)});
  std::vector<at::Tensor> masks;
  for (int64_t i = 0; i < count; ++i) {
    const PromptRow& row = rows_.at(first + i);
    features[i].narrow(0, 0, row.features.size(0)).copy_(row.features);
    masks.push_back(row.mask);
  }
  return {.caption = features, .mask = at::stack(masks)};
}

score::DrawnRows StageMetrics::make_rows(int64_t first, int64_t count,
                                         const std::function<bool()>& asked_to_stop) const {
  sample::GenerateOptions options{stage_.metrics_sampler()};
  options.batch_size = count;
  options.noise_key = [this, first](int64_t i) { return prompts_.noise[size_t(first + i)]; };
  options.asked_to_stop = asked_to_stop;
  sample::ToDraw what;
  what.condition = condition(first, count);
  what.process = stage_.process();
  const auto images = sample::generate(*ema_, *codec_, what, device_, options);
  if (int64_t(images.size()) < count || asked_to_stop()) return {};
  return scores_.rows(images);
}

std::optional<score::DrawnRows> StageMetrics::draw(distributed::Communicator& ranks, const std::string& phase,
                                                   const std::function<bool()>& asked_to_stop) const {
  const MakeRows make = [this](int64_t first, int64_t count, const std::function<bool()>& asked) {
    return make_rows(first, count, asked);
  };
  return rows_together(groups_, scores_.width(), make, ranks, phase, asked_to_stop);
}

score::DrawnValues StageMetrics::values(const score::DrawnRows& rows,
                                        const std::function<void()>& progress) const {
  return scores_.values(rows.rows, progress);
}

std::string StageMetrics::card(const score::DrawnValues& values, const score::DrawnRows& rows,
                               int64_t step) const {
  const auto sampler = stage_.metrics_sampler();
  const int64_t tile = sample::tile_size_of({}, codec_->config(), stage_.resolution, stage_.resolution);
  // The names and values of sample.json that belong to the protocol of a score.
  ordered_json sampling = {{"prompts_sha256", prompts_.sha256},
                           {"prompts", std::to_string(prompts_.size())},
                           {"count", "1"},
                           {"negative_prompt", ""},
                           {"seed", std::to_string(seed_)},
                           {"sampler", sampler.sampler},
                           {"num_steps", std::to_string(sampler.num_steps)},
                           {"guidance", fmt::format("{}", sampler.guidance)},
                           {"height", std::to_string(stage_.resolution)},
                           {"width", std::to_string(stage_.resolution)},
                           {"weights", "average"},
                           {"precision", word_of(stage_.precision)},
                           {"tile_size", std::to_string(tile)}};
  if (!prompts_.suite.empty()) sampling["suite"] = prompts_.suite;
  const std::string process = convert::process_text(stage_.process());
  if (process != convert::process_text(diffusion::Process{})) sampling["process"] = process;
  return scores_.card(values,
                      {.name = fmt::format("stage {}, step {}", stage_.name, step),
                       .hashes = rows.hashes,
                       .sampling = sampling.dump(-1, ' ', false, ordered_json::error_handler_t::replace)});
}

std::map<std::string, double> metric_events(const score::DrawnValues& values, int64_t images) {
  std::map<std::string, double> line = {{run::kMetricImages, double(images)}};
  for (const char* name :
       {"fid", "kid", "precision", "recall", "cmmd", "clip_cosine", "aesthetic", "pickscore"})
    for (const auto& [known, value] : values.values)
      if (known == name) line["metric_" + known] = value;
  return line;
}

}  // namespace pixart::train

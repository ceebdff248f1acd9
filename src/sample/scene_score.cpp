#include "pixart/sample/scene_score.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/progress.h"
#include "pixart/data/transform.h"
#include "pixart/demo/scenes.h"
#include "pixart/formats/bounded_json.h"
#include "pixart/run/checkpoint_folder.h"
#include "pixart/run/run_folder.h"
#include "pixart/sample/pipeline.h"

namespace pixart::sample {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr int64_t kJudgedScenes = 500;  // to score the judge itself and the autoencoder
constexpr uint64_t kEvaluationSeed = 20231;

struct Caption {
  demo::Scene scene;
  std::string text;
};

// `count` captions of a split: all of them in turn, repeated as needed.
std::vector<Caption> captions_of_split(bool held_out, int64_t count) {
  std::vector<Caption> all, result;
  for (int shape = 0; shape < int(demo::scene_shapes().size()); ++shape)
    for (int color = 0; color < int(demo::scene_colors().size()); ++color)
      for (int background = 0; background < int(demo::scene_backgrounds().size()); ++background) {
        if (demo::is_held_out(shape, color) != held_out) continue;
        const demo::Scene scene{.shape = shape, .color = color, .background = background};
        all.push_back({scene, demo::scene_caption(scene)});
      }
  for (int64_t i = 0; i < count; ++i) result.push_back(all[size_t(i) % all.size()]);
  return result;
}

struct Tally {
  int64_t shape = 0, color = 0, background = 0, all = 0, total = 0;
  void add(const demo::Scene& want, const demo::Judgement& got) {
    const bool s = got.shape == want.shape, c = got.color == want.color,
               b = got.background == want.background;
    shape += s, color += c, background += b, all += s && c && b, ++total;
  }
  static double percent(int64_t count, int64_t total) {
    return total == 0 ? 0 : 100.0 * double(count) / double(total);
  }
};

Tally judge_images(const std::vector<Caption>& captions, const std::vector<Image>& images) {
  Tally tally;
  for (size_t i = 0; i < images.size(); ++i) tally.add(captions[i].scene, demo::judge_scene(images[i]));
  return tally;
}

Tally score_split(const Pipeline& pipeline, const demo::EvaluationConfig& config, bool held_out) {
  const auto captions = captions_of_split(held_out, held_out ? config.held_out : config.seen);
  std::vector<std::string> prompts;
  for (const auto& caption : captions) prompts.push_back(caption.text);
  const bool has_own = pipeline.process().consistency;  // for which the sampler of `config` is not meant
  GenerateOptions options{has_own ? pipeline.stage().sampler() : diffusion::SamplerConfig(config)};
  options.seed = kEvaluationSeed + (held_out ? 1 : 0);
  options.batch_size = 64;
  return judge_images(captions, pipeline.generate({.prompts = prompts}, options));
}

// Scores the judge on drawn scenes that no stage has seen, and on the same scenes after the autoencoder.
void score_judge_and_codec(const Pipeline& pipeline, Scores& scores) {
  Tally truth, decoded;
  at::NoGradGuard no_grad;
  for (int64_t first = 0; first < kJudgedScenes; first += 50) {
    std::vector<Caption> captions;
    std::vector<at::Tensor> pixels;
    for (int64_t i = first; i < first + 50; ++i) {
      const auto scene = demo::draw_scene_parameters(kEvaluationSeed, i, false);
      const Image image = demo::draw_scene(scene, int(pipeline.stage().resolution));
      truth.add(scene, demo::judge_scene(image));
      captions.push_back({scene, {}});
      pixels.push_back(data::to_tensor(image));
    }
    const auto mean = pipeline.codec().encode(at::stack(pixels).to(pipeline.device())).mean;
    const auto tally =
        judge_images(captions, decode_images(pipeline.codec(), pipeline.codec().normalize(mean)));
    decoded.all += tally.all, decoded.total += tally.total;
  }
  scores["judge_truth"] = Tally::percent(truth.all, truth.total);
  scores["vae_read"] = Tally::percent(decoded.all, decoded.total);
}

run::RunConfig config_of(const fs::path& run) {
  if (!fs::exists(run::RunFolder{run}.config()))
    throw UserError(run.string() + " is not a run folder (run.yaml is missing).");
  return run::read_run_config(run::RunFolder{run}.config());
}

// The text stages with their numbers among the diffusion stages.
std::vector<std::pair<int, const run::StageConfig*>> text_stages(const run::RunConfig& config) {
  std::vector<std::pair<int, const run::StageConfig*>> result;
  int number = 0;
  for (const auto& stage : config.stages) {
    if (stage.info().trains_autoencoder()) continue;
    ++number;
    if (!stage.info().reads_captions) continue;
    const std::string source = stage.parts().front().source;
    if (!config.source(source).draws_scenes()) {
      throw UserError(
          fmt::format("stage {}: source {} does not draw scenes (type scenes), and only those can be judged.",
                      stage.name, source));
    }
    result.emplace_back(number, &stage);
  }
  if (result.empty()) throw UserError("the run has no text stage to evaluate.");
  return result;
}

double trained_seconds(const run::RunConfig& config, const fs::path& run) {
  double seconds = 0;
  for (const auto& stage : config.stages) {
    const auto newest =
        run::newest_good_checkpoint(run::RunFolder{run}.checkpoints(stage.name), "state.json");
    if (newest)
      seconds += nlohmann::json::parse(read_file(newest->folder / "state.json")).at("seconds").get<double>();
  }
  return seconds;
}

// `file` is replaced at the end, if it is an earlier result: a JSON object with these keys.
void require_own_result(const fs::path& file, const std::vector<const char*>& keys) {
  constexpr uint64_t kLargest = uint64_t{16} << 20;
  std::error_code error;
  if (!fs::exists(file, error)) return;
  const bool is_read = fs::is_regular_file(file, error) && fs::file_size(file, error) <= kLargest;
  const auto json = is_read ? formats::parse_ordered_or_discard(read_file(file, kLargest)) : ordered_json();
  const bool is_own = json.is_object() && std::all_of(keys.begin(), keys.end(), [&](const char* key) {
                        return json.contains(key) && (json[key].is_number() || json[key].is_object());
                      });
  if (!is_own)
    throw UserError(fmt::format(
        "{} is there and was not written by pixart demo score, so it is not replaced: move it away.",
        file.string()));
}

constexpr const char *kScoreFile = "score.json", *kCurveFile = "curve.json";

ordered_json nested(const Scores& scores) {
  ordered_json json = ordered_json::object();
  for (const auto& [name, value] : scores) {
    const double rounded = std::round(value * 10) / 10;
    const auto dot = name.find('.');
    if (dot == std::string::npos)
      json[name] = rounded;
    else
      json[name.substr(0, dot)][name.substr(dot + 1)] = rounded;
  }
  return json;
}

}  // namespace

Scores score_run(const fs::path& run, const std::string& device) {
  const double started = monotonic_seconds();
  const run::RunConfig config = config_of(run);
  require_own_result(run / kScoreFile, {"judge_truth", "vae_read", "seconds"});
  const demo::EvaluationConfig evaluation = config.evaluation.value_or(demo::EvaluationConfig{});
  Scores scores;
  const auto stages = text_stages(config);
  Progress progress("evaluate", int64_t(stages.size()), "stage");
  int64_t done = 0;
  for (const auto& [number, stage] : stages) {
    const auto pipeline = Pipeline::open(
        {.path = run, .stage = stage->name, .step = {}, .process = {}, .chosen = {}, .device = device});
    if (done == 0) score_judge_and_codec(pipeline, scores);
    const std::string prefix = fmt::format("stage{}.", number);
    const Tally seen = score_split(pipeline, evaluation, false),
                held_out = score_split(pipeline, evaluation, true);
    scores[prefix + "background"] = Tally::percent(seen.background, seen.total);
    scores[prefix + "color"] = Tally::percent(seen.color, seen.total);
    scores[prefix + "shape"] = Tally::percent(seen.shape, seen.total);
    scores[prefix + "all"] = Tally::percent(seen.all, seen.total);
    scores[prefix + "all_heldout"] = Tally::percent(held_out.all, held_out.total);
    progress.update(++done);
  }
  scores["seconds"] = trained_seconds(config, run) + monotonic_seconds() - started;
  write_file_atomically(link_target(run / kScoreFile), nested(scores).dump(1) + "\n");
  return scores;
}

std::vector<std::string> missed_bars(const fs::path& run, const Scores& scores) {
  const run::RunConfig config = config_of(run);
  std::vector<std::string> missed;
  if (!config.evaluation) return missed;
  for (const auto& bar : config.evaluation->bars) {
    const auto found = scores.find(bar.metric);
    if (found == scores.end())
      missed.push_back(fmt::format("{} was not measured", bar.metric));
    else if (found->second < bar.at_least)
      missed.push_back(
          fmt::format("{} is {:.1f}, but must be at least {:.1f}", bar.metric, found->second, bar.at_least));
  }
  return missed;
}

void score_checkpoints(const fs::path& run, const std::string& device) {
  const run::RunConfig config = config_of(run);
  require_own_result(run / kCurveFile, {"stages"});
  const demo::EvaluationConfig evaluation = config.evaluation.value_or(demo::EvaluationConfig{});
  ordered_json stages = ordered_json::object();
  for (const auto& [number, stage] : text_stages(config)) {
    const auto checkpoints = run::list_checkpoints(run::RunFolder{run}.checkpoints(stage->name));
    Progress progress("evaluate " + stage->name, int64_t(checkpoints.size()), "checkpoint");
    ordered_json points = ordered_json::array();
    for (const auto& checkpoint : checkpoints) {
      if (const auto found = run::verify_checkpoint(checkpoint.folder);
          found.verdict == run::Verdict::kDamaged) {
        log::warning("checkpoint {} is left out: {}", checkpoint.folder.string(), found.text);
        continue;
      }
      const auto pipeline = Pipeline::open({.path = run,
                                            .stage = stage->name,
                                            .step = checkpoint.step,
                                            .process = {},
                                            .chosen = {},
                                            .device = device});
      const Tally seen = score_split(pipeline, evaluation, false),
                  held_out = score_split(pipeline, evaluation, true);
      points.push_back({{"step", checkpoint.step},
                        {"all", Tally::percent(seen.all, seen.total)},
                        {"all_heldout", Tally::percent(held_out.all, held_out.total)}});
      progress.update(int64_t(points.size()));
    }
    stages[stage->name] = points;
  }
  write_file_atomically(link_target(run / kCurveFile), ordered_json{{"stages", stages}}.dump(1) + "\n");
}

}  // namespace pixart::sample

#include "inputs.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "checkpoint.h"
#include "initial_weights.h"
#include "metric_prompts.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/names.h"
#include "pixart/convert/initial_weights.h"
#include "pixart/features/disk_space.h"
#include "pixart/features/excluded_samples.h"
#include "pixart/features/inputs.h"
#include "pixart/features/stage_transformer.h"
#include "pixart/features/teacher.h"
#include "pixart/run/trained_parameters.h"
#include "stage_model.h"
#include "stage_prompts.h"

namespace pixart::train {
namespace fs = std::filesystem;

namespace {

bool is_at_its_end(const run::RunFolder& folder, const run::StageConfig& stage) {
  const auto newest = run::newest_named_checkpoint(folder.checkpoints(stage.name));
  return newest && newest->step == stage.steps;
}

// The stage's model without values, as far as the run file tells it.
struct Outline {
  nn::StateDict state{{.dtype = at::kFloat, .device = at::kMeta}};

  int64_t elements() const {
    int64_t sum = 0;
    for (const auto& item : state.items()) sum += item.tensor.numel();
    return sum;
  }
};

void outline_autoencoder(features::RunContext& run, const run::StageConfig& stage, bool is_new,
                         Outline& outline) {
  const auto config = features::configured_vae(run.config.autoencoder);
  require_whole_latents(stage, config);
  const models::AutoencoderKl vae(nn::Scope(outline.state), config);
  if (is_new && !starts_from_stage(run.config, stage)) check_initial_vae(run, stage, config, outline.state);
  run::choose_trained(stage, outline.state);
}

models::TransformerConfig config_of(features::RunContext& run, const run::StageConfig& stage) {
  return features::transformer_config(run.config, stage, features::autoencoder_config(run.config),
                                      features::condition_sizes(run, stage));
}

// The weights that a stage will have, without values.
convert::OfficialWeights planned_weights(features::RunContext& run, const run::StageConfig& stage) {
  const auto config = config_of(run, stage);
  Outline outline;
  const models::Transformer model(nn::Scope(outline.state), config);
  convert::OfficialWeights result;
  for (const auto& item : outline.state.items())
    result.weights.tensors[item.name] = {item.tensor.scalar_type(), item.tensor.sizes().vec()};
  result.weights = formats::shapes_only(std::move(result.weights));
  result.identity.architecture = convert::architecture_of(config);
  return result;
}

// A stage that copies one that is trained before it in this start. Another stage is read from its checkpoint.
void check_copied_stage(features::RunContext& run, const run::StageConfig& stage,
                        const std::vector<run::StageConfig>& stages, const models::TransformerConfig& config,
                        nn::StateDict& state) {
  const auto* from = find_named(stages, stage.init.from);
  if (from == nullptr || stage.init.how != run::InitHow::kCopy) return;
  convert::copy_into(state, config, planned_weights(run, *from),
                     fmt::format("stage {}: init.from {}", stage.name, from->name));
}

void outline_transformer(features::RunContext& run, const run::StageConfig& stage,
                         const std::vector<run::StageConfig>& stages, bool is_new, Outline& outline) {
  const auto config = config_of(run, stage);
  const models::Transformer model(nn::Scope(outline.state), config);
  run::add_adapters(stage, outline.state);
  if (is_new && !starts_from_stage(run.config, stage))
    check_initial_transformer(run, stage, model, outline.state);
  else if (is_new)
    check_copied_stage(run, stage, stages, config, outline.state);
  run::choose_trained(stage, outline.state);
  features::add_projection(stage, config.shape().hidden_size, outline.state);
}

void check_preview(const run::RunConfig& config, const run::StageConfig& stage) {
  if (stage.samples.preview_decoder)
    features::load_preview_decoder(*stage.samples.preview_decoder, features::autoencoder_config(config),
                                   at::kMeta);
}

// A stage that starts from one that is not trained in this start must find it finished.
void require_start(const features::RunContext& run, const run::StageConfig& stage,
                   const std::vector<run::StageConfig>& stages) {
  if (!starts_from_stage(run.config, stage) || contains(names_of(stages), stage.init.from)) return;
  if (!is_at_its_end(run.folder, run.config.stage(stage.init.from)))
    throw UserError(fmt::format(
        "stage {} starts from stage {}, which is not finished. Train that stage first (pixart train without "
        "--stage trains all stages).",
        stage.name, stage.init.from));
}

}  // namespace

std::vector<run::StageConfig> stages_to_train(const run::RunFolder& folder, const run::RunConfig& config,
                                              const std::string& only) {
  std::vector<run::StageConfig> result;
  for (const auto& stage : config.stages)
    if ((only.empty() || stage.name == only) && !is_at_its_end(folder, stage)) result.push_back(stage);
  return result;
}

void open_stages(features::RunContext& run, const std::vector<run::StageConfig>& stages) {
  Problems problems;
  features::DiskSpace space(run.config);
  features::open_inputs(run, stages, problems);
  const bool all_open = problems.empty();
  for (const auto& stage : stages) {
    const bool is_new = !run::has_begun(run.folder, stage.name);
    Outline outline;
    features::collect(problems, [&] {
      if (is_new) require_start(run, stage, stages);
    });
    if (stage.info().trains_autoencoder())
      features::collect(problems, [&] { outline_autoencoder(run, stage, is_new, outline); });
    // What a model takes is known from its sources and encoders only.
    if (!all_open) continue;
    features::collect(problems, [&] { features::ExcludedSamples(run.parts(stage), stage.exclude); });
    if (!stage.info().trains_autoencoder()) {
      features::collect(problems, [&] { check_prompts(run, stage); });
      features::collect(problems, [&] { check_metrics(run, stage); });
      features::collect(problems, [&] { check_preview(run.config, stage); });
      features::collect(problems, [&] { outline_transformer(run, stage, stages, is_new, outline); });
    }
    space.add_checkpoints(stage, outline.elements(), outline.state.num_parameters());
    space.add_features(run, stage);
  }
  space.add_problems(problems);
  problems.throw_if_any("what the stages read and write is not ready, so nothing was begun");
}

namespace {

// Of "<fingerprint>, N rows, M rejected"; more rejected samples may be found while features are made.
std::string without_rejected(const std::string& fingerprint) {
  return fingerprint.substr(0, fingerprint.rfind(','));
}

constexpr const char* kNoScores = "none";

// What the stages to train read now.
struct Contents {
  std::map<std::string, std::string> inputs, sources, scores;
};

Contents contents_of(features::RunContext& run, const std::vector<run::StageConfig>& stages) {
  Contents now{.inputs = features::input_hashes(run.config, stages), .sources = {}, .scores = {}};
  for (const auto& [name, dataset] : run.sources) {
    if (!dataset) continue;
    now.sources[name] = fmt::format("{}, {} rows", dataset->fingerprint(), dataset->size());
    now.scores[name] = dataset->selection() ? dataset->selection()->sha256 : kNoScores;
  }
  return now;
}

class Comparison {
 public:
  Comparison(const std::vector<std::string>& allowed, Problems& problems)
      : allowed_(allowed), problems_(problems) {}

  // `key` names the place of what has changed.
  void add(const std::string& what, const std::string& key, const std::string& stage, bool is_finished) {
    const std::string fact =
        fmt::format("{} is not what stage {} began with: its content differs", what, stage);
    if (!is_finished)
      problems_.add(
          fmt::format("{}. The stage needs the same content; set {} back, or restore it", fact, key));
    else if (!contains(allowed_, key))
      problems_.add(
          fmt::format("{}. If the stages that follow shall use it, add --allow-change {}", fact, key));
    else
      log::warning("{}; the stages that follow use it (--allow-change {})", fact, key);
  }

 private:
  const std::vector<std::string>& allowed_;
  Problems& problems_;
};

std::string key_of_input(const std::string& input) {
  static const std::map<std::string, std::string> keys = {{"autoencoder", "autoencoder.path"},
                                                          {"text_encoder", "text_encoder.path"},
                                                          {"tokenizer", "text_encoder.path"}};
  return keys.at(input);
}

// A stage that has begun does not read its initial weights again; only a changed key is looked at.
void compare_start(features::RunContext& run, const run::StageConfig& stage, const CheckpointFacts& facts,
                   Problems& problems) {
  const auto was = facts.inputs.find("init.from");
  const auto now = initial_hashes(run, stage);
  if (was == facts.inputs.end() || now.empty() || now.begin()->second != was->second)
    problems.add(
        fmt::format("stages.{0}.init.from names other weights than those that stage {0} began with. "
                    "Set it back; a new run may begin with others",
                    stage.name));
}

const config::Change* change_of(const std::vector<config::Change>& changes, const std::string& path) {
  const auto found =
      std::find_if(changes.begin(), changes.end(), [&](const auto& change) { return change.path == path; });
  return found == changes.end() ? nullptr : &*found;
}

// `draws`: the stage draws the images that are missing when it continues, and its checkpoint then compares the source.
void compare_sources(const features::RunContext& run, const Contents& now,
                     const std::vector<config::Change>& moved, const run::StageConfig& stage,
                     const CheckpointFacts& facts, bool draws, Comparison& comparison) {
  const bool is_finished = is_at_its_end(run.folder, stage);
  for (const auto& [name, fingerprint] : now.sources) {
    const auto was = facts.data.find(name);
    if (was == facts.data.end() || without_rejected(was->second) == fingerprint) continue;
    const std::string draw = fmt::format("sources.{}.draw", name);
    if (const auto* change = change_of(moved, draw))
      comparison.add(fmt::format("source {} ({} was {}, is {})", name, draw, change->was, change->is), draw,
                     stage.name, is_finished);
    else if (!draws || data::images_to_draw(run.config.source(name)).empty())
      comparison.add("source " + name, fmt::format("sources.{}.path", name), stage.name, is_finished);
  }
}

// A stage that recorded none for a source had none.
void compare_scores(const Contents& now, const run::StageConfig& stage, const CheckpointFacts& facts,
                    bool is_finished, Comparison& comparison) {
  for (const auto& part : stage.parts()) {
    const auto own = now.scores.find(part.source);
    if (own == now.scores.end()) continue;
    const auto was = facts.inputs.find("scores of " + part.source);
    if (own->second != (was == facts.inputs.end() ? kNoScores : was->second))
      comparison.add("the file of scores of source " + part.source,
                     fmt::format("sources.{}.scores.file", part.source), stage.name, is_finished);
  }
}

// `now`: what `stages` read.
void add_contents(features::RunContext& run, const std::vector<run::StageConfig>& stages, const Contents& now,
                  const std::vector<config::Change>& moved, const std::vector<std::string>& allowed,
                  Problems& problems) {
  Comparison comparison(allowed, problems);
  for (const auto& stage : run.config.stages) {
    const auto facts = recorded_facts(run.folder.checkpoints(stage.name));
    if (!facts) continue;
    const bool is_finished = is_at_its_end(run.folder, stage);
    for (const auto& [name, hash] : now.inputs)
      if (const auto was = facts->inputs.find(name); was != facts->inputs.end() && was->second != hash)
        comparison.add("the " + name, key_of_input(name), stage.name, is_finished);
    compare_sources(run, now, moved, stage, *facts, contains(names_of(stages), stage.name), comparison);
    compare_scores(now, stage, *facts, is_finished, comparison);
    if (const auto was = facts->inputs.find("exclude");
        !is_finished && was != facts->inputs.end() &&
        was->second != features::exclude_fingerprint(stage.exclude))
      comparison.add("the file of excluded samples", fmt::format("stages.{}.exclude", stage.name), stage.name,
                     is_finished);
    if (change_of(moved, fmt::format("stages.{}.init.from", stage.name)) != nullptr)
      features::collect(problems, [&] { compare_start(run, stage, *facts, problems); });
  }
}

// Whether one of the changes is of the element, or of a key in it.
bool concern(const std::vector<config::Change>& changes, const std::string& path) {
  return std::any_of(changes.begin(), changes.end(), [&](const auto& change) {
    return change.path == path || change.path.starts_with(path + ".");
  });
}

}  // namespace

std::vector<config::Change> compare_config(features::RunContext& run,
                                           const std::vector<run::StageConfig>& stages,
                                           const std::vector<std::string>& allowed) {
  run::require_no_foreign_results(run.folder, stages);
  Problems problems;
  auto changes = run::check_run_folder(run.folder, run.config, allowed, problems);
  if (problems.empty()) return std::move(changes.moved);
  try {
    features::open_inputs(run, stages, problems);
    Contents now = contents_of(run, stages);
    // A source has other content where another of its keys changes, of which there is a problem already.
    const auto is_told = [&](const auto& item) { return concern(changes.refused, "sources." + item.first); };
    std::erase_if(now.sources, is_told);
    std::erase_if(now.scores, is_told);
    add_contents(run, stages, now, changes.moved, allowed, problems);
  } catch (const UserError& error) {  // what cannot be read at the moment is told when the keys are right
    if (error.code() == ExitCode::kRequeue) throw;
  }
  problems.throw_if_any(fmt::format(
      "{} holds a run with another configuration. Undo the change, or start a new run with --set run=FOLDER",
      run.folder.root.string()));
  return {};
}

void compare_contents(features::RunContext& run, const std::vector<run::StageConfig>& stages,
                      const std::vector<config::Change>& moved, const std::vector<std::string>& allowed) {
  Problems problems;
  add_contents(run, stages, contents_of(run, stages), moved, allowed, problems);
  problems.throw_if_any(run.folder.root.string() + " was begun with other data");
}

}  // namespace pixart::train

#include "initial_weights.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/base/home.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/convert/initial_weights.h"
#include "pixart/convert/inspect.h"
#include "pixart/convert/lora.h"
#include "pixart/convert/provenance.h"
#include "pixart/convert/stated_process.h"
#include "pixart/features/file_fingerprint.h"
#include "pixart/features/stage_transformer.h"
#include "pixart/run/checkpoint_folder.h"

namespace pixart::train {
namespace fs = std::filesystem;

namespace {

constexpr const char* kOwnLicense = "not stated: trained from random weights";

models::TransformerInit transformer_init(const features::RunContext& run, const run::StageConfig& stage) {
  return {.seed = run.stage_seed(stage),
          .embedder_std = stage.init.embedder_std,
          .base = features::width_base(run.config.transformer)};
}

// The file with an earlier stage's EMA weights, or the path in the config.
fs::path initial_path(const features::RunContext& run, const run::StageConfig& stage) {
  if (!starts_from_stage(run.config, stage)) return with_home(stage.init.from);
  const auto search = run::find_checkpoint(run.folder.checkpoints(stage.init.from));
  if (!search.newest || search.newest->step != run.config.stage(stage.init.from).steps) {
    throw UserError(fmt::format(
        "stage {} starts from stage {}, {}. Train that stage first (pixart train without --stage trains all "
        "stages).",
        stage.name, stage.init.from,
        search.damaged.empty() ? "which is not finished"
                               : "whose last checkpoint is damaged (" + search.damaged.front() + ")"));
  }
  return search.newest->folder / "ema.safetensors";
}

// With their values, or only with their shapes.
enum class Reads { kValues, kShapes };

convert::OfficialWeights open_initial(const features::RunContext& run, const run::StageConfig& stage,
                                      int64_t num_heads, Reads reads) {
  auto opened =
      convert::open_and_identify(initial_path(run, stage), stage.init.set, {.num_heads = num_heads});
  if (reads == Reads::kShapes) opened.weights = formats::shapes_only(std::move(opened.weights));
  auto official = convert::to_official(std::move(opened));
  if (reads == Reads::kShapes) return official;
  for (const auto& note : official.notes) log::info("stage {}: {}: {}", stage.name, stage.init.from, note);
  return official;
}

formats::Metadata metadata_of(const run::StageConfig& stage, const convert::Architecture& architecture,
                              const std::string& license, const std::vector<fs::path>& parents,
                              const std::vector<std::string>& notes = {}) {
  std::string conversion =
      fmt::format("trained: stage {} ({}), init: {}", stage.name, stage.objective, word_of(stage.init.how));
  if (!notes.empty()) conversion += fmt::format(" ({})", join(notes, "; "));
  auto metadata = convert::provenance_metadata({.architecture = architecture,
                                                .conversion = std::move(conversion),
                                                .license = license,
                                                .parents = parents,
                                                .process = convert::process_text(stage.process())});
  if (const auto& lora = stage.lora; lora.rank > 0)
    metadata.merge(convert::lora_metadata(lora.rank, lora.effective_alpha()));
  return metadata;
}

std::string subject_of(const run::StageConfig& stage) {
  return fmt::format("stage {}: init.from {}", stage.name, stage.init.from);
}

convert::ReparameterizeOptions reparameterization(const features::RunContext& run,
                                                  const run::StageConfig& stage) {
  return {.shared_modulation = stage.init.shared_modulation,
          .init = transformer_init(run, stage),
          .source = subject_of(stage)};
}

// Training would end with an error that blames the run.
void require_finite_source(const run::StageConfig& stage, const nn::StateDict& state) {
  std::vector<std::string> found;
  for (const auto& item : state.items())
    if (!convert::is_finite(item.tensor)) found.push_back(item.name);
  if (found.empty()) return;
  throw UserError(fmt::format(
      "stage {}: {} tensor(s) of init.from {} have values that are NaN or infinite: {}. `pixart inspect FILE "
      "--verify` counts them. Nothing was trained; take another file, or an earlier checkpoint.",
      stage.name, found.size(), stage.init.from, name_some(found)));
}

// A teacher must be asked for what it predicts.
void require_same_process(const run::StageConfig& stage, const convert::Identity& source) {
  if (!stage.info().distills || !source.process) return;
  const auto& was = *source.process;
  if (was.prediction == stage.prediction && was.zero_terminal_snr == stage.zero_terminal_snr) return;
  throw UserError(fmt::format(
      "stage {0}: the teacher init.from {1} predicts {2}{3}, so the stage needs prediction: {2} and "
      "zero_terminal_snr: {4}.",
      stage.name, stage.init.from, word_of(was.prediction),
      was.zero_terminal_snr ? " from pure noise on" : "", was.zero_terminal_snr));
}

// The weights are a start all the same: only the output must be learned anew.
void warn_of_other_prediction(const run::StageConfig& stage, const convert::Identity& source) {
  if (!source.process || source.process->prediction == stage.prediction) return;
  log::warning("stage {}: init.from {} predicts {}, and this stage trains it to predict {}", stage.name,
               stage.init.from, word_of(source.process->prediction), word_of(stage.prediction));
}

void log_plan(const std::vector<convert::PlannedTensor>& plan, const convert::Proof& proof,
              const std::string& stage) {
  std::map<convert::Disposition, int> counts;
  for (const auto& tensor : plan) ++counts[tensor.disposition];
  using enum convert::Disposition;
  log::info(
      "stage {}: re-parameterised from the class-conditional model: {} tensors copied, {} derived, {} new, "
      "{} dropped; outputs at t = 500 {}",
      stage, counts[kCopied], counts[kDerived], counts[kNewInit], counts[kDropped], convert::describe(proof));
}

}  // namespace

formats::Metadata initialize_vae(const features::RunContext& run, const run::StageConfig& stage,
                                 const models::VaeConfig& config, nn::StateDict& state) {
  if (stage.init.how != run::InitHow::kCopy) {
    models::initialize(state, config, run.stage_seed(stage));
    return metadata_of(stage, config, kOwnLicense, {});
  }
  const auto weights = formats::open_weights(initial_path(run, stage), stage.init.set);
  nn::load_state(state, models::rename_vae_weights(formats::read_all(weights), config), stage.init.from);
  require_finite_source(stage, state);
  return metadata_of(stage, config, convert::license_of(weights, convert::Layout::kVae), weights.files);
}

formats::Metadata initialize_transformer(const features::RunContext& run, const run::StageConfig& stage,
                                         const models::Transformer& model, nn::StateDict& state) {
  at::NoGradGuard no_grad;
  const auto& config = model.config();
  const auto architecture = convert::architecture_of(config);
  const auto init = transformer_init(run, stage);
  if (stage.init.how != run::InitHow::kReparameterize) models::initialize(state, config, init);
  if (stage.init.how == run::InitHow::kRandom) return metadata_of(stage, architecture, kOwnLicense, {});
  const auto source = open_initial(run, stage, config.shape().num_heads, Reads::kValues);
  require_same_process(stage, source.identity);
  warn_of_other_prediction(stage, source.identity);
  std::vector<std::string> notes;
  if (stage.init.how == run::InitHow::kReparameterize) {
    const auto made =
        convert::reparameterize_into(state, model, source, reparameterization(run, stage), subject_of(stage));
    log_plan(made.plan, made.proof, stage.name);
  } else {
    notes = convert::copy_into(state, config, source, stage.init.from);
    for (const auto& note : notes) log::info("stage {}: {}: {}", stage.name, stage.init.from, note);
  }
  require_finite_source(stage, state);
  return metadata_of(stage, architecture, source.license, source.weights.files, notes);
}

void check_initial_vae(const features::RunContext& run, const run::StageConfig& stage,
                       const models::VaeConfig& config, nn::StateDict& state) {
  if (stage.init.how != run::InitHow::kCopy) return;
  const auto weights = formats::shapes_only(formats::open_weights(initial_path(run, stage), stage.init.set));
  if (weights.tensors.contains("encoder.layers.1.conv.0.weight") ||
      models::tiny_part_of(weights) != models::TinyPart::kNone)
    throw UserError(
        fmt::format("stage {}: init.from {} is a tiny autoencoder, which no stage trains: use it as "
                    "autoencoder.path, without this stage.",
                    stage.name, stage.init.from));
  nn::load_state(state, models::rename_vae_weights(formats::read_all(weights), config), stage.init.from);
}

void check_initial_transformer(const features::RunContext& run, const run::StageConfig& stage,
                               const models::Transformer& model, nn::StateDict& state) {
  if (stage.init.how == run::InitHow::kRandom) return;
  const auto& config = model.config();
  const auto source = open_initial(run, stage, config.shape().num_heads, Reads::kShapes);
  require_same_process(stage, source.identity);
  if (stage.init.how == run::InitHow::kReparameterize)
    convert::check_reparameterize_into(state, model, source, reparameterization(run, stage),
                                       subject_of(stage));
  else
    convert::copy_into(state, config, source, stage.init.from);
}

bool starts_from_stage(const run::RunConfig& config, const run::StageConfig& stage) {
  return std::any_of(config.stages.begin(), config.stages.end(),
                     [&](const auto& other) { return other.name == stage.init.from; });
}

std::map<std::string, std::string> initial_hashes(const features::RunContext& run,
                                                  const run::StageConfig& stage) {
  if (stage.init.how == run::InitHow::kRandom || starts_from_stage(run.config, stage)) return {};
  return {{"init.from", features::weights_fingerprint(initial_path(run, stage))}};
}

std::map<std::string, std::string> teacher_hashes(const features::RunContext& run,
                                                  const run::StageConfig& stage) {
  if (!stage.info().distills) return {};
  return {{"teacher", features::weights_fingerprint(initial_path(run, stage))}};
}

}  // namespace pixart::train

// Where the weights of a stage start.
#include <ATen/ATen.h>

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/convert/convert.h"
#include "pixart/convert/lora.h"
#include "pixart/convert/provenance.h"
#include "pixart/nn/lora.h"
#include "pixart/train/checkpoint_folder.h"
#include "stage_model.h"

namespace pixart::train {
namespace fs = std::filesystem;

namespace {

constexpr const char* kOwnLicense = "not stated: trained from random weights";

models::TransformerInit transformer_init(const RunContext& run, const StageConfig& stage) {
  return {.seed = run.stage_seed(stage), .embedder_std = stage.init.embedder_std};
}

// The file of an earlier stage's averaged weights, or what the config names.
fs::path initial_path(const RunContext& run, const StageConfig& stage) {
  const bool is_stage = std::any_of(run.config.stages.begin(), run.config.stages.end(),
                                    [&](const auto& s) { return s.name == stage.init.from; });
  if (!is_stage) return stage.init.from;
  const auto checkpoint = newest_good_checkpoint(run.folder.checkpoints(stage.init.from));
  if (!checkpoint || checkpoint->step != run.config.stage(stage.init.from).steps) {
    throw UserError(
        fmt::format("stage {} starts from stage {}, which is not finished. Train that one first (pixart "
                    "train without --stage runs all).",
                    stage.name, stage.init.from));
  }
  return checkpoint->folder / "ema.safetensors";
}

convert::OfficialWeights open_initial(const RunContext& run, const StageConfig& stage, int64_t num_heads) {
  auto official = convert::to_official(
      convert::open_and_identify(initial_path(run, stage), stage.init.set, {.num_heads = num_heads}));
  for (const auto& note : official.notes) log::info("stage {}: {}: {}", stage.name, stage.init.from, note);
  return official;
}

formats::Metadata metadata_of(const StageConfig& stage, const convert::Architecture& architecture,
                              const std::string& license, const std::vector<fs::path>& parents) {
  auto metadata =
      convert::provenance_metadata({.architecture = architecture,
                                    .conversion = fmt::format("trained: stage {} ({}), init: {}", stage.name,
                                                              stage.objective, stage.init.how),
                                    .license = license,
                                    .parents = parents});
  if (const auto& lora = stage.lora; lora.rank > 0)
    metadata.merge(convert::lora_metadata(lora.rank, lora.alpha.value_or(double(lora.rank))));
  return metadata;
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

void reparameterize_into(nn::StateDict& state, const models::PixArt& model,
                         const convert::OfficialWeights& source, const RunContext& run,
                         const StageConfig& stage) {
  const auto* dit = std::get_if<models::DitConfig>(&source.identity.architecture);
  if (dit == nullptr)
    throw UserError(fmt::format("stage {}: init.from {} is no DiT; only a DiT can be re-parameterised.",
                                stage.name, stage.init.from));
  nn::StateDict source_state({.dtype = at::kFloat, .device = run.device});
  const models::Dit dit_model(nn::Scope(source_state), *dit);
  nn::load_state(source_state, formats::read_all(source.weights), stage.init.from);
  const std::string subject = fmt::format("stage {}: init.from {}", stage.name, stage.init.from);
  const auto plan = convert::reparameterize(source_state, *dit, state, model.config(),
                                            {.shared_modulation = stage.init.shared_modulation,
                                             .init = transformer_init(run, stage),
                                             .source = subject});
  const auto proof = convert::prove_reparameterization(dit_model, model, state);
  log_plan(plan, proof, stage.name);
  convert::require_proof(proof, subject);
}

// Everything but the position table, which belongs to the new grid, and what a micro-conditioned model adds.
void copy_text_model(nn::StateDict& state, const convert::OfficialWeights& source, const std::string& from) {
  auto weights = formats::read_all(source.weights);
  weights.erase("pos_embed");
  auto may_be_missing = nn::lora_names(state);
  const bool with_adapters = !may_be_missing.empty();
  for (const char* name : {"pos_embed", "y_embedder.y_embedding"}) may_be_missing.emplace_back(name);
  if (!with_adapters)  // what is new has to be trained
    for (const char* name : {"csize_embedder.*", "ar_embedder.*"}) may_be_missing.emplace_back(name);
  nn::load_state(state, weights, from, {.may_be_missing = may_be_missing, .may_be_unexpected = {}});
}

}  // namespace

formats::Metadata initialize_vae(const RunContext& run, const StageConfig& stage,
                                 const models::VaeConfig& config, nn::StateDict& state) {
  if (stage.init.how != "copy") {
    models::initialize(state, config, run.stage_seed(stage));
    return metadata_of(stage, config, kOwnLicense, {});
  }
  const auto weights = formats::open_weights(initial_path(run, stage), stage.init.set);
  nn::load_state(state, models::rename_vae_weights(formats::read_all(weights), config), stage.init.from);
  return metadata_of(stage, config, convert::license_of(weights, convert::Layout::kVae), weights.files);
}

formats::Metadata initialize_dit(const RunContext& run, const StageConfig& stage,
                                 const models::DitConfig& config, nn::StateDict& state) {
  models::initialize(state, config, transformer_init(run, stage));
  if (stage.init.how != "copy") return metadata_of(stage, config, kOwnLicense, {});
  const auto source = open_initial(run, stage, config.num_heads);
  nn::load_state(state, formats::read_all(source.weights), stage.init.from,
                 {.may_be_missing = nn::lora_names(state), .may_be_unexpected = {}});
  return metadata_of(stage, config, source.license, source.weights.files);
}

formats::Metadata initialize_pixart(const RunContext& run, const StageConfig& stage,
                                    const models::PixArt& model, nn::StateDict& state) {
  at::NoGradGuard no_grad;
  const auto& config = model.config();
  if (stage.init.how != "reparameterize") models::initialize(state, config, transformer_init(run, stage));
  if (stage.init.how == "random") return metadata_of(stage, config, kOwnLicense, {});
  const auto source = open_initial(run, stage, config.num_heads);
  if (stage.init.how == "reparameterize")
    reparameterize_into(state, model, source, run, stage);
  else
    copy_text_model(state, source, stage.init.from);
  return metadata_of(stage, config, source.license, source.weights.files);
}

}  // namespace pixart::train

#include "initial_weights.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/base/home.h"
#include "pixart/base/log.h"
#include "pixart/convert/initial_weights.h"
#include "pixart/convert/lora.h"
#include "pixart/convert/provenance.h"
#include "pixart/run/checkpoint_folder.h"

namespace pixart::train {
namespace fs = std::filesystem;

namespace {

constexpr const char* kOwnLicense = "not stated: trained from random weights";

models::TransformerInit transformer_init(const features::RunContext& run, const run::StageConfig& stage) {
  return {.seed = run.stage_seed(stage), .embedder_std = stage.init.embedder_std};
}

// The file with an earlier stage's EMA weights, or the path in the config.
fs::path initial_path(const features::RunContext& run, const run::StageConfig& stage) {
  const bool is_stage = std::any_of(run.config.stages.begin(), run.config.stages.end(),
                                    [&](const auto& s) { return s.name == stage.init.from; });
  if (!is_stage) return with_home(stage.init.from);
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

convert::OfficialWeights open_initial(const features::RunContext& run, const run::StageConfig& stage,
                                      int64_t num_heads) {
  auto official = convert::to_official(
      convert::open_and_identify(initial_path(run, stage), stage.init.set, {.num_heads = num_heads}));
  for (const auto& note : official.notes) log::info("stage {}: {}: {}", stage.name, stage.init.from, note);
  return official;
}

formats::Metadata metadata_of(const run::StageConfig& stage, const convert::Architecture& architecture,
                              const std::string& license, const std::vector<fs::path>& parents) {
  auto metadata =
      convert::provenance_metadata({.architecture = architecture,
                                    .conversion = fmt::format("trained: stage {} ({}), init: {}", stage.name,
                                                              stage.objective, word_of(stage.init.how)),
                                    .license = license,
                                    .parents = parents});
  if (const auto& lora = stage.lora; lora.rank > 0)
    metadata.merge(convert::lora_metadata(lora.rank, lora.effective_alpha()));
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

}  // namespace

formats::Metadata initialize_vae(const features::RunContext& run, const run::StageConfig& stage,
                                 const models::VaeConfig& config, nn::StateDict& state) {
  if (stage.init.how != run::InitHow::kCopy) {
    models::initialize(state, config, run.stage_seed(stage));
    return metadata_of(stage, config, kOwnLicense, {});
  }
  const auto weights = formats::open_weights(initial_path(run, stage), stage.init.set);
  nn::load_state(state, models::rename_vae_weights(formats::read_all(weights), config), stage.init.from);
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
  const auto source = open_initial(run, stage, config.shape().num_heads);
  if (stage.init.how == run::InitHow::kReparameterize) {
    const std::string subject = fmt::format("stage {}: init.from {}", stage.name, stage.init.from);
    const auto made = convert::reparameterize_into(
        state, model, source,
        {.shared_modulation = stage.init.shared_modulation, .init = init, .source = subject}, subject);
    log_plan(made.plan, made.proof, stage.name);
  } else {
    convert::copy_into(state, config, source, stage.init.from);
  }
  return metadata_of(stage, architecture, source.license, source.weights.files);
}

}  // namespace pixart::train

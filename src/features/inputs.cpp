#include "pixart/features/inputs.h"

#include <algorithm>

#include "pixart/base/names.h"
#include "pixart/features/file_fingerprint.h"
#include "pixart/features/teacher.h"
#include "pixart/run/run_folder.h"
#include "pixart/text/tokenizer.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

bool any_stage(const std::vector<run::StageConfig>& stages, bool run::ObjectiveInfo::*reads) {
  return std::any_of(stages.begin(), stages.end(), [&](const auto& stage) { return stage.info().*reads; });
}

// In the order of their first use.
std::vector<std::string> sources_of(const std::vector<run::StageConfig>& stages) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (!name.empty() && !contains(names, name)) names.push_back(name);
  };
  for (const auto& stage : stages) {
    for (const auto& part : stage.parts()) add(part.source);
    add(stage.validation.source);
    if (stage.metrics.every > 0) add(stage.metrics.source);
  }
  return names;
}

bool is_open(const RunContext& run, const run::StageConfig& stage) {
  const auto names = sources_of({stage});
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    const auto found = run.sources.find(name);
    return found != run.sources.end() && found->second;
  });
}

void open_autoencoder(const run::RunConfig& config, Problems& problems) {
  const auto& stages = config.stages;
  const bool is_trained_here = std::any_of(
      stages.begin(), stages.end(), [](const auto& stage) { return stage.info().trains_autoencoder(); });
  if (!config.autoencoder.path && is_trained_here) return;
  collect(problems, [&] { load_codec(config, at::kMeta); });
}

void open_text_encoder(const run::RunConfig& config, Problems& problems) {
  const auto& named = config.text_encoder.tokenizer;
  if (named) collect(problems, [&] { text::Tokenizer tokenizer(*named); });
  if (!config.text_encoder.path) return;  // made from the captions
  const fs::path& folder = *config.text_encoder.path;
  collect(problems, [&] { models::load_t5(folder, at::kMeta); });
  collect(problems, [&] { text::Tokenizer tokenizer(text::tokenizer_folder(folder)); });
}

}  // namespace

void collect(Problems& problems, const std::function<void()>& work) {
  try {
    work();
  } catch (const UserError& error) {
    if (error.code() != ExitCode::kBadInput) throw;
    problems.add(error.what());
  }
}

void open_inputs(RunContext& run, const std::vector<run::StageConfig>& stages, Problems& problems) {
  for (const auto& name : sources_of(stages)) collect(problems, [&] { run.source(name); });
  for (const auto& stage : stages)
    if (is_open(run, stage)) collect(problems, [&] { run.parts(stage); });
  if (any_stage(stages, &run::ObjectiveInfo::reads_latents)) open_autoencoder(run.config, problems);
  if (any_stage(stages, &run::ObjectiveInfo::reads_captions)) open_text_encoder(run.config, problems);
  for (const auto& stage : stages)
    if (stage.alignment.is_on()) collect(problems, [&] { teacher_sizes(*stage.alignment.teacher); });
}

models::VaeConfig autoencoder_config(const run::RunConfig& config) {
  const fs::path folder = autoencoder_folder(config);
  if (config.autoencoder.path || models::holds_vae(folder)) return models::vae_config_of(folder);
  return configured_vae(config.autoencoder);
}

models::ConditionSizes condition_sizes(RunContext& run, const run::StageConfig& stage) {
  models::ConditionSizes sizes;
  if (stage.info().reads_labels)
    sizes.labels.num_classes = int64_t(run.source(stage.parts().front().source).class_names().size());
  if (stage.info().reads_captions) {
    const auto& encoder = run.config.text_encoder;
    sizes.text.caption_channels =
        encoder.path ? models::read_t5_config(*encoder.path / "config.json").d_model : encoder.size.d_model;
  }
  return sizes;
}

namespace {

void add_encoder(const data::FeatureInputs& inputs, std::map<std::string, std::string>& hashes) {
  for (const auto& input : inputs)
    if (input.name == "text_encoder" || input.name == "tokenizer") hashes[input.name] = input.value;
}

}  // namespace

std::map<std::string, std::string> input_hashes(const LatentCodec& codec, const CaptionEncoder* encoder) {
  const auto input = codec.input();
  std::map<std::string, std::string> hashes = {{input.name, input.value}};
  if (encoder != nullptr) add_encoder(encoder->inputs(), hashes);
  return hashes;
}

std::map<std::string, std::string> input_hashes(const run::RunConfig& config,
                                                const std::vector<run::StageConfig>& stages) {
  std::map<std::string, std::string> hashes;
  const fs::path autoencoder = autoencoder_folder(config);
  if (any_stage(stages, &run::ObjectiveInfo::reads_latents) && models::holds_vae(autoencoder))
    hashes["autoencoder"] = folder_fingerprint(autoencoder);
  run::TextEncoderConfig encoder = config.text_encoder;
  if (!encoder.path) encoder.path = run::RunFolder{config.run}.text_encoder();
  if (any_stage(stages, &run::ObjectiveInfo::reads_captions) && fs::exists(*encoder.path / "config.json"))
    add_encoder(caption_encoder_inputs(encoder, {}), hashes);
  return hashes;
}

}  // namespace pixart::features

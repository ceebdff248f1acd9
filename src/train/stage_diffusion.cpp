#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "initial_weights.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/convert/lora.h"
#include "pixart/convert/model_folder.h"
#include "pixart/features/caption_encoder.h"
#include "pixart/features/damaged_features.h"
#include "pixart/features/extract.h"
#include "pixart/features/feature_reader.h"
#include "pixart/features/latent_codec.h"
#include "pixart/features/stage_transformer.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/plan/flops.h"
#include "pixart/run/checkpoint_folder.h"
#include "pixart/run/trained_parameters.h"
#include "pixart/sample/generate.h"
#include "pixart/train/objectives.h"
#include "stage_model.h"

namespace pixart::train {
namespace {

constexpr size_t kMostPrompts = 16;

sample::GenerateOptions sample_options(const features::RunContext& run, const run::StageConfig& stage,
                                       const std::function<bool()>& asked_to_stop) {
  sample::GenerateOptions options{stage.samples};
  options.seed = uint64_t(run.config.seed);
  options.asked_to_stop = asked_to_stop;
  return options;
}

DiffusionSetting diffusion_setting(const features::RunContext& run, const run::StageConfig& stage,
                                   const features::LatentCodec& codec) {
  const auto& process = stage.info().process;
  return {.codec = &codec,
          .tables = diffusion::LossTables(diffusion::make_noise_schedule(process), run.device),
          .seed = run.stage_seed(stage),
          .draw = draws_by_sample(run.stage_seed(stage), process.num_train_steps, stage.condition_dropout),
          .device = run.device};
}

models::Execution execution(const run::StageConfig& stage) {
  models::Execution result{.recompute_every = stage.activation_checkpointing};
  if (stage.precision == run::Precision::kBFloat16) result.dtype = at::kBFloat16;
  return result;
}

// The stage's feature sets and the rejected rows of each source.
struct OpenedData {
  features::FeatureReader reader;
  std::vector<data::Ledger> ledgers;
};

OpenedData open_features(features::RunContext& run, const run::StageConfig& stage,
                         const features::LatentCodec& codec, const features::CaptionEncoder* encoder) {
  features::StageParts parts = run.parts(stage);
  std::vector<data::Ledger> ledgers;
  std::vector<std::filesystem::path> quarantine_files;
  for (auto& part : parts) {
    const std::string& name = part.source->name;
    part.latents = std::make_shared<data::LatentSet>(
        features::latent_set(run.config, stage, name, *part.dataset, codec, run.device));
    if (encoder != nullptr)
      part.captions = std::make_shared<data::CaptionSet>(
          features::caption_set(run.config, name, *part.dataset, *encoder));
    quarantine_files.push_back(run.folder.quarantine(name));
    ledgers.push_back(features::ledger_of(part, quarantine_files.back()));
    if (!ledgers.back().rejected.empty()) log::info("source {}: {}", name, data::describe(ledgers.back()));
  }
  auto damaged = std::make_shared<features::DamagedFeatures>(parts, ledgers, std::move(quarantine_files));
  return {.reader = {.parts = std::move(parts),
                     .seed = run.stage_seed(stage),
                     .with_labels = encoder == nullptr,
                     .with_captions = encoder != nullptr,
                     .with_sizes = stage.multi_scale,
                     .mirror = stage.horizontal_flip,
                     .pinned = run.device.is_cuda(),
                     .max_tokens = encoder == nullptr ? 0 : encoder->max_tokens(),
                     .resolution = stage.aspect_buckets ? stage.resolution : 0,
                     .damaged = std::move(damaged)},
          .ledgers = std::move(ledgers)};
}

// The mean length of some captions: cross-attention computes only with real tokens.
int64_t mean_tokens(const features::StageParts& parts) {
  constexpr int64_t kMost = 1000;
  int64_t sum = 0, count = 0;
  for (const auto& part : parts) {
    const int64_t total = part.captions->num_distinct(), some = std::min(total, kMost);
    for (int64_t i = 0; i < some; ++i) sum += part.captions->num_tokens(int32_t(i * total / some));
    count += some;
  }
  return count == 0 ? 0 : (sum + count / 2) / count;
}

run::StageFacts facts_of(const run::StageConfig& stage, const run::ParameterCounts& counts,
                         const models::TransformerWork& work) {
  return {.parameters = counts.model,
          .trained_parameters = counts.trained,
          .tokens_per_sample = work.tokens,
          .flops_per_sample = plan::transformer_flops(work, 0, counts.trained_part()).training,
          .batch_size = stage.batch_size};
}

HeldOut open_held_out(features::RunContext& run, const run::StageConfig& stage,
                      const features::LatentCodec& codec, const features::CaptionEncoder* encoder) {
  const auto& dataset = run.source(stage.validation.source);
  if (encoder == nullptr && dataset.class_names() != run.source(stage.parts().front().source).class_names())
    throw UserError(fmt::format("stage {}: validation.source {} has other classes than the stage's source",
                                stage.name, stage.validation.source));
  auto opened = open_features(run, stage.held_out(), codec, encoder);
  std::vector<int64_t> rejected;
  for (const auto& rejection : opened.ledgers.front().rejected) rejected.push_back(rejection.row);
  auto rows = evenly_spread_rows(dataset.size(), rejected, stage.validation.samples);
  if (rows.empty())
    throw UserError(fmt::format("stage {}: validation.source {} has no usable samples", stage.name,
                                stage.validation.source));
  return {.read = std::move(opened.reader), .rows = std::move(rows)};
}

features::StageParts open_data(features::RunContext& run, const run::StageConfig& stage,
                               const features::LatentCodec& codec, const features::CaptionEncoder* encoder,
                               StageModel& result) {
  auto opened = open_features(run, stage, codec, encoder);
  auto order = features::make_order(opened.reader.parts, opened.ledgers, stage, run.stage_seed(stage));
  result.data = features::data_fingerprints(opened.reader.parts, opened.ledgers);
  for (const auto& ledger : opened.ledgers) result.quarantined += int64_t(ledger.rejected.size());
  result.damaged = opened.reader.damaged;
  const features::StageParts parts = opened.reader.parts;
  result.loader = make_loader(run, stage, parts, std::move(order), std::move(opened.reader));
  if (stage.validation.every > 0) result.held_out = open_held_out(run, stage, codec, encoder);
  return parts;
}

// Writes the EMA adapters of the last checkpoint.
void export_lora(const features::RunContext& run, const run::StageConfig& stage) {
  const auto last = run::newest_good_checkpoint(run.folder.checkpoints(stage.name), "ema.safetensors");
  PIXART_CHECK(last, "stage {} ended without a checkpoint", stage.name);
  const auto opened = convert::open_and_identify(last->folder / "ema.safetensors");
  const auto folder = run.folder.lora(stage.name);
  create_folders(folder.parent_path());
  convert::write_lora(folder, opened.weights, opened.identity.architecture);
  log::info("stage {}: adapters for diffusers and PEFT in {}", stage.name, folder.string());
}

// The captions to draw if the config has none: distinct ones, evenly spread over the source.
std::vector<std::string> some_captions(const data::Dataset& dataset) {
  std::unordered_set<std::string> seen;
  std::vector<std::string> result;
  const int64_t stride = std::max<int64_t>(1, dataset.size() / int64_t(4 * kMostPrompts));
  for (int64_t row = 0; row < dataset.size() && result.size() < kMostPrompts; row += stride)
    if (const auto caption = dataset.caption(row); !caption.empty() && seen.insert(caption).second)
      result.push_back(caption);
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

// Adds the stage's adapters to both states; the end of the stage also saves them separately.
run::ParameterCounts with_adapters(const features::RunContext& run, const run::StageConfig& stage,
                                   StageModel& result) {
  run::ParameterCounts counts{.model = result.state->num_parameters()};
  run::add_adapters(stage, *result.state);
  run::add_adapters(stage, *result.ema);
  run::choose_trained(stage, *result.state);
  counts.trained = result.state->num_parameters();
  counts.has_adapters = stage.lora.rank > 0;
  if (stage.lora.rank > 0) convert::require_model_folder(run.folder.lora(stage.name));
  if (stage.lora.rank > 0) result.finish = [&run, &stage] { export_lora(run, stage); };
  return counts;
}

// The conditions of the stage's sample images, as far as its objective reads them.
struct Prompts {
  models::ConditionSizes sizes = {};
  std::unique_ptr<const features::CaptionEncoder> encoder = {};
  models::Condition to_draw = {};
  std::vector<std::string> texts = {};  // one for each image
};

void add_labels(const data::Dataset& dataset, const run::StageConfig& stage, const std::string& source,
                Prompts& prompts) {
  require_classes(dataset, stage, source);
  const auto names = dataset.class_names();
  const auto classes = classes_to_draw(dataset, stage, source);
  prompts.sizes.labels.num_classes = int64_t(names.size());
  for (int64_t label : classes) prompts.texts.push_back(names[size_t(label)]);
  prompts.to_draw.label = sample::condition_of(classes).label;
}

void add_captions(features::RunContext& run, const data::Dataset& dataset, const run::StageConfig& stage,
                  Prompts& prompts) {
  prompts.encoder = std::make_unique<features::CaptionEncoder>(
      features::load_caption_encoder(run.config, run.device, [&run] { return run.all_captions(); }));
  prompts.sizes.text.caption_channels = prompts.encoder->channels();
  prompts.texts = stage.samples.prompts.empty() ? some_captions(dataset) : stage.samples.prompts;
  prompts.to_draw = sample::condition_of(prompts.encoder->encode(prompts.texts));
}

Prompts prompts_of(features::RunContext& run, const run::StageConfig& stage) {
  const std::string source = stage.parts().front().source;
  const auto& dataset = run.source(source);
  Prompts prompts;
  if (stage.info().reads_labels) add_labels(dataset, stage, source, prompts);
  if (stage.info().reads_captions) add_captions(run, dataset, stage, prompts);
  return prompts;
}

}  // namespace

StageModel make_diffusion_stage(features::RunContext& run, const run::StageConfig& stage) {
  const auto codec = std::make_shared<features::LatentCodec>(features::load_codec(run.config, run.device));
  const Prompts prompts = prompts_of(run, stage);
  const features::CaptionEncoder* encoder = prompts.encoder.get();
  const auto config = features::transformer_config(run.config, stage, codec->config(), prompts.sizes);
  StageModel result;
  const nn::StateDictOptions options{.dtype = at::kFloat, .device = run.device};
  result.state = std::make_unique<nn::StateDict>(options);
  result.ema = std::make_unique<nn::StateDict>(options);
  const auto model = std::make_shared<models::Transformer>(
      models::Transformer(nn::Scope(*result.state), config).with(execution(stage)));
  const auto ema = std::make_shared<models::Transformer>(nn::Scope(*result.ema), config);
  log::info("stage {}: {} of {} parameters", stage.name, config.kind_name(),
            with_thousands(result.state->num_parameters()));
  const auto counts = with_adapters(run, stage, result);

  result.objective = std::make_unique<DiffusionObjective>(*model, diffusion_setting(run, stage, *codec));
  result.ema_objective = std::make_unique<DiffusionObjective>(*ema, diffusion_setting(run, stage, *codec));
  const features::StageParts parts = open_data(run, stage, *codec, encoder, result);
  models::TransformerWork work = config.work();
  if (encoder != nullptr) work.caption_tokens = mean_tokens(parts);
  result.facts = facts_of(stage, counts, work);
  nn::StateDict* state = result.state.get();
  result.initialize = [&run, &stage, model, state] {
    return initialize_transformer(run, stage, *model, *state);
  };
  result.draw = [&run, &stage, ema, codec, process = stage.info().process, texts = prompts.texts,
                 to_draw = prompts.to_draw](const std::function<bool()>& asked_to_stop) {
    return Drawn{sample::generate(*ema, *codec, {.condition = to_draw, .process = process}, run.device,
                                  sample_options(run, stage, asked_to_stop)),
                 texts};
  };
  return result;
}

}  // namespace pixart::train

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "initial_weights.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/convert/lora.h"
#include "pixart/convert/model_folder.h"
#include "pixart/features/batch_encoder.h"
#include "pixart/features/caption_encoder.h"
#include "pixart/features/damaged_features.h"
#include "pixart/features/extract.h"
#include "pixart/features/feature_reader.h"
#include "pixart/features/inputs.h"
#include "pixart/features/latent_codec.h"
#include "pixart/features/stage_images.h"
#include "pixart/features/stage_transformer.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/plan/flops.h"
#include "pixart/run/checkpoint_folder.h"
#include "pixart/run/trained_parameters.h"
#include "pixart/sample/generate.h"
#include "pixart/train/objectives.h"
#include "pixart/train/run_card.h"
#include "stage_model.h"
#include "stage_prompts.h"

namespace pixart::train {

NoiseFrom noise_from(const features::RunContext& run) {
  const bool exact = run.config.numerics == run::Numerics::kExact;
  return !exact && diffusion::has_kernels(run.device) ? NoiseFrom::kDevice : NoiseFrom::kHost;
}

namespace {

// Images drawn together: few enough that several ranks share the usual sixteen, enough to keep a GPU busy.
constexpr int64_t kDrawnTogether = 4;

// The encoders of a run, as its stages use them.
struct Encoders {
  std::shared_ptr<const features::LatentCodec> codec;
  std::shared_ptr<const features::CaptionEncoder> captions;  // null: the stage reads none
};

// What the steps of the stage encode.
features::BatchEncoder batch_encoder(const features::RunContext& run, const run::StageConfig& stage,
                                     const Encoders& encoders) {
  features::BatchEncoder result{.latent_dtype = run.config.features.latent_dtype,
                                .caption_dtype = run.config.features.caption_dtype};
  if (!stage.reads_stored_latents()) result.codec = encoders.codec;
  if (!stage.reads_stored_captions()) result.captions = encoders.captions;
  return result;
}

DiffusionSetting diffusion_setting(const features::RunContext& run, const run::StageConfig& stage,
                                   const Encoders& encoders) {
  return {.codec = encoders.codec.get(),
          .loss = diffusion::TrainingLoss(stage, run.device),
          .seed = run.stage_seed(stage),
          .draw = draws_by_sample(run.stage_seed(stage), stage, stage.batch_size, stage.condition_dropout,
                                  noise_from(run)),
          .device = run.device,
          .encode = batch_encoder(run, stage, encoders)};
}

models::Execution execution(const run::StageConfig& stage) {
  models::Execution result = features::execution_in(stage.precision);
  result.recompute_every = stage.activation_checkpointing;
  return result;
}

// The stage's feature sets and the rejected rows of each source.
struct OpenedData {
  features::FeatureReader reader;
  std::vector<data::Ledger> ledgers;
};

// Damaged weights of the text encoder are found now, not after hours of encoding images. The loader's threads need
// its tokenizer.
void load_if_needed(const features::RunContext& run, const run::StageConfig& stage,
                    const features::StageParts& parts, const features::CaptionEncoder* encoder) {
  if (encoder == nullptr) return;
  for (const auto& part : parts)
    if (!stage.reads_stored_captions() ||
        !data::has_feature_set(features::caption_set_folder(run.config, part.source->name)))
      encoder->load();
}

// Opens the part's feature sets, or what takes their place.
void open_part(const features::RunContext& run, const run::StageConfig& stage, const Encoders& encoders,
               features::StagePart& part) {
  const std::string& name = part.source->name;
  const run::StageConfig cut = stage.at(part.resolution);
  if (stage.reads_stored_latents())
    part.latents = std::make_shared<data::LatentSet>(
        features::latent_set(run.config, cut, name, *part.dataset, *encoders.codec, run.device));
  else if (cut.has_buckets())
    part.shapes = std::make_shared<features::ImageShapes>(
        features::image_shapes(run.config, cut, *part.source, *part.dataset));
  if (stage.reads_stored_captions())
    part.captions = std::make_shared<data::CaptionSet>(
        features::caption_set(run.config, name, *part.dataset, *encoders.captions));
}

std::shared_ptr<const features::StageImages> stage_images(const features::RunContext& run,
                                                          const run::StageConfig& stage,
                                                          const features::StageParts& parts,
                                                          const features::LatentCodec& codec) {
  if (stage.reads_stored_latents()) return nullptr;
  return std::make_shared<const features::StageImages>(
      parts, stage, codec.config(), run.stage_seed(stage),
      features::ImageMemoryPlace{.folder = run.folder.image_checksums(stage.name),
                                 .rank = run.ranks.rank(),
                                 .is_new = !run::has_begun(run.folder, stage.name)});
}

// That of the next part. A source has one, also if it comes at several resolutions.
std::shared_ptr<data::QuarantineFile> quarantine_file_of(
    const features::RunContext& run, const features::StageParts& parts,
    const std::vector<std::shared_ptr<data::QuarantineFile>>& earlier) {
  const auto& source = parts[earlier.size()].source;
  for (size_t i = 0; i < earlier.size(); ++i)
    if (parts[i].source == source) return earlier[i];
  return std::make_shared<data::QuarantineFile>(run.folder.quarantine(source->name));
}

OpenedData open_features(features::RunContext& run, const run::StageConfig& stage, const Encoders& encoders) {
  features::StageParts parts = run.parts(stage);
  std::vector<data::Ledger> ledgers;
  std::vector<std::shared_ptr<data::QuarantineFile>> quarantine_files;
  const auto* encoder = encoders.captions.get();
  load_if_needed(run, stage, parts, encoder);
  for (auto& part : parts) {
    open_part(run, stage, encoders, part);
    const std::string& name = part.source->name;
    quarantine_files.push_back(quarantine_file_of(run, parts, quarantine_files));
    const bool writes = run.ranks.rank() == 0, is_repeated = features::is_repeated(parts, ledgers.size());
    ledgers.push_back(
        features::ledger_of(part, writes && !is_repeated ? quarantine_files.back().get() : nullptr));
    if (writes && is_repeated) features::append_new(parts, ledgers, *quarantine_files.back());
    if (ledgers.back().accepted() < ledgers.back().listed)
      log::info("source {}: {}", name, data::describe(ledgers.back()));
  }
  auto damaged = std::make_shared<features::DamagedFeatures>(parts, ledgers, std::move(quarantine_files));
  auto images = stage_images(run, stage, parts, *encoders.codec);
  return {.reader = {.parts = std::move(parts),
                     .seed = run.stage_seed(stage),
                     .with_labels = encoder == nullptr,
                     .with_captions = encoder != nullptr,
                     .with_sizes = stage.has_micro_conditions(),
                     .mirror = stage.horizontal_flip,
                     .pinned = run.device.is_cuda(),
                     .max_tokens = encoder == nullptr ? 0 : encoder->max_tokens(),
                     .shapes = std::make_shared<data::TrainingShapes>(stage.shapes()),
                     .damaged = std::move(damaged),
                     .images = std::move(images),
                     .tokenizer = stage.reads_stored_captions() ? nullptr : encoders.captions},
          .ledgers = std::move(ledgers)};
}

// The mean length of some captions: cross-attention computes only with real tokens.
class MeanTokens {
 public:
  void add(const data::CaptionSet& captions) {
    const int64_t total = captions.num_distinct(), some = std::min(total, kMost);
    for (int64_t i = 0; i < some; ++i) add(captions.num_tokens(int32_t(i * total / some)));
  }
  void add(const data::Dataset& dataset, const features::CaptionEncoder& encoder) {
    const int64_t total = dataset.size(), some = std::min(total, kMost);
    for (int64_t i = 0; i < some; ++i)
      for (const int64_t length : encoder.tokenize({dataset.caption(i * total / some)}).lengths) add(length);
  }
  int64_t mean() const { return count_ == 0 ? 0 : (sum_ + count_ / 2) / count_; }

 private:
  static constexpr int64_t kMost = 1000;  // of a part
  void add(int64_t tokens) { sum_ += tokens, ++count_; }
  int64_t sum_ = 0, count_ = 0;
};

int64_t mean_tokens(const features::StageParts& parts, const features::CaptionEncoder& encoder) {
  MeanTokens tokens;
  for (const auto& part : parts)
    part.captions ? tokens.add(*part.captions) : tokens.add(*part.dataset, encoder);
  return tokens.mean();
}

// What a sample costs, at each of the stage's resolutions.
struct WorkOfSamples {
  std::vector<run::StepWork> at = {};
  std::vector<double> samples = {};  // of an epoch, about
};

WorkOfSamples work_of_samples(const features::RunContext& run, const run::StageConfig& stage,
                              const models::VaeConfig& vae, const models::ConditionSizes& sizes,
                              const run::ParameterCounts& counts, int64_t caption_tokens) {
  WorkOfSamples result;
  for (const auto& alone : stage.at_each_resolution()) {
    models::TransformerWork work = features::transformer_config(run.config, alone, vae, sizes).work();
    if (stage.info().reads_captions) work.caption_tokens = caption_tokens;
    result.at.push_back(
        {.tokens = work.tokens, .flops = plan::transformer_flops(work, 0, counts.trained_part()).training});
  }
  result.samples.resize(result.at.size());
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
                        .tokens_per_sample = work.at.front().tokens,
                        .flops_per_sample = work.at.front().flops,
                        .batch_size = stage.batch_size};
  if (work.at.size() == 1) return facts;
  double samples = 0, tokens = 0, flops = 0;
  std::vector<std::string> parts;
  for (size_t level = 0; level < work.at.size(); ++level) {
    samples += work.samples[level];
    tokens += work.samples[level] * double(work.at[level].tokens);
    flops += work.samples[level] * work.at[level].flops;
    parts.push_back(fmt::format("{} of {} pixels", with_thousands(int64_t(work.samples[level])),
                                stage.resolutions[level].side));
  }
  log::info("stage {}: an epoch has {} samples", stage.name, join(parts, ", "));
  facts.tokens_per_sample = int64_t(tokens / samples), facts.flops_per_sample = flops / samples;
  return facts;
}

// The work of a step, of which most or all samples have one resolution.
run::StepWork work_of_step(const data::SampleOrder& order, const data::TrainingShapes& shapes,
                           const WorkOfSamples& work, int64_t first, int64_t count) {
  run::StepWork sum;
  for (int64_t position = first; position < first + count; ++position) {
    const run::StepWork& one = work.at[shapes.level(order.bucket(order.row(position)))];
    sum.tokens += one.tokens, sum.flops += one.flops;
  }
  return sum;
}

// Adds to `result` what its samples cost.
void count_work(const run::StageConfig& stage, const run::ParameterCounts& counts,
                const features::StageParts& parts, WorkOfSamples work, StageModel& result) {
  const auto shapes = std::make_shared<const data::TrainingShapes>(stage.shapes());
  if (!stage.resolutions.empty()) count_samples(parts, *result.order, *shapes, work);
  result.facts = facts_of(stage, counts, work);
  if (stage.resolutions.empty()) return;
  result.work_of = [work, shapes, order = result.order, batch = stage.batch_size](int64_t step) {
    return work_of_step(*order, *shapes, work, step * batch, batch);
  };
}

HeldOut open_held_out(features::RunContext& run, const run::StageConfig& stage, const Encoders& encoders) {
  const auto& dataset = run.source(stage.validation.source);
  require_held_out_classes(run, stage);
  auto opened = open_features(run, stage.held_out(), encoders);
  auto rows =
      evenly_spread_rows(dataset.size(), opened.ledgers.front().unused_rows(), stage.validation.samples);
  if (rows.empty())
    throw UserError(fmt::format("stage {}: validation.source {} has no usable samples", stage.name,
                                stage.validation.source));
  return {.read = std::move(opened.reader), .rows = std::move(rows)};
}

features::StageParts open_data(features::RunContext& run, const run::StageConfig& stage,
                               const Encoders& encoders, StageModel& result) {
  auto opened = open_features(run, stage, encoders);
  result.excluded = std::make_shared<features::ExcludedSamples>(opened.reader.parts, stage.exclude);
  opened.reader.excluded = result.excluded->rows();
  auto order = features::make_order(opened.reader.parts, opened.ledgers, stage, run.stage_seed(stage),
                                    result.excluded->rows(), run.config.order_version());
  result.data = features::data_fingerprints(opened.reader.parts, opened.ledgers);
  for (size_t i = 0; i < opened.ledgers.size(); ++i)
    if (!features::is_repeated(opened.reader.parts, i))
      result.quarantined += int64_t(opened.ledgers[i].rejected.size());
  result.damaged = opened.reader.damaged;
  result.before_save = [damaged = result.damaged, images = opened.reader.images] {
    damaged->write_waiting();
    if (images) images->save_checksums();
  };
  const features::StageParts parts = opened.reader.parts;
  result.order = order;
  result.loader = make_loader(run, stage, parts, std::move(order), std::move(opened.reader));
  if (stage.validation.every > 0) result.held_out = open_held_out(run, stage, encoders);
  return parts;
}

// Writes the EMA adapters of the last checkpoint.
void export_lora(const features::RunContext& run, const run::StageConfig& stage) {
  const auto last = run::newest_good_checkpoint(run.folder.checkpoints(stage.name), "ema.safetensors");
  PIXART_CHECK(last, "stage {} ended without a checkpoint", stage.name);
  const auto opened = convert::open_and_identify(last->folder / "ema.safetensors");
  const auto folder = run.folder.lora(stage.name);
  create_folders(folder.parent_path());
  convert::write_lora(
      folder, opened.weights, opened.identity.architecture,
      card_of({.run = run.folder.root, .stage = stage.name, .step = stage.steps, .is_ema = true},
              run.config));
  log::info("stage {}: adapters for diffusers and PEFT in {}", stage.name, folder.string());
}

// Adds the stage's adapters to both states; the end of the stage also saves them separately.
run::ParameterCounts with_adapters(const features::RunContext& run, const run::StageConfig& stage,
                                   StageModel& result) {
  run::ParameterCounts counts{.model = result.state->num_parameters()};
  run::add_adapters(stage, *result.state);
  run::add_adapters(stage, *result.ema);
  if (const std::string frozen = run::choose_trained(stage, *result.state); !frozen.empty())
    log::info("stage {}: {}", stage.name, frozen);
  counts.trained = result.state->num_parameters();
  counts.has_adapters = stage.lora.rank > 0;
  if (stage.lora.rank > 0) convert::require_model_folder(run.folder.lora(stage.name));
  if (stage.lora.rank > 0) result.finish = [&run, &stage] { export_lora(run, stage); };
  return counts;
}

// Metrics keep the autoencoder: a preview would change them.
std::shared_ptr<const features::LatentCodec> grid_decoder(
    const features::RunContext& run, const run::StageConfig& stage,
    std::shared_ptr<const features::LatentCodec> codec) {
  if (!stage.samples.preview_decoder) return codec;
  return std::make_shared<features::LatentCodec>(
      features::load_preview_decoder(*stage.samples.preview_decoder, codec->config(), run.device));
}

Drawing::Draw draw_with(const features::RunContext& run, const run::StageConfig& stage,
                        std::shared_ptr<const models::Transformer> ema,
                        std::shared_ptr<const features::LatentCodec> codec, models::Condition to_draw) {
  sample::GenerateOptions options{stage.samples};
  options.seed = uint64_t(run.config.seed);
  return [=, device = run.device, process = stage.process()](int64_t first, int64_t count,
                                                             const std::function<bool()>& asked_to_stop) {
    sample::GenerateOptions some = options;
    some.first_index = first;
    some.asked_to_stop = asked_to_stop;
    const auto condition = models::rows_of(to_draw, first, count);
    sample::ToDraw what;
    what.condition = condition;
    what.process = process;
    return sample::generate(*ema, *codec, what, device, some);
  };
}

}  // namespace

StageModel make_diffusion_stage(features::RunContext& run, const run::StageConfig& stage) {
  const auto codec = std::make_shared<features::LatentCodec>(features::load_codec(run.config, run.device));
  const Prompts prompts = prompts_of(run, stage);
  const std::shared_ptr<const features::CaptionEncoder> text_encoder =
      stage.info().reads_captions ? run.caption_encoder() : nullptr;
  const Encoders encoders{codec, text_encoder};
  const auto config = features::transformer_config(run.config, stage, codec->config(), prompts.sizes);
  StageModel result;
  const nn::StateDictOptions options{.dtype = at::kFloat, .device = run.device};
  result.state = std::make_unique<nn::StateDict>(options);
  result.ema = std::make_unique<nn::StateDict>(options);
  const auto model = std::make_shared<models::Transformer>(
      models::Transformer(nn::Scope(*result.state), config).with(execution(stage)));
  const auto ema = std::make_shared<models::Transformer>(
      models::Transformer(nn::Scope(*result.ema), config).with(features::execution_in(stage.precision)));
  log::info("stage {}: {} of {} parameters", stage.name, config.kind_name(),
            with_thousands(result.state->num_parameters()));
  const auto counts = with_adapters(run, stage, result);

  result.codec = codec;
  result.objective = std::make_unique<DiffusionObjective>(*model, diffusion_setting(run, stage, encoders));
  result.ema_objective = std::make_unique<DiffusionObjective>(*ema, diffusion_setting(run, stage, encoders));
  const features::StageParts parts = open_data(run, stage, encoders, result);
  result.inputs = features::input_hashes(*codec, text_encoder.get());
  const int64_t caption_tokens = text_encoder ? mean_tokens(parts, *text_encoder) : 0;
  count_work(stage, counts, parts,
             work_of_samples(run, stage, codec->config(), prompts.sizes, counts, caption_tokens), result);
  nn::StateDict* state = result.state.get();
  result.initialize = [&run, &stage, model, state] {
    return initialize_transformer(run, stage, *model, *state);
  };
  result.drawing = {.captions = prompts.texts,
                    .group = kDrawnTogether,
                    .draw = draw_with(run, stage, ema, grid_decoder(run, stage, codec), prompts.to_draw)};
  if (stage.metrics.every > 0) result.metrics = std::make_unique<StageMetrics>(run, stage, ema, codec);
  return result;
}

}  // namespace pixart::train

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
#include "pixart/features/teacher.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/models/mup.h"
#include "pixart/plan/flops.h"
#include "pixart/run/checkpoint_folder.h"
#include "pixart/run/trained_parameters.h"
#include "pixart/sample/generate.h"
#include "pixart/train/objectives.h"
#include "pixart/train/run_card.h"
#include "stage_control.h"
#include "stage_model.h"
#include "stage_prompts.h"
#include "stage_work.h"

namespace pixart::train {

NoiseFrom noise_from(const features::RunContext& run) {
  const bool exact = run.config.numerics == run::Numerics::kExact;
  return !exact && diffusion::has_kernels(run.device) ? NoiseFrom::kDevice : NoiseFrom::kHost;
}

namespace {

// Images drawn together: few enough that several ranks share the usual sixteen, enough to keep a GPU busy.
constexpr int64_t kDrawnTogether = 4;

std::shared_ptr<const features::Teacher> teacher_of(const features::RunContext& run,
                                                    const run::StageConfig& stage) {
  if (!stage.alignment.is_on()) return nullptr;
  return std::make_shared<const features::Teacher>(*stage.alignment.teacher, run.device);
}

// The encoders of a run, as its stages use them.
struct Encoders {
  std::shared_ptr<const features::LatentCodec> codec;
  std::shared_ptr<const features::CaptionEncoder> captions;  // null: the stage reads none
  std::shared_ptr<const features::Teacher> teacher = {};     // null: the stage has none
};

// What the steps of the stage encode.
features::BatchEncoder batch_encoder(const features::RunContext& run, const run::StageConfig& stage,
                                     const Encoders& encoders) {
  features::BatchEncoder result{.latent_dtype = run.config.features.latent_dtype,
                                .caption_dtype = run.config.features.caption_dtype};
  if (!stage.reads_stored_latents()) result.codec = encoders.codec, result.teacher = encoders.teacher;
  result.alignment = stage.alignment;
  if (!stage.reads_stored_captions()) result.captions = encoders.captions;
  return result;
}

// The model that a distilled stage starts from, frozen. It is read anew at each start of the program.
std::shared_ptr<const models::Transformer> load_teacher(const features::RunContext& run,
                                                        const run::StageConfig& stage,
                                                        const models::TransformerConfig& config) {
  nn::StateDict state({.dtype = at::kFloat, .device = run.device});
  const auto teacher = std::make_shared<models::Transformer>(
      models::Transformer(nn::Scope(state), config).with(features::execution_in(stage.precision)));
  initialize_transformer(run, stage, *teacher, state);
  return teacher;
}

// What a distilled stage learns from; `ema`: the model with the EMA of the trained weights.
std::optional<Distillation> distillation(const features::RunContext& run, const run::StageConfig& stage,
                                         std::shared_ptr<const models::Transformer> ema) {
  if (!stage.info().distills) return std::nullopt;
  constexpr double kMuchDecay = 0.99;
  if (stage.ema_decay > kMuchDecay)
    log::warning(
        "stage {}: the EMA is the target of objective {}; with ema_decay {} it follows slowly (published: 0.95)",
        stage.name, stage.objective, stage.ema_decay);
  const auto config = ema->config();
  return Distillation{
      .teacher = load_teacher(run, stage, config),
      .target = std::move(ema),
      .loss = {diffusion::make_noise_schedule(stage.process()), stage.consistency, run.device},
      .held_out_guidance = stage.consistency.mean_guidance()};
}

DrawInputs draws_of(const features::RunContext& run, const run::StageConfig& stage) {
  const uint64_t seed = run.stage_seed(stage);
  if (stage.info().distills) return draws_for_consistency(seed, stage.consistency, stage.condition_dropout);
  return draws_by_sample(seed, stage, stage.batch_size, stage.condition_dropout, noise_from(run));
}

DiffusionSetting diffusion_setting(features::RunContext& run, const run::StageConfig& stage,
                                   const Encoders& encoders, const models::TransformerShape& shape) {
  const auto parts = run.parts(stage);
  const uint64_t seed = run.stage_seed(stage);
  const run::SkippedTokens skipped = stage.skipped_tokens(shape.depth);
  return {.codec = encoders.codec.get(),
          .loss = diffusion::TrainingLoss(stage, run.device),
          .seed = seed,
          .draw = with_kept_tokens(draws_of(run, stage), seed, skipped, shape.patch_size),
          .device = run.device,
          .encode = batch_encoder(run, stage, encoders),
          .weigh = weights_by_part(parts, features::loss_weights(parts, stage)),
          .skipped = skipped};
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
  const auto set_of = [&](const run::StageConfig& encoded) {
    return std::make_shared<data::LatentSet>(
        features::latent_set(run.config, encoded, name, *part.dataset, *encoders.codec, run.device));
  };
  if (stage.control.is_on()) part.control = set_of(cut.for_control());
  if (stage.reads_stored_latents())
    part.latents = set_of(cut);
  else if (cut.has_buckets())
    part.shapes = std::make_shared<features::ImageShapes>(
        features::image_shapes(run.config, cut, *part.source, *part.dataset));
  if (stage.reads_stored_teacher())
    part.teacher = std::make_shared<data::LatentSet>(
        features::teacher_set(run.config, cut, name, *part.dataset, *encoders.teacher));
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
                     .alignment = stage.alignment,
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
  sample::GenerateOptions options{stage.sampler()};
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
  Prompts prompts = prompts_of(run, stage);
  const std::shared_ptr<const features::CaptionEncoder> text_encoder =
      stage.info().reads_captions ? run.caption_encoder() : nullptr;
  const Encoders encoders{codec, text_encoder, teacher_of(run, stage)};
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
  if (const auto base = features::width_base(run.config.transformer); base && stage.lora.rank == 0)
    result.rates = models::learning_rate_factors(config, *base);

  result.codec = codec;
  DiffusionSetting setting = diffusion_setting(run, stage, encoders, config.shape());
  setting.distillation = distillation(run, stage, ema);
  result.ema_objective = std::make_unique<DiffusionObjective>(*ema, setting);
  features::add_projection(stage, config.shape().hidden_size, *result.ema);
  setting.alignment = {
      .config = stage.alignment,
      .projection = features::add_projection(stage, config.shape().hidden_size, *result.state),
      .dtype = features::execution_in(stage.precision).dtype};
  result.objective = std::make_unique<DiffusionObjective>(*model, setting);
  const features::StageParts parts = open_data(run, stage, encoders, result);
  prompts.to_draw.control = control_to_draw(parts.front(), *codec, prompts, config.shape().input_size);
  result.inputs = features::input_hashes(*codec, text_encoder.get());
  if (encoders.teacher) result.inputs["teacher"] = encoders.teacher->inputs().front().value;
  result.inputs.merge(teacher_hashes(run, stage));
  const int64_t caption_tokens = text_encoder ? mean_tokens(parts, *text_encoder) : 0;
  count_work(stage, counts, parts,
             works_of_samples(run, stage, {codec->config(), prompts.sizes, caption_tokens}), result);
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

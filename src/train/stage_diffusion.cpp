#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/convert/reparameterize.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/train/checkpoint.h"
#include "pixart/train/generate.h"
#include "pixart/train/objectives.h"
#include "stage_model.h"

namespace pixart::train {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kTrainSteps = 1000;
constexpr size_t kMostPrompts = 16;
constexpr double kLargestProofDifference = 1e-4;

GenerateOptions sample_options(const RunContext& run, const StageConfig& stage) {
  const auto& samples = stage.samples;
  return {.sampler = samples.sampler,
          .num_steps = samples.num_steps,
          .guidance = samples.guidance,
          .seed = uint64_t(run.config.seed)};
}

DiffusionData diffusion_data(RunContext& run, const StageConfig& stage, const LatentCodec& codec) {
  return {.latents = latent_features(run.folder, run.source(stage.source), stage.source, stage.resolution,
                                     codec, run.device),
          .codec = &codec,
          .tables = diffusion::LossTables(diffusion::make_noise_schedule("linear", kTrainSteps), run.device),
          .seed = run.stage_seed(stage),
          .condition_dropout = stage.condition_dropout,
          .device = run.device};
}

// Captions to draw when the config names none: distinct ones, evenly spread over the source.
std::vector<std::string> some_captions(const data::Dataset& dataset) {
  std::unordered_set<std::string> seen;
  std::vector<std::string> result;
  const int64_t stride = std::max<int64_t>(1, dataset.size() / int64_t(4 * kMostPrompts));
  for (int64_t row = 0; row < dataset.size() && result.size() < kMostPrompts; row += stride)
    if (seen.insert(dataset.caption(row)).second) result.push_back(dataset.caption(row));
  return result;
}

std::vector<int64_t> labels_of(const data::Dataset& dataset, const StageConfig& stage) {
  std::vector<int64_t> labels;
  for (int64_t row = 0; row < dataset.size(); ++row) labels.push_back(dataset.label(row));
  if (dataset.class_names().empty()) {
    throw UserError(fmt::format(
        "stage {}: source {} has no classes; a class_conditional stage needs class_folder, idx or scenes.",
        stage.name, stage.source));
  }
  return labels;
}

std::vector<int64_t> classes_to_draw(const data::Dataset& dataset, const StageConfig& stage) {
  const auto names = dataset.class_names();
  std::vector<int64_t> classes;
  for (const auto& prompt : stage.samples.prompts) {
    const auto found = std::find(names.begin(), names.end(), prompt);
    if (found == names.end()) {
      throw UserError(fmt::format("stage {}: samples.prompts: '{}' is no class of source {}; classes: {}.{}",
                                  stage.name, prompt, stage.source, join(names, ", "),
                                  did_you_mean(prompt, names)));
    }
    classes.push_back(found - names.begin());
  }
  if (classes.empty())
    for (size_t i = 0; i < std::min(names.size(), kMostPrompts); ++i) classes.push_back(int64_t(i));
  return classes;
}

models::TransformerInit transformer_init(const RunContext& run, const StageConfig& stage) {
  return {.seed = run.stage_seed(stage), .embedder_std = stage.init.embedder_std};
}

}  // namespace

StageModel make_class_stage(RunContext& run, const StageConfig& stage) {
  auto& dataset = run.source(stage.source);
  const auto codec = std::make_shared<LatentCodec>(load_codec(run.config, run.device));
  auto labels = labels_of(dataset, stage);
  const auto config = dit_config(run.config, stage, codec->config(), int64_t(dataset.class_names().size()));
  StageModel result;
  const nn::StateDictOptions options{.dtype = at::kFloat, .device = run.device};
  result.state = std::make_unique<nn::StateDict>(options);
  result.average = std::make_unique<nn::StateDict>(options);
  const auto model = std::make_shared<models::Dit>(nn::Scope(*result.state), config);
  const auto average = std::make_shared<models::Dit>(nn::Scope(*result.average), config);
  log::info("stage {}: DiT of {} parameters, {} classes", stage.name,
            with_thousands(result.state->num_parameters()), config.num_classes);

  result.objective = std::make_unique<ClassConditionalObjective>(*model, diffusion_data(run, stage, *codec),
                                                                 std::move(labels));
  result.metadata = {{"architecture", "DiT"}};
  nn::StateDict* state = result.state.get();
  result.initialize = [&run, &stage, model, state, config] {
    models::initialize(*state, config, transformer_init(run, stage));
    if (stage.init.how == "copy") nn::load_state(*state, initial_weights(run, stage), stage.init.from);
  };
  const auto classes = classes_to_draw(dataset, stage);
  result.draw = [&run, &stage, average, codec, classes, names = dataset.class_names()] {
    Pictures pictures{generate(*average, *codec, classes, run.device, sample_options(run, stage)), {}};
    for (int64_t label : classes) pictures.captions.push_back(names[size_t(label)]);
    return pictures;
  };
  return result;
}

namespace {

// Everything but the position table, which belongs to the new grid, and what a micro-conditioned model adds.
void copy_text_model(nn::StateDict& state, std::map<std::string, at::Tensor> weights,
                     const std::string& from) {
  weights.erase("pos_embed");
  nn::load_state(
      state, weights, from,
      {.may_be_missing = {"pos_embed", "csize_embedder.*", "ar_embedder.*", "y_embedder.y_embedding"},
       .may_be_unexpected = {}});
}

void log_plan(const std::vector<convert::PlannedTensor>& plan, double difference, const std::string& stage) {
  std::map<convert::Disposition, int> counts;
  for (const auto& tensor : plan) ++counts[tensor.disposition];
  using enum convert::Disposition;
  log::info(
      "stage {}: re-parameterised from the class-conditional model: {} tensors copied, {} derived, {} new, "
      "{} dropped; outputs at "
      "t = 500 differ by at most {:.1e}",
      stage, counts[kCopied], counts[kDerived], counts[kNewInit], counts[kDropped], difference);
}

void reparameterize_stage(RunContext& run, const StageConfig& stage, const models::PixArt& model,
                          nn::StateDict& state) {
  const auto& config = model.config();
  const auto weights = initial_weights(run, stage);
  for (const char* name : {"y_embedder.embedding_table.weight", "pos_embed"}) {
    if (!weights.count(name))
      throw UserError(fmt::format("{}: no tensor {}; is it a DiT?", stage.init.from, name));
  }
  models::DitConfig dit{
      .input_size =
          int64_t(std::llround(std::sqrt(double(weights.at("pos_embed").size(1))))) * config.patch_size,
      .patch_size = config.patch_size,
      .in_channels = config.in_channels,
      .hidden_size = config.hidden_size,
      .depth = config.depth,
      .num_heads = config.num_heads,
      .mlp_ratio = config.mlp_ratio,
      .num_classes = weights.at("y_embedder.embedding_table.weight").size(0) - 1,
      .learn_sigma = config.learn_sigma};
  nn::StateDict source({.dtype = at::kFloat, .device = run.device});
  const models::Dit dit_model(nn::Scope(source), dit);
  nn::load_state(source, weights, stage.init.from);
  const convert::ReparameterizeOptions options{.shared_modulation = stage.init.shared_modulation,
                                               .init = transformer_init(run, stage)};
  const auto plan = convert::reparameterize(source, dit, state, config, options);
  at::NoGradGuard no_grad;
  const double difference = convert::prove_reparameterization(dit_model, model);
  log_plan(plan, difference, stage.name);
  if (!config.multi_scale && difference > kLargestProofDifference) {
    throw InternalError(
        fmt::format("the re-parameterised model differs from the DiT by {} at t = 500", difference));
  }
}

}  // namespace

StageModel make_text_stage(RunContext& run, const StageConfig& stage) {
  auto& dataset = run.source(stage.source);
  const auto codec = std::make_shared<LatentCodec>(load_codec(run.config, run.device));
  const auto prompts = stage.samples.prompts.empty() ? some_captions(dataset) : stage.samples.prompts;
  auto encoder = load_caption_encoder(run.config, run.device, run.all_captions());
  const auto prompt_text = encoder.encode(prompts);
  const auto config = pixart_config(run.config, stage, codec->config(), encoder.channels());
  StageModel result;
  const nn::StateDictOptions options{.dtype = at::kFloat, .device = run.device};
  result.state = std::make_unique<nn::StateDict>(options);
  result.average = std::make_unique<nn::StateDict>(options);
  const auto model = std::make_shared<models::PixArt>(nn::Scope(*result.state), config);
  const auto average = std::make_shared<models::PixArt>(nn::Scope(*result.average), config);
  log::info("stage {}: PixArt of {} parameters", stage.name, with_thousands(result.state->num_parameters()));

  auto captions = caption_features(run.folder, dataset, stage.source, encoder);
  result.objective = std::make_unique<TextConditionalObjective>(*model, diffusion_data(run, stage, *codec),
                                                                std::move(captions));
  result.metadata = {{"architecture", config.multi_scale ? "PixArtMS" : "PixArt"}};
  nn::StateDict* state = result.state.get();
  result.initialize = [&run, &stage, model, state, config] {
    if (stage.init.how == "reparameterize") return reparameterize_stage(run, stage, *model, *state);
    models::initialize(*state, config, transformer_init(run, stage));
    if (stage.init.how == "copy") copy_text_model(*state, initial_weights(run, stage), stage.init.from);
  };
  result.draw = [&run, &stage, average, codec, prompts, prompt_text, side = config.input_size] {
    return Pictures{generate(*average, *codec, prompt_text, side, run.device, sample_options(run, stage)),
                    prompts};
  };
  return result;
}

std::map<std::string, at::Tensor> initial_weights(const RunContext& run, const StageConfig& stage) {
  const bool is_stage = std::any_of(run.config.stages.begin(), run.config.stages.end(),
                                    [&](const auto& s) { return s.name == stage.init.from; });
  if (!is_stage) return formats::load_weights(stage.init.from).tensors;
  const auto checkpoint = newest_good_checkpoint(run.folder.checkpoints(stage.init.from));
  if (!checkpoint || checkpoint->step != run.config.stage(stage.init.from).steps) {
    throw UserError(
        fmt::format("stage {} starts from stage {}, which is not finished. Train that one first (pixart "
                    "train without --stage runs all).",
                    stage.name, stage.init.from));
  }
  return formats::load_safetensors(checkpoint->folder / "ema.safetensors").tensors;
}

}  // namespace pixart::train

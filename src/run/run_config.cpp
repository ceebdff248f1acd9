#include "pixart/run/run_config.h"

#include <algorithm>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/config/config.h"
#include "pixart/data/aspect_bucket.h"
#include "pixart/diffusion/samplers.h"
#include "pixart/models/transformer_shape.h"

namespace pixart::run {

namespace {

template <class Enum>
std::vector<std::string> words_of(const std::vector<Enum>& values) {
  std::vector<std::string> words;
  for (const Enum value : values) words.push_back(word_of(value));
  return words;
}

bool is_file_name(const std::string& name) {
  return !name.empty() &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
             std::string::npos;
}

template <class Named>
void check_names(const std::vector<Named>& items, const char* what, std::vector<std::string>& problems) {
  std::set<std::string> seen;
  for (const auto& item : items) {
    if (!is_file_name(item.name))
      problems.push_back(
          fmt::format("{} name '{}' may contain only letters, digits, '_' and '-'", what, item.name));
    if (!seen.insert(item.name).second)
      problems.push_back(fmt::format("{} name '{}' is used twice", what, item.name));
  }
}

}  // namespace

void AutoencoderConfig::validate(std::vector<std::string>& problems) const {
  if (!path) size.validate(problems);
}

void TextEncoderConfig::validate(std::vector<std::string>& problems) const {
  if (path && tokenizer)
    problems.push_back("tokenizer has no effect with path, whose folder has one; remove one of the two");
  if (!path && size.d_model < size.num_heads)
    problems.push_back(
        fmt::format("d_model {} leaves no channel for each of num_heads {}", size.d_model, size.num_heads));
}

void TransformerSizeConfig::validate(std::vector<std::string>& problems) const {
  const bool any_size = patch_size || hidden_size || depth || num_heads,
             all_sizes = patch_size && hidden_size && depth && num_heads;
  if (preset && any_size)
    problems.push_back(
        "preset and sizes exclude each other: keep preset, or patch_size, hidden_size, depth and num_heads");
  if (!preset && any_size && !all_sizes)
    problems.push_back("without preset all of patch_size, hidden_size, depth and num_heads are needed");
  const auto known = models::transformer_preset_names();
  if (preset && !contains(known, *preset)) problems.push_back(unknown_name("preset", *preset, known));
  if (all_sizes && *hidden_size % *num_heads != 0)
    problems.push_back(
        fmt::format("hidden_size {} is not a multiple of num_heads {}", *hidden_size, *num_heads));
  if (all_sizes && double(*hidden_size) * mlp_ratio < 1)
    problems.push_back(
        fmt::format("mlp_ratio {} leaves no channel of hidden_size {}", mlp_ratio, *hidden_size));
  if (all_sizes && *hidden_size % 4 != 0)
    problems.push_back(fmt::format("hidden_size {} is not a multiple of 4 (position table)", *hidden_size));
}

std::optional<int64_t> TransformerSizeConfig::num_blocks() const {
  return preset ? models::transformer_preset(*preset).depth : depth;
}

void InitConfig::validate(std::vector<std::string>& problems) const {
  if (how == InitHow::kRandom && !from.empty())
    problems.push_back("from has no effect with how: random; remove it, or use copy or reparameterize");
  if (how != InitHow::kRandom && from.empty())
    problems.push_back("how: " + word_of(how) +
                       " needs from: the name of an earlier stage, or a weight file or folder");
  if (how != InitHow::kReparameterize && shared_modulation != "mean")
    problems.push_back("shared_modulation has no effect without how: reparameterize");
}

namespace {

std::vector<std::string> objectives_with(const std::string& key) {
  std::vector<std::string> names;
  for (const auto& row : objective_table())
    if (contains(row.keys, key)) names.push_back(row.name);
  return names;
}

// Keys that differ from their default although they have no effect with this objective.
std::vector<std::string> keys_without_effect(const StageConfig& stage) {
  std::vector<std::string> result;
  for (const auto& value : config::values(stage)) {
    const std::string key = value.path.substr(0, value.path.find('.'));  // a section counts as one key
    const bool is_for_some = !objectives_with(key).empty();
    if (is_for_some && !value.is_default && !contains(stage.info().keys, key) && !contains(result, key))
      result.push_back(key);
  }
  return result;
}

// The reader refuses unknown names.
void add_sampler_problem(const std::string& key, const std::string& sampler, diffusion::Prediction prediction,
                         std::vector<std::string>& problems) {
  if (!contains(diffusion::sampler_names(), sampler)) return;
  const auto problem = diffusion::sampler_problem(sampler, prediction);
  if (!problem.empty()) problems.push_back(key + ": " + problem);
}

// Where the prompts of metrics come from.
void add_prompt_problems(const ObjectiveInfo& objective, const MetricsConfig& metrics,
                         std::vector<std::string>& problems) {
  const bool is_named = !metrics.suite.empty() || !metrics.source.empty();
  if (objective.reads_captions && metrics.suite.empty() == metrics.source.empty())
    problems.push_back(is_named ? "metrics.suite and metrics.source exclude each other"
                                : "metrics needs prompts: suite, or a source of held-out captions");
  if (!objective.reads_captions && is_named)
    problems.push_back(
        "metrics.suite and metrics.source have no effect with an objective that draws from classes");
  if (!objective.reads_captions && metrics.reads_prompts())
    problems.push_back(
        "metrics.scores: clip and pickscore compare images with captions, which this objective "
        "does not read");
}

}  // namespace

void StageConfig::validate(std::vector<std::string>& problems) const {
  if (micro_batch_size > 0 && batch_size % micro_batch_size != 0)
    problems.push_back(
        fmt::format("batch_size {} is not a multiple of micro_batch_size {}", batch_size, micro_batch_size));
  if (info().trains_autoencoder() && samples.preview_decoder)
    problems.push_back(
        "samples.preview_decoder has no effect with an objective that shows its own reconstructions");
  const auto idle = keys_without_effect(*this);
  for (const auto& key : idle)
    problems.push_back(fmt::format("{} has no effect with objective {}; it is a key of {}", key, objective,
                                   join(objectives_with(key), " and ")));
  if (!info().trains_autoencoder()) {
    DiffusionConfig::validate(problems);
    add_sampler_problem("samples.sampler", samples.sampler, prediction, problems);
    if (metrics.sampler) add_sampler_problem("metrics.sampler", *metrics.sampler, prediction, problems);
    if (metrics.every > 0 && !contains(idle, std::string("metrics")))
      add_prompt_problems(info(), metrics, problems);
  }
  if (!info().reads_captions && encode.captions == Encoding::kOnTheFly &&
      !contains(idle, std::string("encode")))
    problems.push_back("encode.captions has no effect with objective " + objective +
                       ", which reads no captions");
  const bool with_lora = lora.rank > 0 && !contains(idle, std::string("lora"));
  if (!contains(info().init, init.how))
    problems.push_back(fmt::format("init.how: {} is not possible with objective {}; possible: {}",
                                   word_of(init.how), objective, join(words_of(info().init), ", ")));
  if (init.how == InitHow::kReparameterize && kv_compression.is_on())
    problems.push_back(
        "kv_compression changes what the re-parameterised model computes: train a stage without it, and copy "
        "from that stage");
  if (source.empty() == mix.empty())
    problems.push_back(source.empty() ? "source is missing: the name of a data source (or mix, for several)"
                                      : "source and mix exclude each other");
  if (aspect_buckets && !data::has_aspect_buckets(int(resolution)))
    problems.push_back(fmt::format("aspect_buckets exist for the resolutions {}, not for {}",
                                   data::aspect_bucket_resolutions(), resolution));
  if (aspect_buckets && !multi_scale)
    problems.push_back("aspect_buckets needs multi_scale: true (PixArt-MS takes any shape)");
  if (has_micro_conditions() && !multi_scale)
    problems.push_back("micro_conditions needs multi_scale: true (only PixArt-MS has them)");
  if (with_lora) {
    if (init.how != InitHow::kCopy)
      problems.push_back("lora adapts trained weights: init.how must be copy, not " + word_of(init.how));
    if (!frozen.empty())
      problems.push_back(
          "frozen has no effect with lora, which freezes everything except the adapters; choose adapters "
          "with lora.targets");
  }
}

void EncodeConfig::validate(std::vector<std::string>& problems) const {
  if (random_crop && latents == Encoding::kStored)
    problems.push_back(
        "random_crop needs latents: on_the_fly (stored latents are of one crop of each image)");
}

void BadStepConfig::validate(std::vector<std::string>& problems) const {
  if (spike_factor > 0 && spike_factor <= 1)
    problems.push_back(fmt::format(
        "spike_factor {} calls every other step bad; it must be more than 1, for example 10", spike_factor));
  if (spike_factor > 0 && !roll_back) problems.push_back("spike_factor has no effect with roll_back: false");
}

void ValidationConfig::validate(std::vector<std::string>& problems) const {
  if (every > 0 && source.empty())
    problems.push_back("validation.source is missing: a data source of held-out samples");
  if (every == 0 && !source.empty()) problems.push_back("validation.source has no effect with every: 0");
}

void MetricsConfig::validate(std::vector<std::string>& problems) const {
  if (every == 0) {
    if (!scores.empty()) problems.push_back("scores has no effect with every: 0");
    return;
  }
  if (scores.empty())
    problems.push_back("scores is missing: one or more of " + join(score::drawn_score_names(), ", "));
  if (wants(score::Metric::kPrecisionRecall) && images < least_images())
    problems.push_back(
        fmt::format("images is {}; precision-recall needs at least {}", images, least_images()));
  DrawnScoresConfig::validate(problems);
}

diffusion::SamplerConfig StageConfig::metrics_sampler() const {
  return {.sampler = metrics.sampler.value_or(samples.sampler),
          .num_steps = metrics.num_steps.value_or(samples.num_steps),
          .guidance = metrics.guidance.value_or(samples.guidance)};
}

StageConfig StageConfig::held_out() const {
  StageConfig result = *this;
  result.source = validation.source;
  result.mix.clear();
  result.horizontal_flip = false;
  result.encode = {};
  return result;
}

std::vector<MixConfig> StageConfig::parts() const {
  if (!mix.empty()) return mix;
  return {{.source = source, .passes = 1}};
}

namespace {

// What does not fit the model's size.
void add_transformer_problems(const RunConfig& run, const StageConfig& stage,
                              std::vector<std::string>& problems) {
  const TransformerSizeConfig& size = run.transformer;
  if (stage.has_micro_conditions() && size.hidden_size && *size.hidden_size % 3 != 0)
    problems.push_back(fmt::format(
        "stage {}: micro_conditions need a hidden_size that is a multiple of 3, not {}; choose another width, "
        "or set micro_conditions: false",
        stage.name, *size.hidden_size));
  if (const auto depth = size.num_blocks())
    for (const auto& problem : stage.kv_compression.problems(*depth))
      problems.push_back(fmt::format("stage {}: kv_compression: {}", stage.name, problem));
}

// Sources of samples and captions that the stage must not train on.
void add_held_out_problems(const StageConfig& stage, const std::vector<std::string>& used,
                           const std::vector<std::string>& source_names, std::vector<std::string>& problems) {
  for (const auto& [key, source] : {std::pair{"validation.source", stage.validation.source},
                                    std::pair{"metrics.source", stage.metrics.source}}) {
    if (!source.empty() && !contains(source_names, source))
      problems.push_back(
          fmt::format("stage {}: {}: {}", stage.name, key, unknown_name("source", source, source_names)));
    if (contains(used, source))
      problems.push_back(fmt::format("stage {}: {} {} is also trained on; use a source that is not",
                                     stage.name, key, source));
  }
}

}  // namespace

void RunConfig::validate(std::vector<std::string>& problems) const {
  if (stages.empty()) problems.push_back("stages is empty: nothing to do");
  check_names(stages, "stage", problems);
  check_names(sources, "source", problems);
  const auto source_names = names_of(sources);
  std::vector<std::string> earlier;
  for (const auto& stage : stages) {
    std::vector<std::string> used;
    for (const auto& part : stage.parts()) {
      if (!part.source.empty() && !contains(source_names, part.source))
        problems.push_back(
            fmt::format("stage {}: {}", stage.name, unknown_name("source", part.source, source_names)));
      if (contains(used, part.source))
        problems.push_back(fmt::format("stage {}: mix names source {} twice", stage.name, part.source));
      used.push_back(part.source);
    }
    add_held_out_problems(stage, used, source_names, problems);
    if (stage.info().trains_autoencoder() && autoencoder.path)
      problems.push_back(
          fmt::format("stage {}: autoencoder.path names a trained autoencoder, so this stage has no effect; "
                      "remove one of the two",
                      stage.name));
    if (!stage.info().trains_autoencoder() && !transformer.preset && !transformer.hidden_size)
      problems.push_back(fmt::format("stage {}: transformer needs a preset or sizes", stage.name));
    if (stage.init.how == InitHow::kReparameterize && contains(earlier, stage.init.from) &&
        !this->stage(stage.init.from).info().reads_labels)
      problems.push_back(fmt::format("stage {}: init.from must be a class-conditional stage, not {} ({})",
                                     stage.name, stage.init.from, this->stage(stage.init.from).objective));
    if (evaluation && stage.info().reads_captions)
      add_sampler_problem(fmt::format("stage {}: evaluation.sampler", stage.name), evaluation->sampler,
                          stage.prediction, problems);
    add_transformer_problems(*this, stage, problems);
    earlier.push_back(stage.name);
  }
}

const StageConfig& RunConfig::stage(const std::string& name) const {
  return row_named(stages, name, "stage");
}
const data::SourceConfig& RunConfig::source(const std::string& name) const {
  return row_named(sources, name, "source");
}

RunConfig read_run_config(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  auto config = config::read_file<RunConfig>(path, overrides);
  for (auto& stage : config.stages) stage.optimizer = optim::resolved(std::move(stage.optimizer));
  return config;
}

}  // namespace pixart::run

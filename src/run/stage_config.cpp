// What a stage's keys mean, and which of them fit each other.
#include <algorithm>
#include <set>

#include "pixart/base/error.h"
#include "pixart/config/config.h"
#include "pixart/data/aspect_bucket.h"
#include "pixart/diffusion/samplers.h"
#include "pixart/run/run_config.h"
#include "sampler_problem.h"

namespace pixart::run {

void InitConfig::validate(std::vector<std::string>& problems) const {
  if (how == InitHow::kRandom && !from.empty())
    problems.push_back("from has no effect with how: random; remove it, or use copy or reparameterize");
  if (how != InitHow::kRandom && from.empty())
    problems.push_back("how: " + word_of(how) +
                       " needs from: the name of an earlier stage, or a weight file or folder");
  if (how != InitHow::kReparameterize && shared_modulation != "mean")
    problems.push_back("shared_modulation has no effect without how: reparameterize");
}

void add_sampler_problem(const std::string& key, const std::string& sampler, diffusion::Prediction prediction,
                         std::vector<std::string>& problems) {
  if (!contains(diffusion::sampler_names(), sampler)) return;
  const auto problem = diffusion::sampler_problem(sampler, prediction);
  if (!problem.empty()) problems.push_back(key + ": " + problem);
}

namespace {

template <class Enum>
std::vector<std::string> words_of(const std::vector<Enum>& values) {
  std::vector<std::string> words;
  for (const Enum value : values) words.push_back(word_of(value));
  return words;
}

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

// Keys of `alignment` without a teacher. With a weight of 0 they are allowed: a user turns the method off in this way, to
// compare, as with a rate of 0 of `routing` and `masking`.
void add_alignment_problems(const StageConfig& stage, const std::vector<std::string>& idle,
                            std::vector<std::string>& problems) {
  if (stage.alignment.teacher || stage.alignment.weight == 0 || contains(idle, std::string("alignment")))
    return;
  for (const auto& value : config::values(stage))
    if (value.path.starts_with("alignment.") && !value.is_default)
      problems.push_back(value.path +
                         " has no effect without alignment.teacher; set it, or remove alignment");
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

void add_prior_problems(const StageConfig& stage, std::vector<std::string>& problems) {
  const auto is_prior = [](const MixConfig& part) { return part.prior_weight.has_value(); };
  if (std::none_of(stage.mix.begin(), stage.mix.end(), is_prior)) return;
  if (stage.info().trains_autoencoder())
    problems.push_back("mix[].prior_weight has no effect with objective " + stage.objective);
  if (std::all_of(stage.mix.begin(), stage.mix.end(), is_prior))
    problems.push_back(
        "every source of mix has a prior_weight; the images of the instance need one without it");
}

void add_control_problems(const StageConfig& stage, std::vector<std::string>& problems) {
  if (!stage.control.is_on()) {
    if (stage.control.blocks != ControlConfig().blocks)
      problems.push_back("control.blocks has no effect without control.condition");
    return;
  }
  if (stage.init.how != InitHow::kCopy)
    problems.push_back("control trains copies of trained blocks: init.how must be copy, not " +
                       word_of(stage.init.how));
  if (stage.lora.rank > 0)
    problems.push_back(
        "lora has no place in a stage with control, which trains the copied blocks alone: merge adapters into the "
        "weights of init.from first, or train them in a stage without control");
  if (stage.encode.latents == Encoding::kOnTheFly)
    problems.push_back(
        "control needs encode.latents: stored, because the latents of the control images are computed once");
  if (stage.routing.rate > 0 || stage.masking.rate > 0 || stage.alignment.is_on())
    problems.push_back(
        "routing, masking and alignment have no place in a stage with control, whose blocks see all tokens");
  if (stage.metrics.every > 0)
    problems.push_back("metrics has no effect with control: prompts alone have no control images");
}

void add_mix_problems(const StageConfig& stage, const std::vector<std::string>& sides,
                      std::vector<std::string>& problems) {
  for (const auto& part : stage.mix)
    if (part.resolution && !contains(sides, std::to_string(*part.resolution)))
      problems.push_back(fmt::format("mix: resolution {} of source {} is not one of resolutions ({})",
                                     *part.resolution, part.source, join(sides, ", ")));
}

void add_resolution_problems(const StageConfig& stage, std::vector<std::string>& problems) {
  const auto& all = stage.resolutions;
  std::vector<std::string> sides;
  for (const auto& one : all) sides.push_back(std::to_string(one.side));
  add_mix_problems(stage, sides, problems);
  if (all.empty()) {
    if (stage.resolution_rule != data::ResolutionRule::kLargest)
      problems.push_back("resolution_rule has no effect without resolutions");
    return;
  }
  if (all.size() == 1) problems.push_back("resolutions has one element: use resolution");
  if (all.size() > data::kMostResolutions)
    problems.push_back(
        fmt::format("resolutions has {} elements; at most {}", all.size(), data::kMostResolutions));
  for (size_t i = 1; i < all.size(); ++i)
    if (all[i].side <= all[i - 1].side)
      problems.push_back(
          fmt::format("resolutions must rise, but side {} comes after {}", all[i].side, all[i - 1].side));
  if (!contains(sides, std::to_string(stage.resolution)))
    problems.push_back(
        fmt::format("resolution {} is not one of resolutions ({})", stage.resolution, join(sides, ", ")));
  if (!stage.multi_scale)
    problems.push_back("resolutions needs multi_scale: true (PixArt-MS takes any shape)");
  for (const auto& one : all)
    if (one.share != 1 && stage.resolution_rule != data::ResolutionRule::kShare) {
      problems.push_back("resolutions[].share has no effect without resolution_rule: share");
      break;
    }
}

void add_aspect_problems(const StageConfig& stage, std::vector<std::string>& problems) {
  if (!stage.aspect_buckets) return;
  for (const auto& one : stage.at_each_resolution())
    if (!data::has_aspect_buckets(int(one.resolution)))
      problems.push_back(fmt::format("aspect_buckets exist for the resolutions {}, not for {}",
                                     data::aspect_bucket_resolutions(), one.resolution));
  if (!stage.multi_scale)
    problems.push_back("aspect_buckets needs multi_scale: true (PixArt-MS takes any shape)");
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
    if (samples.sampler) add_sampler_problem("samples.sampler", *samples.sampler, prediction, problems);
    if (info().distills && prediction == diffusion::Prediction::kFlow)
      problems.push_back("prediction: flow is not possible with objective " + objective +
                         ", whose solver needs a schedule of betas: epsilon, x_start or v");
    if (metrics.sampler) add_sampler_problem("metrics.sampler", *metrics.sampler, prediction, problems);
    if (metrics.every > 0 && !contains(idle, std::string("metrics")))
      add_prompt_problems(info(), metrics, problems);
  }
  if (!info().reads_captions && encode.captions == Encoding::kOnTheFly &&
      !contains(idle, std::string("encode")))
    problems.push_back("encode.captions has no effect with objective " + objective +
                       ", which reads no captions");
  add_alignment_problems(*this, idle, problems);
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
  add_prior_problems(*this, problems);
  if (!contains(idle, std::string("control"))) add_control_problems(*this, problems);
  add_aspect_problems(*this, problems);
  if (!contains(idle, std::string("resolutions"))) add_resolution_problems(*this, problems);
  if (has_micro_conditions() && !multi_scale)
    problems.push_back("micro_conditions needs multi_scale: true (only PixArt-MS has them)");
  if (with_lora) {
    if (alignment.is_on())
      problems.push_back("alignment is not possible with lora, which trains adapters only");
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

diffusion::Process StageConfig::process() const {
  diffusion::Process result = DiffusionConfig::process();
  result.consistency = !objective.empty() && info().distills;
  return result;
}

diffusion::SamplerConfig StageConfig::sampler() const {
  return samples.or_else(diffusion::default_sampler(process()));
}

diffusion::SamplerConfig StageConfig::metrics_sampler() const { return metrics.or_else(sampler()); }

StageConfig StageConfig::held_out() const {
  StageConfig result = *this;
  result.source = validation.source;
  result.mix.clear();
  result.horizontal_flip = false;
  result.encode = {};
  result.alignment = {};
  return result;
}

StageConfig StageConfig::for_control() const {
  StageConfig result = *this;
  result.encoded_control = control;
  return result;
}

std::vector<StageConfig> StageConfig::encoded() const {
  if (!reads_stored_latents()) return {};
  return control.is_on() ? std::vector<StageConfig>{*this, for_control()} : std::vector<StageConfig>{*this};
}

data::TrainingShapes StageConfig::shapes() const {
  data::TrainingShapes::Config config{
      .resolutions = {}, .aspect_buckets = aspect_buckets, .rule = resolution_rule};
  for (const auto& one : resolutions)
    config.resolutions.push_back({.side = int(one.side), .share = one.share});
  if (resolutions.empty()) config.resolutions.push_back({.side = int(resolution)});
  return data::TrainingShapes(std::move(config));
}

std::vector<StageConfig> StageConfig::at_each_resolution() const {
  if (resolutions.empty()) return {*this};
  std::vector<StageConfig> result;
  for (const auto& one : resolutions) {
    StageConfig& alone = result.emplace_back(*this);
    alone.resolution = one.side;
    alone.resolutions.clear();
    alone.resolution_rule = {};
    // Tokens grow with the square of the side.
    const int64_t same_tokens = micro_batch_size * resolution * resolution / (one.side * one.side);
    alone.micro_batch_size =
        one.micro_batch_size.value_or(micro_batch_size == 0 ? 0 : std::max<int64_t>(1, same_tokens));
  }
  return result;
}

StageConfig StageConfig::at(const std::optional<int64_t>& only) const {
  for (auto& alone : at_each_resolution())
    if (only == alone.resolution) return alone;
  return *this;
}

std::vector<int64_t> StageConfig::micro_batch_sizes() const {
  if (resolutions.empty()) return {};
  const auto each = at_each_resolution();
  const auto all = shapes();
  std::vector<int64_t> result;
  for (size_t bucket = 0; bucket < all.size(); ++bucket)
    result.push_back(each[all.level(bucket)].micro_batch_size);
  return result;
}

std::vector<MixConfig> StageConfig::parts() const {
  if (!mix.empty()) return mix;
  return {{.source = source, .passes = 1}};
}

}  // namespace pixart::run

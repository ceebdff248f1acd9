#include "pixart/run/run_config.h"

#include <algorithm>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/config/config.h"
#include "pixart/models/transformer_shape.h"
#include "sampler_problem.h"

namespace pixart::run {

namespace {

bool is_file_name(const std::string& name) {
  return !name.empty() &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
             std::string::npos;
}

// Adds the clauses `own` about an element of a list, each with the element's path before it (config/reading.cpp).
void add_of_element(const char* list, size_t index, const std::vector<std::string>& own,
                    std::vector<std::string>& problems) {
  for (const auto& problem : own) problems.push_back(fmt::format("{}.{}: {}", list, index, problem));
}

template <class Named>
void check_names(const std::vector<Named>& items, const char* list, std::vector<std::string>& problems) {
  std::set<std::string> seen;
  for (size_t i = 0; i < items.size(); ++i) {
    const std::string& name = items[i].name;
    std::vector<std::string> own;
    if (!is_file_name(name))
      own.push_back(fmt::format("name '{}' may contain only letters, digits, '_' and '-'", name));
    if (!seen.insert(name).second) own.push_back(fmt::format("name '{}' is used twice", name));
    add_of_element(list, i, own, problems);
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
  add_base_problems(problems);
}

void TransformerSizeConfig::add_base_problems(std::vector<std::string>& problems) const {
  if (base_heads && !base_width) problems.push_back("base_heads has no effect without base_width");
  if (!base_width) return;
  const auto heads = base_heads ? base_heads : own_heads();
  if (*base_width % 4 != 0)
    problems.push_back(fmt::format("base_width {} is not a multiple of 4 (position table)", *base_width));
  if (heads && *base_width % *heads != 0)
    problems.push_back(
        fmt::format("base_width {} is not a multiple of {} heads; set base_heads, or another width",
                    *base_width, *heads));
}

std::optional<int64_t> TransformerSizeConfig::own_heads() const {
  if (!preset) return num_heads;
  if (!contains(models::transformer_preset_names(), *preset)) return std::nullopt;
  return models::transformer_preset(*preset).num_heads;
}

std::optional<int64_t> TransformerSizeConfig::num_blocks() const {
  return preset ? models::transformer_preset(*preset).depth : depth;
}

namespace {

// What does not fit the model's size.
void add_transformer_problems(const RunConfig& run, const StageConfig& stage,
                              std::vector<std::string>& problems) {
  const TransformerSizeConfig& size = run.transformer;
  if (stage.has_micro_conditions() && size.hidden_size && *size.hidden_size % 3 != 0)
    problems.push_back(fmt::format(
        "micro_conditions need a hidden_size that is a multiple of 3, not {}; choose another width, "
        "or set micro_conditions: false",
        *size.hidden_size));
  if (size.base_width && !stage.info().trains_autoencoder() && stage.lora.rank == 0 &&
      stage.optimizer.name != optim::OptimizerName::kAdamW)
    problems.push_back(
        fmt::format("transformer.base_width needs optimizer.name: adamw, not {}; the learning rates "
                    "of muP are those of Adam",
                    word_of(stage.optimizer.name)));
  if (size.base_width && stage.has_micro_conditions() && *size.base_width % 3 != 0)
    problems.push_back(fmt::format(
        "micro_conditions need a transformer.base_width that is a multiple of 3, not {}", *size.base_width));
  if (const auto depth = size.num_blocks())
    for (const auto& problem : stage.kv_compression.problems(*depth))
      problems.push_back("kv_compression: " + problem);
  if (const auto depth = size.num_blocks(); depth && stage.control.is_on() && stage.control.blocks >= *depth)
    problems.push_back(fmt::format(
        "control.blocks is {}, and the model has {} blocks: at most {} can be copied, because each copy "
        "adds to the block after its own",
        stage.control.blocks, *depth, *depth - 1));
  if (const auto depth = size.num_blocks(); depth && !stage.info().trains_autoencoder())
    for (const auto& problem : skipping_problems(
             stage.routing, stage.masking, stage.steps,
             {*depth, stage.kv_compression.is_on() ? stage.kv_compression.layers : std::vector<int64_t>{}}))
      problems.push_back(problem);
  if (const auto depth = size.num_blocks(); depth && !stage.info().trains_autoencoder())
    for (const auto& problem : stage.alignment.problems(stage.steps, *depth)) problems.push_back(problem);
}

// Whether the mix names the source with a resolution each time, and with each at most once.
bool comes_at_each_resolution(const StageConfig& stage, const std::string& source) {
  std::set<int64_t> seen;
  for (const auto& part : stage.mix)
    if (part.source == source && (!part.resolution || !seen.insert(*part.resolution).second)) return false;
  return true;
}

// Images of sources that the weights of the stage's start draw.
void add_drawn_problems(const RunConfig& run, const StageConfig& stage, std::vector<std::string>& problems) {
  for (const auto& part : stage.parts()) {
    const auto* source = find_named(run.sources, part.source);
    if (source == nullptr || source->draw == 0) continue;
    if (!stage.info().reads_captions)
      problems.push_back(
          fmt::format("the images of source {} are drawn from a prompt, which objective {} "
                      "does not read; remove draw, or fill the folder with another stage",
                      source->name, stage.objective));
    else if (stage.init.how != InitHow::kCopy)
      problems.push_back(
          fmt::format("the images of source {} are drawn with the weights that the stage "
                      "starts from: init.how must be copy, not {}",
                      source->name, word_of(stage.init.how)));
  }
}

// Sources of samples and captions that the stage must not train on.
void add_held_out_problems(const StageConfig& stage, const std::vector<std::string>& used,
                           const std::vector<std::string>& source_names, std::vector<std::string>& problems) {
  for (const auto& [key, source] : {std::pair{"validation.source", stage.validation.source},
                                    std::pair{"metrics.source", stage.metrics.source}}) {
    if (!source.empty() && !contains(source_names, source))
      problems.push_back(fmt::format("{}: {}", key, unknown_name("source", source, source_names)));
    if (contains(used, source))
      problems.push_back(fmt::format("{} {} is also trained on; use a source that is not", key, source));
  }
}

// A teacher must be asked for what it predicts.
void add_teacher_problems(const StageConfig& stage, const StageConfig& teacher,
                          std::vector<std::string>& problems) {
  if (stage.prediction != teacher.prediction || stage.zero_terminal_snr != teacher.zero_terminal_snr)
    problems.push_back(fmt::format(
        "the teacher {} has prediction: {} and zero_terminal_snr: {}, so this stage needs the same",
        teacher.name, word_of(teacher.prediction), teacher.zero_terminal_snr));
}

// What a stage trains, for people.
std::string model_of(const StageConfig& stage) {
  return stage.info().trains_autoencoder() ? "an autoencoder" : "a " + stage.info().model;
}

// A stage starts from one that is trained before it, and copies weights of its own kind. `index`: of the stage.
void add_start_problems(const RunConfig& run, size_t index, std::vector<std::string>& problems) {
  const StageConfig& stage = run.stages[index];
  const StageConfig* from = find_named(run.stages, stage.init.from);
  if (stage.init.how == InitHow::kRandom || from == nullptr) return;
  const size_t place = size_t(from - run.stages.data());
  if (place == index) {
    problems.push_back("init.from names the stage itself; name an earlier stage, or a weight file or folder");
  } else if (place > index) {
    problems.push_back(fmt::format(
        "init.from names stage {}, which is trained after this one; put it before this stage, or name an earlier "
        "stage, or a weight file or folder",
        from->name));
  } else if (stage.init.how == InitHow::kReparameterize && !from->info().reads_labels) {
    problems.push_back(
        fmt::format("init.from must be a class-conditional stage, not {} ({})", from->name, from->objective));
  } else if (stage.init.how == InitHow::kCopy && from->info().model != stage.info().model) {
    const bool may_derive =
        from->info().reads_labels && contains(stage.info().init, InitHow::kReparameterize);
    problems.push_back(
        fmt::format("init.how: copy needs weights of {}, but stage {} of init.from trains {}; {}",
                    model_of(stage), from->name, model_of(*from),
                    may_derive ? "use init.how: reparameterize" : "name weights of the same kind"));
  } else if (stage.info().distills) {
    add_teacher_problems(stage, *from, problems);
  }
}

void add_source_problems(const StageConfig& stage, const std::vector<std::string>& source_names,
                         std::vector<std::string>& problems) {
  std::vector<std::string> used;
  for (const auto& part : stage.parts()) {
    if (!part.source.empty() && !contains(source_names, part.source))
      problems.push_back(unknown_name("source", part.source, source_names));
    if (contains(used, part.source) && !comes_at_each_resolution(stage, part.source))
      problems.push_back(fmt::format("mix names source {} twice", part.source));
    used.push_back(part.source);
  }
  add_held_out_problems(stage, used, source_names, problems);
}

}  // namespace

void RunConfig::validate(std::vector<std::string>& problems) const {
  check_names(stages, "stages", problems);
  check_names(sources, "sources", problems);
  const auto source_names = names_of(sources);
  for (size_t i = 0; i < stages.size(); ++i) {
    const auto& stage = stages[i];
    std::vector<std::string> own;
    add_source_problems(stage, source_names, own);
    add_drawn_problems(*this, stage, own);
    if (stage.info().trains_autoencoder() && autoencoder.path)
      own.push_back(
          "autoencoder.path names a trained autoencoder, so this stage has no effect; remove one of the two");
    if (!stage.info().trains_autoencoder() && !transformer.preset && !transformer.hidden_size)
      own.push_back("transformer needs a preset or sizes");
    add_start_problems(*this, i, own);
    if (evaluation && stage.info().reads_captions)
      add_sampler_problem("evaluation.sampler", evaluation->sampler, stage.prediction, own);
    add_transformer_problems(*this, stage, own);
    add_of_element("stages", i, own, problems);
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
  for (auto& stage : config.stages) {
    stage.optimizer = optim::resolved(std::move(stage.optimizer));
    const auto sampler = stage.sampler();
    stage.samples.sampler = sampler.sampler;
    stage.samples.num_steps = sampler.num_steps;
    stage.samples.guidance = sampler.guidance;
  }
  return config;
}

}  // namespace pixart::run

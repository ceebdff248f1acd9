#include "folders.h"

#include <nlohmann/json.hpp>

#include "pipeline_folder.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"
#include "pixart/convert/model_folder.h"
#include "pixart/convert/provenance.h"
#include "pixart/convert/stated_process.h"
#include "pixart/convert/tensor_map.h"
#include "pixart/diffusion/noise_schedule.h"
#include "pixart/diffusion/samplers.h"
#include "pixart/nn/dtype.h"
#include "pixart/text/tokenizer.h"

namespace pixart::convert {
namespace fs = std::filesystem;
using formats::Weights;
using nlohmann::ordered_json;

namespace {

void write_json(const fs::path& path, const ordered_json& json) {
  write_file_atomically(path, json.dump(2) + "\n");
}

// The file of the tokenizer: spiece.model, or a tokenizer.json alone.
fs::path tokenizer_of(const TargetOptions& options) {
  const fs::path base =
      options.tokenizer.empty() ? text::tokenizer_folder(options.text_encoder) : options.tokenizer;
  return fs::is_directory(base) ? text::tokenizer_file(base).value_or(base / "spiece.model") : base;
}

// The class of transformers that reads this file.
const char* tokenizer_class(const fs::path& tokenizer) {
  return tokenizer.extension() == ".json" ? "T5TokenizerFast" : "T5Tokenizer";
}

// The scheduler's entries about what the model predicts. Flow is left to DPM-Solver++, because the pipelines
// of PixArt and DiT do not work with diffusers' schedulers of flow matching.
void add_process(nlohmann::json& scheduler, const diffusion::Process& process) {
  scheduler["num_train_timesteps"] = process.num_train_steps;
  scheduler["prediction_type"] = diffusers_word(process.prediction);
  if (process.zero_terminal_snr) scheduler["rescale_betas_zero_snr"] = true;
  if (!process.is_flow()) return;
  scheduler["use_flow_sigmas"] = true;
  scheduler["flow_shift"] = process.shift;
}

// The betas that a schedule has with this number of steps: of "linear", DiT's for 1000.
nlohmann::json scheduler_of(const char* class_name, const diffusion::Process& process) {
  const double scale = 1000.0 / double(process.num_train_steps);
  return {{"_class_name", class_name},
          {"_diffusers_version", "0.25.0"},
          {"beta_end", 0.02 * scale},
          {"beta_schedule", process.schedule},
          {"beta_start", 0.0001 * scale}};
}

constexpr const char *kSolverClass = "DPMSolverMultistepScheduler", *kDdimClass = "DDIMScheduler";

void write_consistency(const fs::path& folder, const diffusion::Process& process) {
  nlohmann::json scheduler = scheduler_of(kConsistencyScheduler, process);
  add_process(scheduler, process);
  scheduler["original_inference_steps"] = diffusion::kConsistencySteps;
  create_folders(folder);
  write_json(folder / "scheduler_config.json", ordered_json(scheduler));
}

// The defaults of the scheduler's class are those of the official conversion scripts.
void write_solver(const fs::path& folder, const diffusion::Process& process) {
  nlohmann::json scheduler = scheduler_of(kSolverClass, process);
  scheduler["algorithm_type"] = "dpmsolver++";
  add_process(scheduler, process);
  scheduler["solver_order"] = 2;
  scheduler["solver_type"] = "midpoint";
  scheduler["timestep_spacing"] = "linspace";
  create_folders(folder);
  write_json(folder / "scheduler_config.json", ordered_json(scheduler));
}

void write_ddim(const fs::path& folder, const diffusion::Process& process) {
  nlohmann::json scheduler = scheduler_of(kDdimClass, process);
  scheduler["clip_sample"] = false;
  add_process(scheduler, process);
  // The usual spacing, leading, begins below the noisiest timestep, where the model saw pure noise.
  if (process.zero_terminal_snr) scheduler["timestep_spacing"] = "trailing";
  create_folders(folder);
  write_json(folder / "scheduler_config.json", ordered_json(scheduler));
}

void copy_bytes(const fs::path& from, const fs::path& to) { write_file_atomically(to, read_file(from)); }

// Copies the tokenizer and the small files next to it, or writes those as transformers does for T5.
void write_tokenizer(const fs::path& folder, const TargetOptions& options, int64_t max_tokens) {
  create_folders(folder);
  const fs::path tokenizer = tokenizer_of(options), source = tokenizer.parent_path();
  copy_bytes(tokenizer, folder / (tokenizer.extension() == ".json" ? "tokenizer.json" : "spiece.model"));
  std::vector<std::string> sentinels;
  for (int i = 0; i < 100; ++i) sentinels.push_back(fmt::format("<extra_id_{}>", i));
  ordered_json special = {{"additional_special_tokens", sentinels},
                          {"eos_token", "</s>"},
                          {"pad_token", "<pad>"},
                          {"unk_token", "<unk>"}};
  ordered_json config = special;
  config["extra_ids"] = 100;
  config["legacy"] = true;
  config["model_max_length"] = max_tokens;
  config["tokenizer_class"] = tokenizer_class(tokenizer);
  for (const auto& [name, json] :
       {std::pair{"tokenizer_config.json", &config}, std::pair{"special_tokens_map.json", &special}}) {
    if (fs::exists(source / name))
      copy_bytes(source / name, folder / name);
    else
      write_json(folder / name, *json);
  }
  const char* added = "added_tokens.json";
  if (fs::exists(source / added)) copy_bytes(source / added, folder / added);
}

const char* pipeline_of(const models::PixArtConfig& config) {
  return models::is_sigma(config) && !config.micro_conditions ? kSigmaPipeline : kAlphaPipeline;
}

std::string license_or(const TargetOptions& options, const std::string& own) {
  return options.license.empty() ? own : options.license;
}

// Leaves out the decoder of a whole T5 and the tied copy of the embedding.
WrittenPart write_text_encoder(const fs::path& folder, const TargetOptions& options) {
  create_folders(folder);
  Weights weights = formats::open_weights(options.text_encoder);
  const bool has_both =
      weights.tensors.count("shared.weight") > 0 && weights.tensors.count("encoder.embed_tokens.weight") > 0;
  TensorMap map;
  for (const auto& [name, info] : weights.tensors) {
    const bool decoder = name.starts_with("decoder.") || name == "lm_head.weight";
    const bool copy = has_both && name == "encoder.embed_tokens.weight";
    if (decoder || copy)
      map.dropped.push_back(name);
    else
      map.lines.push_back({name == "encoder.embed_tokens.weight" ? "shared.weight" : name, {{name}}});
  }
  const BackgroundProvenance provenance({.architecture = {},
                                         .conversion = "T5 encoder to safetensors",
                                         .license = license_of(weights, Layout::kT5),
                                         .parents = weights.files});
  Weights mapped = apply(map, std::move(weights), options.text_encoder.string());
  models::T5Config config = models::read_t5_config(options.text_encoder / "config.json");
  check_weights(mapped, config, options.text_encoder.string());
  if (options.dtype) {
    mapped = cast(std::move(mapped), *options.dtype);
    config.dtype = nn::dtype_name(*options.dtype);
  }
  mapped.metadata = provenance.metadata();
  formats::write_safetensors_shards(folder, "model", mapped, options.shard_bytes, provenance.complete(),
                                    options.durability);
  models::write_t5_config(folder / "config.json", config);
  return {
      .line = fmt::format("text_encoder: {} tensors, {}", mapped.tensors.size(), human_bytes(mapped.bytes())),
      .metadata = provenance.finished()};
}

}  // namespace

fs::path checked_target(const fs::path& target, TargetKind kind, bool overwrite) {
  if (target.empty()) throw UserError("the target is missing.");
  const fs::path place = link_target(target);
  if (place.has_parent_path() && !fs::is_directory(place.parent_path()))
    throw UserError(
        fmt::format("{}: the folder {} does not exist.", target.string(), place.parent_path().string()));
  if (!fs::exists(place)) return place;
  if (!overwrite) throw UserError(fmt::format("{} exists; --overwrite replaces it.", target.string()));
  if (kind == TargetKind::kFolder)
    require_model_folder(place);
  else if (!fs::is_regular_file(place))
    throw UserError(fmt::format("{} is not a file; it is not replaced by one.", target.string()));
  else if (!begins_as_weights(place))
    throw UserError(
        fmt::format("{} holds no weights, so it is not replaced. Move it away, or choose another name.",
                    target.string()));
  return place;
}

void check_pipeline_parts(const Architecture& architecture, const TargetOptions& options) {
  Problems problems;
  if (options.vae.empty()) problems.add("the autoencoder is missing: --vae FOLDER");
  if (std::holds_alternative<models::PixArtConfig>(architecture)) {
    if (options.text_encoder.empty())
      problems.add("the T5 folder is missing: --text-encoder FOLDER");
    else if (!fs::exists(tokenizer_of(options)))
      problems.add(
          fmt::format("{} does not exist: --tokenizer names spiece.model, tokenizer.json or their folder",
                      tokenizer_of(options).string()));
  }
  problems.throw_if_any("a pipeline folder");
}

WrittenPart write_vae_folder(const fs::path& folder, const Opened& source, const TargetOptions& options) {
  const auto& [path, weights, identity] = source;
  const auto* config = std::get_if<models::VaeConfig>(&identity.architecture);
  if (config == nullptr)
    throw UserError(
        fmt::format("{} is not an autoencoder ({}).", path.string(), layout_name(identity.layout)));
  if (config->tiny)
    throw UserError(
        fmt::format("{} is a tiny autoencoder: a pipeline needs an AutoencoderKL. diffusers reads a tiny one "
                    "from its own folder (AutoencoderTiny).",
                    path.string()));
  const BackgroundProvenance provenance({.architecture = {},
                                         .conversion = layout_name(identity.layout) + " to diffusers",
                                         .license = license_or(options, license_of(weights, identity.layout)),
                                         .parents = weights.files});
  Weights mapped = apply(vae_to_diffusers(weights, *config), weights, path.string());
  check_weights(mapped, *config, path.string());
  if (options.dtype) mapped = cast(std::move(mapped), *options.dtype);
  mapped.metadata = provenance.metadata();
  formats::write_safetensors_shards(folder, "diffusion_pytorch_model", mapped, options.shard_bytes,
                                    provenance.complete(), options.durability);
  models::write_vae_config(folder / "config.json", *config);
  std::string line = fmt::format("vae: {} tensors, {}", mapped.tensors.size(), human_bytes(mapped.bytes()));
  for (const auto& assumption : identity.assumed) line += "; assumed: " + assumption;
  return {.line = line, .metadata = provenance.finished()};
}

const char* pipeline_class(const Architecture& architecture) {
  const auto* pixart = std::get_if<models::PixArtConfig>(&architecture);
  return pixart != nullptr ? pipeline_of(*pixart) : "DiTPipeline";
}

std::vector<std::pair<std::string, CardMetadata>> write_pipeline_parts(const fs::path& folder,
                                                                       const Architecture& architecture,
                                                                       const diffusion::Process& process,
                                                                       const TargetOptions& options,
                                                                       ConvertReport& report) {
  TargetOptions parts = options;
  parts.license.clear();  // it is the license of the transformer
  create_folders(folder / "vae");
  std::vector<std::pair<std::string, CardMetadata>> written;
  const auto add = [&](const char* name, WrittenPart part) {
    report.lines.push_back(std::move(part.line));
    written.emplace_back(name, std::move(part.metadata));
  };
  add("vae", write_vae_folder(folder / "vae", open_and_identify(options.vae), parts));
  if (const auto* pixart = std::get_if<models::PixArtConfig>(&architecture)) {
    add("text_encoder", write_text_encoder(folder / "text_encoder", options));
    write_tokenizer(folder / "tokenizer", options, pixart->max_tokens);
    const bool in_few_steps = process.consistency;
    (in_few_steps ? write_consistency : write_solver)(folder / "scheduler", process);
    write_json(folder / kPipelineIndex,
               {{"_class_name", pipeline_of(*pixart)},
                {"_diffusers_version", "0.25.0"},
                {"scheduler", {"diffusers", in_few_steps ? kConsistencyScheduler : kSolverClass}},
                {"text_encoder", {"transformers", "T5EncoderModel"}},
                {"tokenizer", {"transformers", tokenizer_class(tokenizer_of(options))}},
                {"transformer", {"diffusers", "PixArtTransformer2DModel"}},
                {"vae", {"diffusers", "AutoencoderKL"}}});
  } else {
    if (process.is_flow())
      write_solver(folder / "scheduler", process);
    else
      write_ddim(folder / "scheduler", process);
    write_json(folder / kPipelineIndex,
               {{"_class_name", pipeline_class(architecture)},
                {"_diffusers_version", "0.25.0"},
                {"scheduler", {"diffusers", process.is_flow() ? kSolverClass : kDdimClass}},
                {"transformer", {"diffusers", "DiTTransformer2DModel"}},
                {"vae", {"diffusers", "AutoencoderKL"}}});
  }
  return written;
}

}  // namespace pixart::convert

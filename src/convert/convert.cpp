#include "pixart/convert/convert.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "folders.h"
#include "lora_names.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/convert/inspect.h"
#include "pixart/convert/lora.h"
#include "pixart/convert/model_folder.h"
#include "pixart/convert/provenance.h"
#include "pixart/convert/stated_process.h"
#include "pixart/convert/tensor_map.h"
#include "pixart/models/alignment.h"
#include "pixart/models/t5.h"
#include "pixart/nn/dtype.h"
#include "wrappers.h"

namespace pixart::convert {
namespace fs = std::filesystem;

namespace {

using formats::Weights;

constexpr const char* kNullCaption = "y_embedder.y_embedding";
constexpr const char* kPositions = "pos_embed";

void check_kv_compression(const models::PixArtConfig& c, Problems& problems) {
  const auto& kv = c.kv_compression;
  constexpr auto kLargestFactor = int64_t(models::KvCompression::kLargestFactor);
  if (kv.factor < 1 || kv.factor > kLargestFactor)
    problems.add(
        fmt::format("kv_compression: a factor of {}; 1 to {} are possible", kv.factor, kLargestFactor));
  for (const auto& problem : kv.problems(c.depth)) problems.add("kv_compression: " + problem);
}

// Refuses architectures that a file may state but that cannot be built or do not fit these weights.
template <class Config>
void check_sizes(const Config& c, const Weights& weights, const std::string& subject) {
  constexpr int64_t kLargestSide = 4096, kLargestPatch = 256, kMostChannels = 1024, kLargestWidth = 65536,
                    kMostTokens = 100'000;
  constexpr int64_t kMostClasses = int64_t{1} << 24;
  constexpr int64_t kLongestGrid = 512;  // for which positions are computed
  constexpr double kLargestRatio = 64;
  Problems problems;
  if (c.num_heads < 1)
    problems.add("the weights do not tell the number of heads; set it with --num-heads");
  else if (c.hidden_size % c.num_heads != 0)
    problems.add(fmt::format("{} heads do not divide a width of {}", c.num_heads, c.hidden_size));
  if (c.hidden_size < 4 || c.hidden_size > kLargestWidth || c.hidden_size % 4 != 0)
    problems.add(fmt::format("a width of {} is not a multiple of 4 up to {}", c.hidden_size, kLargestWidth));
  if (c.depth < 1 || uint64_t(c.depth) > weights.tensors.size())
    problems.add(fmt::format("{} blocks cannot be made from {} tensors", c.depth, weights.tensors.size()));
  if (c.patch_size < 1 || c.patch_size > kLargestPatch || c.input_size > kLargestSide ||
      c.input_size % c.patch_size != 0)
    problems.add(fmt::format("a patch of {} does not divide a latent side of {} (at most {})", c.patch_size,
                             c.input_size, kLargestSide));
  else if (weights.tensors.count(kPositions) == 0 && c.input_size / c.patch_size > kLongestGrid)
    problems.add(
        fmt::format("a latent side of {} has more than {} patches in a row", c.input_size, kLongestGrid));
  if (c.in_channels < 1 || c.in_channels > kMostChannels)
    problems.add(fmt::format("{} input channels; 1 to {} are possible", c.in_channels, kMostChannels));
  if (!(c.mlp_ratio > 0 && c.mlp_ratio <= kLargestRatio))
    problems.add(fmt::format("the MLP cannot be {} times as wide as the model", c.mlp_ratio));
  if constexpr (requires { c.micro_conditions; }) {
    if (c.micro_conditions && c.hidden_size % 3 != 0)
      problems.add(fmt::format("micro-conditions need a width divisible by 3, not {}", c.hidden_size));
    check_kv_compression(c, problems);
    if (c.control_blocks < 0 || c.control_blocks >= c.depth)
      problems.add(fmt::format("a ControlNet of {} blocks for a model of {}", c.control_blocks, c.depth));
    if (c.max_tokens < 1 || c.max_tokens > kMostTokens)
      problems.add(fmt::format("captions cannot have {} tokens", c.max_tokens));
    if (c.caption_channels < 1 || c.caption_channels > kLargestWidth)
      problems.add(fmt::format("captions cannot have {} channels", c.caption_channels));
  } else if (c.num_classes < 1 || c.num_classes > kMostClasses) {
    problems.add(fmt::format("{} classes; 1 to {} are possible", c.num_classes, kMostClasses));
  }
  problems.throw_if_any(subject);
}

// Adds a tensor that is in memory.
void add_tensor(Weights& weights, const std::string& name, const at::Tensor& tensor) {
  weights.tensors[name] = {tensor.scalar_type(), tensor.sizes().vec()};
  weights.read = [read = std::move(weights.read), name, tensor](const std::string& wanted) {
    return wanted == name ? tensor : read(wanted);
  };
}

void add_positions(Weights& weights, const models::PixArtConfig& c) {
  const int64_t side = c.input_size / c.patch_size;
  add_tensor(weights, kPositions,
             models::sincos_positions(c.hidden_size, side, side, side, c.position_scale));
}

// T5 of "" padded to `max_tokens`: only </s>, as PixArt's own scripts encode the null caption.
at::Tensor encode_null_caption(const fs::path& text_encoder, const models::PixArtConfig& c) {
  at::NoGradGuard no_grad;
  const auto t5 = models::load_t5(text_encoder, at::kCPU);
  if (t5.encoder->config().d_model != c.caption_channels) {
    throw UserError(fmt::format("{}: features of {} channels; the model takes captions of {}.",
                                text_encoder.string(), t5.encoder->config().d_model, c.caption_channels));
  }
  at::Tensor ids = at::zeros({1, c.max_tokens}, at::kLong), mask = at::zeros({1, c.max_tokens}, at::kLong);
  constexpr int64_t kEndOfText = 1;
  ids[0][0] = kEndOfText, mask[0][0] = 1;
  return t5.encoder->forward(ids, mask)[0].to(at::kFloat).contiguous();
}

void from_pixart(OfficialWeights& result, const std::string& subject, const fs::path& text_encoder) {
  const auto& config = std::get<models::PixArtConfig>(result.identity.architecture);
  check_sizes(config, result.weights, subject);
  const bool is_diffusers = result.identity.layout == Layout::kPixArtDiffusers;
  if (is_diffusers) {
    result.weights = apply(pixart_from_diffusers(config), std::move(result.weights), subject);
    result.notes.push_back("pos_embed computed for the model's grid; diffusers' layout has none");
  }
  check_weights(result.weights, config, subject, {kNullCaption, kPositions});
  // Official loaders compute it, too, whatever the file has.
  if (result.weights.tensors.count(kPositions) == 0) add_positions(result.weights, config);
  if (result.weights.tensors.count(kNullCaption) == 0) {
    if (!text_encoder.empty()) {
      add_tensor(result.weights, kNullCaption, encode_null_caption(text_encoder, config));
      result.notes.push_back("y_embedder.y_embedding: T5 of the empty caption");
    } else {
      result.notes.push_back(
          "y_embedder.y_embedding (the null caption) is missing: diffusers' layout has none. --text-encoder "
          "FOLDER computes it with T5");
    }
  }
  check_weights(result.weights, config, subject, {kNullCaption});
}

void from_dit(OfficialWeights& result, const std::string& subject) {
  const auto& config = std::get<models::DitConfig>(result.identity.architecture);
  check_sizes(config, result.weights, subject);
  if (result.identity.layout == Layout::kDitDiffusers)
    result.weights = apply(dit_from_diffusers(config), std::move(result.weights), subject);
  check_weights(result.weights, config, subject, {kPositions});
  if (result.weights.tensors.count(kPositions) == 0) {
    const int64_t side = config.input_size / config.patch_size;
    add_tensor(result.weights, kPositions,
               models::sincos_positions(config.hidden_size, side, side, side, 1.0));
  }
  check_weights(result.weights, config, subject);
}

TargetKind kind_of(const fs::path& target, const TargetOptions& options) {
  const std::string extension = target.extension();
  if (extension != ".safetensors" && extension != ".pth" && extension != ".pt") return TargetKind::kFolder;
  if (options.pipeline)
    throw UserError(fmt::format("a pipeline is written to a folder; {} is a file name.", target.string()));
  return extension == ".safetensors" ? TargetKind::kSafetensors : TargetKind::kPth;
}

// Throws UserError if diffusers has no model that computes the same.
void require_diffusers_model(const Architecture& architecture, const TargetOptions& options,
                             const std::string& subject) {
  const auto* pixart = std::get_if<models::PixArtConfig>(&architecture);
  const auto* dit = std::get_if<models::DitConfig>(&architecture);
  const char* write = "Write a .safetensors or .pth";
  if ((pixart != nullptr && pixart->qk_norm) || (dit != nullptr && dit->qk_norm))
    throw UserError(fmt::format("{} has qk_norm, which diffusers' models do not have. {}.", subject, write));
  if (pixart != nullptr && pixart->control_blocks > 0 && options.pipeline)
    throw UserError(fmt::format(
        "{} has a ControlNet, which diffusers' pipelines do not have. {}, or a folder without --pipeline, which "
        "holds the ControlNet alone; the model that it controls is that of the stage's init.from.",
        subject, write));
  if (dit != nullptr && !dit->has_null_class)
    throw UserError(fmt::format("{} has no null class, which diffusers' DiT needs. {}.", subject, write));
  if (pixart != nullptr && pixart->kv_compression.is_on())
    throw UserError(fmt::format(
        "{} has KV compression, which diffusers' models do not have. {}, which keep it and which `pixart sample` "
        "reads; or train a stage without kv_compression from these weights, and convert that.",
        subject, write));
}

// Weights in diffusers' names, in the folder of one model, with its config.json.
Weights write_model_folder(const fs::path& folder, const Weights& official, const Architecture& architecture,
                           const TargetOptions& options, const formats::CompleteMetadata& complete,
                           const std::string& subject) {
  require_diffusers_model(architecture, options, subject);
  create_folders(folder);
  const auto write = [&](const TensorMap& map) {
    Weights weights = apply(map, official, subject);
    formats::write_safetensors_shards(folder, "diffusion_pytorch_model", weights, options.shard_bytes,
                                      complete, options.durability);
    return weights;
  };
  if (const auto* pixart = std::get_if<models::PixArtConfig>(&architecture)) {
    if (pixart->control_blocks > 0) {
      models::write_control_config(folder / "config.json", *pixart);
      return write(control_to_diffusers(*pixart));
    }
    models::write_pixart_config(folder / "config.json", *pixart);
    return write(pixart_to_diffusers(*pixart));
  }
  const auto& dit = std::get<models::DitConfig>(architecture);
  models::write_dit_config(folder / "config.json", dit);
  return write(dit_to_diffusers(dit));
}

bool is_text_to_image(const Architecture& architecture) {
  return std::holds_alternative<models::PixArtConfig>(architecture);
}

bool controls(const Architecture& architecture) {
  const auto* pixart = std::get_if<models::PixArtConfig>(&architecture);
  return pixart != nullptr && pixart->control_blocks > 0;
}

// The type of the stored weights where torch computes in it.
std::string usual_dtype(const Weights& transformer) {
  const at::ScalarType stored = transformer.tensors.at("x_embedder.proj.weight").dtype;
  const bool is_usual = stored == at::kHalf || stored == at::kBFloat16;
  return nn::dtype_name(is_usual ? stored : at::kFloat);
}

const char* class_of(const Architecture& architecture, bool is_pipeline) {
  if (is_pipeline) return pipeline_class(architecture);
  if (controls(architecture)) return "PixArtControlNetAdapterModel";
  return is_text_to_image(architecture) ? "PixArtTransformer2DModel" : "DiTTransformer2DModel";
}

CardModel card_of(const OfficialWeights& source, const TargetOptions& options, const Weights& written) {
  const auto& architecture = source.identity.architecture;
  return {.subject = options.pipeline ? CardSubject::kPipeline : CardSubject::kTransformer,
          .summary = source.identity.summary,
          .python_class = class_of(architecture, options.pipeline),
          .dtype = usual_dtype(written),
          .draws_captions = is_text_to_image(architecture),
          .of_source = source.weights.metadata};
}

// Without a type, diffusers and transformers choose types of their own for the parts, and the first call
// fails.
std::string python_line(const fs::path& target, const Weights& transformer) {
  return fmt::format(
      "in Python: diffusers.DiffusionPipeline.from_pretrained({}, dtype=torch.{})  (older "
      "diffusers: torch_dtype=)",
      nlohmann::json(target.string()).dump(), usual_dtype(transformer));
}

std::string count_line(const Weights& weights, const fs::path& target) {
  int64_t numbers = 0;
  for (const auto& [name, info] : weights.tensors) numbers += info.numel();
  return fmt::format("{}: {} tensors, {} numbers, {}", target.string(), weights.tensors.size(),
                     with_thousands(numbers), human_bytes(weights.bytes()));
}

}  // namespace

namespace {

// The projection of a stage with alignment serves training alone.
void leave_out_projection(OfficialWeights& result) {
  const size_t count = std::erase_if(result.weights.tensors,
                                     [](const auto& item) { return models::is_alignment_name(item.first); });
  if (count > 0)
    result.notes.push_back(fmt::format("{} tensors of the alignment's projection are left out", count));
}

}  // namespace

OfficialWeights to_official(Opened opened, const fs::path& text_encoder) {
  const std::string subject = opened.path.string();
  OfficialWeights result{.weights = std::move(opened.weights), .identity = std::move(opened.identity)};
  result.license = license_of(result.weights, result.identity.layout);
  result.notes = result.weights.notes;
  for (const auto& assumption : result.identity.assumed) result.notes.push_back("assumed: " + assumption);
  if (!result.weights.other_sets.empty())
    result.notes.push_back(fmt::format("the file also has: {}", join(result.weights.other_sets, ", ")));
  const bool lacks_config = std::holds_alternative<std::monostate>(result.identity.architecture);
  switch (result.identity.layout) {
    case Layout::kPixArtDiffusers:
    case Layout::kDitDiffusers:
      if (lacks_config)
        throw UserError(fmt::format("{}: diffusers' config.json is missing next to the weights.", subject));
      [[fallthrough]];
    case Layout::kPixArt:
    case Layout::kDit:
      leave_out_projection(result);
      if (holds_lora(result.weights)) merge_own_lora(result, subject);
      if (std::holds_alternative<models::PixArtConfig>(result.identity.architecture))
        from_pixart(result, subject, text_encoder);
      else
        from_dit(result, subject);
      return result;
    case Layout::kLora:
      throw UserError(fmt::format(
          "{} has only adapters. Merge them into the weights for which they were trained: pixart convert "
          "WEIGHTS TARGET --merge-lora {}",
          subject, subject));
    default:
      throw UserError(fmt::format("{} is not a DiT or PixArt ({}). `pixart inspect` lists its content.",
                                  subject, layout_name(result.identity.layout)));
  }
}

namespace {

using NotFinite = std::shared_ptr<std::vector<std::string>>;

// Puts the names of the read tensors with NaN or infinity into `found`.
Weights noticing(Weights weights, const NotFinite& found) {
  weights.read = [read = std::move(weights.read), found](const std::string& name) {
    at::Tensor tensor = read(name);
    if (!is_finite(tensor)) found->push_back(name);
    return tensor;
  };
  return weights;
}

// Such files are converted all the same, for those who look for the cause.
void warn_of(const NotFinite& found, const fs::path& target) {
  std::sort(found->begin(), found->end());
  found->erase(std::unique(found->begin(), found->end()), found->end());
  if (!found->empty())
    log::warning(
        "{}: {} tensor(s) have values that are NaN or infinite, so a model with them draws nothing: {}. "
        "`pixart inspect SOURCE --verify` says whether the source has them, too.",
        target.string(), found->size(), name_some(*found));
}

}  // namespace

ConvertReport write_transformer(const OfficialWeights& source, const fs::path& target,
                                const std::string& conversion, const TargetOptions& options) {
  const TargetKind kind = kind_of(target, options);
  const fs::path place = checked_target(target, kind, options.overwrite);
  const auto& architecture = source.identity.architecture;
  if (options.pipeline) check_pipeline_parts(architecture, options);
  const std::string license = options.license.empty() ? source.license : options.license;
  const std::string subject = source.weights.files.empty() ? "the weights" : source.weights.files[0].string();
  const auto& stated = source.identity.process;
  const auto process = options.pipeline ? std::optional(known_process(options.process, stated, subject))
                                        : process_with(options.process, stated, subject);
  const BackgroundProvenance provenance({.architecture = architecture,
                                         .conversion = conversion,
                                         .license = license,
                                         .parents = source.weights.files,
                                         .process = process_text(process)});
  Weights weights = options.dtype ? cast(source.weights, *options.dtype) : source.weights;
  weights.metadata = provenance.metadata();
  const auto not_finite = std::make_shared<std::vector<std::string>>();
  weights = noticing(std::move(weights), not_finite);
  ConvertReport report;
  if (kind != TargetKind::kFolder) report.lines.push_back(count_line(weights, target));
  if (kind == TargetKind::kSafetensors) {
    formats::write_safetensors(place, weights, provenance.complete(), options.durability);
  } else if (kind == TargetKind::kPth) {
    formats::write_pth(place, controls(architecture) ? with_controlled_part(weights) : weights,
                       provenance.complete(), options.durability);
  } else {
    StagedFolder staged(place, foreign_entries);
    const fs::path model = options.pipeline ? staged.path() / "transformer" : staged.path();
    const Weights written =
        write_model_folder(model, weights, architecture, options, provenance.complete(), subject);
    report.lines.push_back(count_line(written, options.pipeline ? target / "transformer" : target));
    CardModel card = card_of(source, options, weights);
    card.metadata = provenance.finished();
    if (options.pipeline)
      card.parts = write_pipeline_parts(staged.path(), architecture, *process, options, report);
    write_model_card(staged.path(), card, options.card);
    checked_target(target, kind, options.overwrite);  // conversion takes minutes
    staged.commit(options.durability);
    for (const char* name : {kPositions, kNullCaption})
      if (weights.tensors.count(name) > 0)
        report.lines.push_back(fmt::format("{} does not exist in diffusers' layout and is left out", name));
  }
  warn_of(not_finite, target);
  report.lines.push_back("licence: " + license);
  if (options.pipeline) report.lines.push_back(python_line(target, weights));
  return report;
}

ConvertReport convert_vae(const Opened& source, const fs::path& target, const TargetOptions& options) {
  if (kind_of(target, options) != TargetKind::kFolder)
    throw UserError(
        fmt::format("an autoencoder is written to a folder; {} is a file name.", target.string()));
  const fs::path place = checked_target(target, TargetKind::kFolder, options.overwrite);
  ConvertReport report;
  StagedFolder staged(place, foreign_entries);
  const auto not_finite = std::make_shared<std::vector<std::string>>();
  Opened watched = source;
  watched.weights = noticing(std::move(watched.weights), not_finite);
  const WrittenPart written = write_vae_folder(staged.path(), watched, options);
  report.lines.push_back(written.line);
  write_model_card(staged.path(),
                   {.subject = CardSubject::kAutoencoder,
                    .summary = source.identity.summary,
                    .python_class = "AutoencoderKL",
                    .metadata = written.metadata,
                    .of_source = source.weights.metadata},
                   options.card);
  checked_target(target, TargetKind::kFolder, options.overwrite);
  staged.commit(options.durability);
  warn_of(not_finite, target);
  return report;
}

}  // namespace pixart::convert

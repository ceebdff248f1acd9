#include "pixart/convert/layout.h"

#include <ATen/ATen.h>

#include <cmath>
#include <set>

#include "lora_names.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/convert/stated_process.h"
#include "pixart_layout.h"
#include "provenance_keys.h"
#include "wrappers.h"

namespace pixart::convert {
namespace fs = std::filesystem;

namespace {

using formats::Weights;

bool has(const Weights& weights, const std::string& name) { return weights.tensors.count(name) > 0; }

const std::vector<int64_t>& shape_of(const Weights& weights, const std::string& name) {
  static const std::vector<int64_t> none;
  const auto found = weights.tensors.find(name);
  return found == weights.tensors.end() ? none : found->second.shape;
}

// 0 if the dimension does not exist or is too large for a model: products of three must not overflow.
int64_t side(const Weights& weights, const std::string& name, size_t dimension) {
  constexpr int64_t kLargest = int64_t{1} << 20;
  const auto& shape = shape_of(weights, name);
  return dimension < shape.size() && shape[dimension] <= kLargest ? shape[dimension] : 0;
}

// The number of i = 0, 1, ... for which a name starts with "<prefix>i.".
int64_t count_blocks(const Weights& weights, const std::string& prefix) {
  int64_t count = 0;
  while (true) {
    const std::string start = fmt::format("{}{}.", prefix, count);
    const auto next = weights.tensors.lower_bound(start);
    if (next == weights.tensors.end() || !next->first.starts_with(start)) return count;
    ++count;
  }
}

bool ends_in(const Weights& weights, const std::string& end) {
  for (const auto& [name, info] : weights.tensors)
    if (name == end || name.ends_with("." + end)) return true;
  return false;
}

// Tensors by which layouts are recognised; those of transformers first.
constexpr std::pair<const char*, Layout> kLayoutMarks[] = {
    {"y_embedder.embedding_table.weight", Layout::kDit},
    {"t_block.1.weight", Layout::kPixArt},
    {"adaln_single.linear.weight", Layout::kPixArtDiffusers},
    {"transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight", Layout::kDitDiffusers},
    {"encoder.block.0.layer.0.SelfAttention.q.weight", Layout::kT5},
    {"encoder.down_blocks.0.resnets.0.conv1.weight", Layout::kVae},
    {"encoder.layers.1.conv.0.weight", Layout::kTinyVae}};
constexpr size_t kTransformerMarks = 4;

Layout layout_of(const Weights& weights) {
  for (const auto& [name, layout] : kLayoutMarks)
    if (has(weights, name)) return layout;
  if (ends_in(weights, "encoder.down.0.block.0.conv1.weight")) return Layout::kVaeLdm;
  if (models::tiny_part_of(weights) != models::TinyPart::kNone) return Layout::kTinyVaePart;
  if (!weights.tensors.empty() && weights.tensors.begin()->first.starts_with("exp_avg."))
    return Layout::kOptimizer;
  if (holds_lora(weights)) return Layout::kLora;
  return Layout::kUnknown;
}

// Weights that are recognised without their wrappers. An autoencoder in LDM's names is found below any
// prefix, so such a file is searched for a transformer only.
Weights recognisable(Weights weights, const std::string& subject) {
  weights = without_controlled_part(without_inner_parts(std::move(weights)));
  const Layout layout = layout_of(weights);
  if (layout != Layout::kUnknown && layout != Layout::kVaeLdm) return weights;
  std::vector<std::string> marks;
  for (const auto& [name, mark] : kLayoutMarks)
    if (layout == Layout::kUnknown || marks.size() < kTransformerMarks) marks.emplace_back(name);
  return unwrapped(std::move(weights), marks, subject);
}

// The published models have one number of heads per width.
int64_t guess_heads(int64_t width, const LayoutHints& hints, Identity& identity) {
  if (hints.num_heads) return *hints.num_heads;
  for (const auto& name : models::dit_preset_names()) {
    const auto preset = models::dit_preset(name);
    if (preset.hidden_size != width) continue;
    identity.assumed.push_back(
        fmt::format("{} heads, as published for a width of {}", preset.num_heads, width));
    return preset.num_heads;
  }
  return 0;
}

// The facts that official names tell about both transformers.
void read_shapes(const Weights& weights, const LayoutHints& hints, Identity& identity,
                 models::TransformerShape& c) {
  c.hidden_size = side(weights, "x_embedder.proj.weight", 0);
  c.in_channels = side(weights, "x_embedder.proj.weight", 1);
  c.patch_size = side(weights, "x_embedder.proj.weight", 2);
  c.depth = count_blocks(weights, "blocks.");
  c.num_heads = guess_heads(c.hidden_size, hints, identity);
  if (c.hidden_size > 0)
    c.mlp_ratio = double(side(weights, "blocks.0.mlp.fc1.weight", 0)) / double(c.hidden_size);
  const int64_t per_patch = c.patch_size * c.patch_size * c.in_channels;
  c.learn_sigma = side(weights, "final_layer.linear.weight", 0) == 2 * per_patch;
  c.qk_norm = has(weights, "blocks.0.attn.q_norm.weight");
  const int64_t tokens = side(weights, "pos_embed", 1);
  const int64_t grid = int64_t(std::llround(std::sqrt(double(tokens))));
  if (tokens > 0 && grid * grid == tokens) {
    c.input_size = grid * c.patch_size;
  } else {
    identity.assumed.push_back(
        fmt::format("a latent side of {}, because there is no pos_embed", c.input_size));
  }
}

// From the table itself: token 1 is one column to the right of token 0, at 1 / scale.
std::optional<double> position_scale_of(const Weights& weights) {
  const int64_t width = side(weights, "pos_embed", 2), tokens = side(weights, "pos_embed", 1);
  const bool is_table = shape_of(weights, "pos_embed").size() == 3 && side(weights, "pos_embed", 0) == 1;
  if (!is_table || tokens < 4 || width < 16) return std::nullopt;
  // A frequency of about 0.1 keeps the sine's argument small for any scale.
  const int64_t count = width / 4, k = count / 4;
  const double omega = std::pow(10000.0, -double(k) / double(count));
  const double value = weights.read("pos_embed")[0][1][k].item<double>();
  const double scale = omega / std::asin(std::clamp(value, -1.0, 1.0));
  return std::isfinite(scale) && scale > 0 ? std::optional(std::round(scale * 1000) / 1000) : std::nullopt;
}

// A model that was trained without dropping labels has no row for the null class. Round numbers of rows are
// the numbers of classes of known data sets (CIFAR, ImageNet).
void read_classes(int64_t rows, const LayoutHints& hints, Identity& identity, models::LabelSizes& c) {
  const bool is_round = rows == 10 || rows == 100 || rows == 1000;
  c.has_null_class = hints.num_classes ? rows != *hints.num_classes : !is_round;
  c.num_classes = rows - (c.has_null_class ? 1 : 0);
  if (is_round && !hints.num_classes)
    identity.assumed.push_back(
        fmt::format("{0} classes and no null class, because the label table has {0} rows", rows));
}

models::DitConfig dit_of(const Weights& weights, const LayoutHints& hints, Identity& identity) {
  models::DitConfig c;
  read_shapes(weights, hints, identity, c);
  read_classes(side(weights, "y_embedder.embedding_table.weight", 0), hints, identity, c);
  return c;
}

models::PixArtConfig pixart_of(const Weights& weights, const LayoutHints& hints, Identity& identity) {
  models::PixArtConfig c;
  read_text_sizes(weights, count_blocks(weights, "blocks."), hints, c);
  c.control_blocks = count_blocks(weights, models::kControlPrefix);
  if (c.multi_scale) c.input_size = 128;
  if (models::is_sigma(c) && hints.position_scale) c.input_size = published_sigma_side(*hints.position_scale);
  read_shapes(weights, hints, identity, c);
  c.caption_channels = side(weights, "y_embedder.y_proj.fc1.weight", 1);
  if (const auto scale = hints.position_scale ? hints.position_scale : position_scale_of(weights)) {
    c.position_scale = *scale;
  } else {
    c.position_scale = published_position_scale(c);
    identity.assumed.push_back(fmt::format("positions divided by {}", c.position_scale));
  }
  return c;
}

// For a diffusers VAE without config.json.
models::VaeConfig vae_of(const Weights& weights, Layout layout, Identity& identity) {
  models::VaeConfig c;
  if (layout != Layout::kVae) {
    identity.assumed.push_back("the Stable Diffusion autoencoder's shape and scaling factor 0.18215");
    return c;
  }
  c.block_out_channels.clear();
  for (int64_t i = 0; i < count_blocks(weights, "encoder.down_blocks."); ++i)
    c.block_out_channels.push_back(
        side(weights, fmt::format("encoder.down_blocks.{}.resnets.0.conv1.weight", i), 0));
  c.layers_per_block = count_blocks(weights, "encoder.down_blocks.0.resnets.");
  c.latent_channels = side(weights, "decoder.conv_in.weight", 1);
  c.in_channels = side(weights, "encoder.conv_in.weight", 1);
  identity.assumed.push_back(
      "32 groups per norm and scaling factor 0.18215, because there is no config.json");
  return c;
}

models::T5Config t5_of(const Weights& weights, Identity& identity) {
  models::T5Config c;
  c.vocab_size = std::max(side(weights, "shared.weight", 0), side(weights, "encoder.embed_tokens.weight", 0));
  c.d_model = side(weights, "encoder.block.0.layer.0.SelfAttention.q.weight", 1);
  c.num_heads = side(weights, "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 1);
  if (c.num_heads > 0)
    c.d_kv = side(weights, "encoder.block.0.layer.0.SelfAttention.q.weight", 0) / c.num_heads;
  c.d_ff = side(weights, "encoder.block.0.layer.1.DenseReluDense.wi_0.weight", 0);
  c.num_layers = count_blocks(weights, "encoder.block.");
  if (c.d_ff == 0) identity.assumed.push_back("not T5 v1.1: there is no gated feed-forward layer");
  return c;
}

std::string described_control(int64_t blocks) {
  return blocks > 0 ? fmt::format(", ControlNet of {} blocks", blocks) : "";
}

std::string described(const models::KvCompression& kv) {
  if (!kv.is_on()) return "";
  return fmt::format(", KV compression ({}, factor {}) in {} blocks", word_of(kv.sampling), kv.factor,
                     kv.layers.size());
}

// Shapes do not tell the heads of an unpublished width.
std::string heads_text(int64_t heads) {
  return heads > 0 ? fmt::format("{} heads", heads) : "heads not known";
}

std::string described_tiny(const models::VaeConfig& c) {
  const auto blocks = [](const char* part, const std::vector<int64_t>& counts) {
    std::vector<std::string> texts;
    for (const int64_t count : counts) texts.push_back(std::to_string(count));
    return counts.empty() ? std::string() : fmt::format(", {} blocks {}", part, join(texts, "-"));
  };
  return fmt::format("tiny autoencoder, width {}{}{}{}, {} latent channels, factor {}, scaling factor {}",
                     c.block_out_channels.front(), blocks("encoder", c.tiny->encoder),
                     blocks("decoder", c.tiny->decoder), c.tiny->normed ? " with norms" : "",
                     c.latent_channels, c.downscale(), c.scaling_factor);
}

std::string described(const Architecture& architecture) {
  if (const auto* c = std::get_if<models::DitConfig>(&architecture))
    return fmt::format("DiT, depth {}, width {}, {}, patch {}, latent side {}, {} classes{}", c->depth,
                       c->hidden_size, heads_text(c->num_heads), c->patch_size, c->input_size, c->num_classes,
                       c->has_null_class ? "" : ", no null class");
  if (const auto* c = std::get_if<models::PixArtConfig>(&architecture))
    return fmt::format(
        "{}, depth {}, width {}, {}, patch {}, latent side {}, captions of {} x {}, positions / {}{}{}",
        models::TransformerConfig(*c).kind_name(), c->depth, c->hidden_size, heads_text(c->num_heads),
        c->patch_size, c->input_size, c->max_tokens, c->caption_channels, c->position_scale,
        described(c->kv_compression), described_control(c->control_blocks));
  if (const auto* c = std::get_if<models::VaeConfig>(&architecture); c && c->tiny) return described_tiny(*c);
  if (const auto* c = std::get_if<models::VaeConfig>(&architecture)) {
    std::vector<std::string> widths;
    for (const int64_t width : c->block_out_channels) widths.push_back(std::to_string(width));
    return fmt::format("autoencoder, widths {}, {} latent channels, scaling factor {}{}", join(widths, "-"),
                       c->latent_channels, c->scaling_factor,
                       c->shift_factor == 0 ? "" : fmt::format(", shift factor {}", c->shift_factor));
  }
  if (const auto* c = std::get_if<models::T5Config>(&architecture))
    return fmt::format("T5 encoder, {} layers, width {}, {} heads, vocabulary {}", c->num_layers, c->d_model,
                       c->num_heads, c->vocab_size);
  return "";
}

bool is_transformer(const Identity& identity) {
  return std::holds_alternative<models::DitConfig>(identity.architecture) ||
         std::holds_alternative<models::PixArtConfig>(identity.architecture);
}

// The architecture in the config.json next to the weights, if this layout has one.
Architecture from_config_json(Layout layout, const fs::path& config_json) {
  switch (layout) {
    case Layout::kDitDiffusers:
      return models::read_dit_config(config_json);
    case Layout::kPixArtDiffusers:
      return models::read_pixart_config(config_json);
    case Layout::kVae:
    case Layout::kVaeLdm:
    case Layout::kTinyVae:
      return models::read_vae_config(config_json);
    case Layout::kT5:
      return models::read_t5_config(config_json);
    default:
      return {};
  }
}

Architecture from_shapes(Layout layout, const Weights& weights, const LayoutHints& hints,
                         const std::string& subject, Identity& identity) {
  switch (layout) {
    case Layout::kDit:
      return dit_of(weights, hints, identity);
    case Layout::kPixArt:
      return pixart_of(weights, hints, identity);
    case Layout::kVae:
    case Layout::kVaeLdm:
      return vae_of(weights, layout, identity);
    case Layout::kTinyVae:
    case Layout::kTinyVaePart:
      return models::tiny_vae_config(models::with_tiny_names(weights, models::tiny_part_of(weights)),
                                     subject);
    case Layout::kT5:
      return t5_of(weights, identity);
    default:
      return {};
  }
}

}  // namespace

std::string layout_name(Layout layout) {
  switch (layout) {
    case Layout::kDit:
      return "DiT (official names)";
    case Layout::kPixArt:
      return "PixArt (official names)";
    case Layout::kDitDiffusers:
      return "DiT (diffusers)";
    case Layout::kPixArtDiffusers:
      return "PixArt (diffusers)";
    case Layout::kVae:
      return "AutoencoderKL (diffusers)";
    case Layout::kVaeLdm:
      return "AutoencoderKL (LDM names)";
    case Layout::kTinyVae:
      return "AutoencoderTiny (diffusers)";
    case Layout::kTinyVaePart:
      return "TAESD (encoder or decoder)";
    case Layout::kT5:
      return "T5 (Hugging Face)";
    case Layout::kLora:
      return "LoRA adapters";
    case Layout::kOptimizer:
      return "optimizer state (pixart checkpoint)";
    case Layout::kUnknown:
      break;
  }
  return "not recognised";
}

namespace {

// A scheduler that this program does not have keeps nobody from the weights: --prediction may answer.
void read_process(Opened& opened) {
  try {
    opened.identity.process = stated_process(opened.path, opened.weights.metadata);
  } catch (const UserError& error) {
    if (error.code() != ExitCode::kBadInput) throw;
    opened.weights.notes.emplace_back(error.what());
  }
}

}  // namespace

Opened open_and_identify(const fs::path& path, const std::string& which, const LayoutHints& hints) {
  return identified(path, formats::open_weights(path, which), hints);
}

Opened identified(const fs::path& path, Weights weights, const LayoutHints& hints) {
  Opened opened{.path = path, .weights = recognisable(std::move(weights), path.string())};
  Identity& identity = opened.identity;
  identity.layout = layout_of(opened.weights);
  const fs::path config_json = (fs::is_directory(path) ? path : path.parent_path()) / "config.json";
  const auto own = opened.weights.metadata.find(kArchitectureKey);
  const bool has_official_names = identity.layout == Layout::kDit || identity.layout == Layout::kPixArt;
  if (own != opened.weights.metadata.end() && has_official_names) {
    identity.architecture = parse_architecture(own->second, path.string());
  } else if (fs::exists(config_json)) {
    identity.architecture = from_config_json(identity.layout, config_json);
    complete_diffusers_config(opened, hints);
  }
  if (std::holds_alternative<std::monostate>(identity.architecture))
    identity.architecture = from_shapes(identity.layout, opened.weights, hints, path.string(), identity);
  identity.summary = described(identity.architecture);
  if (is_transformer(identity) || identity.layout == Layout::kLora) read_process(opened);
  if (holds_lora(opened.weights)) {
    const std::string lora = describe_lora(opened.weights);
    identity.summary = identity.summary.empty() ? lora : identity.summary + ", with " + lora;
  }
  return opened;
}

}  // namespace pixart::convert

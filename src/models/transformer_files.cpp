// The config.json of diffusers' transformers (DiTTransformer2DModel, PixArtTransformer2DModel and the older
// Transformer2DModel).
#include "json_config.h"
#include "kv_compression_json.h"
#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/diffusion/noise_schedule.h"
#include "pixart/formats/bounded_json.h"
#include "pixart/models/dit.h"
#include "pixart/models/pixart.h"

namespace pixart::models {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kLargestSide = 4096, kMostChannels = 1024;  // of a latent
constexpr int64_t kSizeOfMicroConditions =
    128;  // of a latent: diffusers then uses micro-conditions by default
constexpr int64_t kMostTokens = 8192;
constexpr const char *kMultiScale = "multi_scale", *kMaxTokens = "max_tokens",
                     *kCompression = "kv_compression";

// Heads, patches and channels, which both transformers write in the same way.
void read_common(JsonConfig& json, TransformerShape& c) {
  c.num_heads = json.count("num_attention_heads");
  c.hidden_size = c.num_heads * json.count("attention_head_dim");
  c.depth = json.count("num_layers", {}, kMostBlocks);
  c.input_size = json.count("sample_size", {}, kLargestSide);
  c.patch_size = json.count("patch_size", 2, kLargestPatch);
  c.in_channels = json.count("in_channels", 4, kMostChannels);
  const int64_t out_channels = json.count("out_channels", c.in_channels, 2 * kMostChannels);
  c.learn_sigma = out_channels == 2 * c.in_channels;
  if (!c.learn_sigma && out_channels != c.in_channels)
    json.problems().add(fmt::format("out_channels is {}; only {} or {} is supported.", out_channels,
                                    c.in_channels, 2 * c.in_channels));
  if (c.hidden_size > kWidest)
    json.problems().add(fmt::format("{} heads of {} channels: the width is at most {}.", c.num_heads,
                                    c.hidden_size / c.num_heads, kWidest));
  if (c.hidden_size % 4 != 0)
    json.problems().add(fmt::format("{} heads of {} channels: the width must be a multiple of 4.",
                                    c.num_heads, c.hidden_size / c.num_heads));
  if (c.input_size % c.patch_size != 0)
    json.problems().add(
        fmt::format("patch_size {} does not divide sample_size {}.", c.patch_size, c.input_size));
  json.only("attention_bias", true);
  json.only("activation_fn", "gelu-approximate");
  json.only("norm_elementwise_affine", false);
}

nlohmann::ordered_json common_json(const char* class_name, const TransformerShape& c) {
  return {{"_class_name", class_name},
          {"_diffusers_version", "0.25.0"},
          {"activation_fn", "gelu-approximate"},
          {"attention_bias", true},
          {"attention_head_dim", c.hidden_size / c.num_heads},
          {"dropout", 0.0},
          {"in_channels", c.in_channels},
          {"norm_elementwise_affine", false},
          {"norm_num_groups", 32},
          {"num_attention_heads", c.num_heads},
          {"num_layers", c.depth},
          {"out_channels", c.out_channels()},
          {"patch_size", c.patch_size},
          {"sample_size", c.input_size},
          {"upcast_attention", false}};
}

// Every published model with fixed positions has a smaller latent.
bool is_multi_scale_by_default(const PixArtConfig& c) {
  return c.micro_conditions || c.input_size >= kSizeOfMicroConditions;
}

KvCompression read_compression(JsonConfig& json, int64_t depth) {
  if (!json.has(kCompression)) return {};
  JsonConfig section = json.section(kCompression);
  KvCompression result = read_kv_compression(section);
  for (const auto& problem : result.problems(depth)) section.problems().add(problem + ".");
  json.take_problems(kCompression, section);
  return result;
}

// Keys that only this program's files have, where they differ from what their absence means.
void write_own_keys(nlohmann::ordered_json& json, const PixArtConfig& c) {
  if (c.multi_scale != is_multi_scale_by_default(c)) json[kMultiScale] = c.multi_scale;
  if (c.max_tokens != PixArtConfig().max_tokens) json[kMaxTokens] = c.max_tokens;
  if (!c.kv_compression.is_on()) return;
  json[kCompression] = formats::parse_ordered(kv_compression_text(c.kv_compression));
}

}  // namespace

PixArtConfig read_pixart_config(const fs::path& config_json) {
  JsonConfig json(config_json);
  PixArtConfig c;
  read_common(json, c);
  json.only("norm_type", "ada_norm_single");
  json.only("norm_eps", 1e-6);
  json.only("cross_attention_dim", c.hidden_size);
  c.caption_channels = json.count("caption_channels");
  c.position_scale = json.positive("interpolation_scale", double(std::max<int64_t>(c.input_size / 64, 1)));
  c.micro_conditions = json.flag("use_additional_conditions", c.input_size == kSizeOfMicroConditions);
  c.multi_scale = json.flag(kMultiScale, is_multi_scale_by_default(c));
  c.max_tokens = json.count(kMaxTokens, c.max_tokens, kMostTokens);
  c.kv_compression = read_compression(json, c.depth);
  if (c.micro_conditions && c.hidden_size % 3 != 0)
    json.problems().add(fmt::format("micro-conditions need a width divisible by 3, got {}.", c.hidden_size));
  json.finish();
  return c;
}

void write_pixart_config(const fs::path& config_json, const PixArtConfig& c) {
  auto json = common_json("PixArtTransformer2DModel", c);
  json["attention_type"] = "default";
  json["caption_channels"] = c.caption_channels;
  json["cross_attention_dim"] = c.hidden_size;
  json["interpolation_scale"] = c.position_scale;
  json["norm_eps"] = 1e-6;
  json["norm_type"] = "ada_norm_single";
  json["num_embeds_ada_norm"] = diffusion::Process{}.num_train_steps;
  json["use_additional_conditions"] = c.micro_conditions;
  write_own_keys(json, c);
  write_json(config_json, json);
}

void write_control_config(const fs::path& config_json, const PixArtConfig& c) {
  write_json(config_json, {{"_class_name", "PixArtControlNetAdapterModel"},
                           {"_diffusers_version", "0.32.0"},
                           {"num_layers", c.control_blocks}});
}

DitConfig read_dit_config(const fs::path& config_json) {
  JsonConfig json(config_json);
  DitConfig c;
  read_common(json, c);
  json.only("norm_type", "ada_norm_zero");
  c.num_classes = json.count("num_embeds_ada_norm", c.num_classes, kMostRows);
  json.finish();
  return c;
}

void write_dit_config(const fs::path& config_json, const DitConfig& c) {
  auto json = common_json("DiTTransformer2DModel", c);
  // diffusers uses it for one of the two norms of a block. The published model has 1e-6 in both, so this is
  // the nearest value that the class of diffusers allows.
  json["norm_eps"] = 1e-6;
  json["norm_type"] = "ada_norm_zero";
  json["num_embeds_ada_norm"] = c.num_classes;
  write_json(config_json, json);
}

}  // namespace pixart::models

// Reads and writes autoencoders in diffusers' folder layout.
#include <ATen/ATen.h>

#include <set>

#include "../json_config.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/formats/weights.h"
#include "pixart/models/vae.h"
#include "tiny_vae_files.h"
#include "vae_rules.h"

namespace pixart::models {
namespace fs = std::filesystem;

namespace {

constexpr size_t kMostLevels = 8;
constexpr int64_t kMostVaeChannels = 1024, kMostBlocksOfALevel = 64;  // of images and latents

std::vector<std::string> block_types(const VaeConfig& c, const char* type) {
  return std::vector<std::string>(c.block_out_channels.size(), type);
}

void check_kind(JsonConfig& json, const VaeConfig& c) {
  json.only("_class_name", "AutoencoderKL");
  json.only("act_fn", "silu");
  json.only("out_channels", c.in_channels);
  json.only("down_block_types", block_types(c, "DownEncoderBlock2D"));
  json.only("up_block_types", block_types(c, "UpDecoderBlock2D"));
  json.only("mid_block_add_attention", true);
  json.only("use_quant_conv", true);
  json.only("use_post_quant_conv", true);
}

}  // namespace

void VaeSize::validate(std::vector<std::string>& problems) const {
  if (block_out_channels.empty() || block_out_channels.size() > kMostLevels)
    problems.push_back(fmt::format("block_out_channels has {} entries; 1 to {} are supported",
                                   block_out_channels.size(), kMostLevels));
  for (const int64_t width : std::set<int64_t>(block_out_channels.begin(), block_out_channels.end()))
    if (norm_num_groups < 1 || width < 1 || width % norm_num_groups != 0)
      problems.push_back(
          fmt::format("norm_num_groups {} does not divide {} of block_out_channels", norm_num_groups, width));
}

namespace {

void add_tiny_problems(const VaeConfig& c, Problems& problems) {
  const auto& widths = c.block_out_channels;
  if (std::any_of(widths.begin(), widths.end(), [&](int64_t width) { return width != widths.front(); }))
    problems.add("a tiny autoencoder has the same width at every level.");
  for (const auto* blocks : {&c.tiny->encoder, &c.tiny->decoder}) {
    if (!blocks->empty() && blocks->size() != widths.size())
      problems.add(fmt::format("{} has {} levels of blocks for {} widths.",
                               blocks == &c.tiny->encoder ? "encoder" : "decoder", blocks->size(),
                               widths.size()));
    if (std::any_of(blocks->begin(), blocks->end(),
                    [](int64_t n) { return n < 1 || n > kMostBlocksOfALevel; }))
      problems.add(fmt::format("a level must have 1 to {} blocks.", kMostBlocksOfALevel));
  }
}

}  // namespace

void add_problems(const VaeConfig& c, Problems& problems) {
  std::vector<std::string> of_size;
  c.validate(of_size);
  for (const auto& problem : of_size) problems.add(problem + ".");
  for (const auto* list : {&c.latents_mean, &c.latents_std})
    if (!list->empty() && int64_t(list->size()) != c.latent_channels)
      problems.add(fmt::format("{} has {} entries for {} latent_channels.",
                               list == &c.latents_mean ? "latents_mean" : "latents_std", list->size(),
                               c.latent_channels));
  if (std::any_of(c.latents_std.begin(), c.latents_std.end(), [](double spread) { return !(spread > 0); }))
    problems.add("latents_std must be positive.");
  if (!(c.scaling_factor > 0) || !std::isfinite(c.scaling_factor))
    problems.add("scaling_factor must be positive.");
  if (!std::isfinite(c.shift_factor)) problems.add("shift_factor must be finite.");
  if (c.latent_channels < 1 || c.in_channels < 1 || c.layers_per_block < 1)
    problems.add("in_channels, latent_channels and layers_per_block must be at least 1.");
  if (c.tiny) add_tiny_problems(c, problems);
}

namespace {

VaeConfig read_kl_config(JsonConfig& json) {
  VaeConfig c;
  c.in_channels = json.count("in_channels", c.in_channels, kMostVaeChannels);
  c.latent_channels = json.count("latent_channels", c.latent_channels, kMostVaeChannels);
  c.block_out_channels = json.counts("block_out_channels");
  c.layers_per_block = json.count("layers_per_block", 1, kMostBlocksOfALevel);
  c.norm_num_groups = json.count("norm_num_groups", c.norm_num_groups);
  c.scaling_factor = json.positive("scaling_factor", c.scaling_factor);
  c.shift_factor = json.number("shift_factor", c.shift_factor);
  c.latents_mean = json.numbers("latents_mean");
  c.latents_std = json.numbers("latents_std");
  c.sample_size = json.count("sample_size", 0);
  c.force_upcast = json.flag("force_upcast", c.force_upcast);
  check_kind(json, c);
  return c;
}

}  // namespace

VaeConfig read_vae_config(const fs::path& config_json) {
  JsonConfig json(config_json);
  const bool is_tiny = json.text("_class_name", "") == "AutoencoderTiny";
  const VaeConfig c = is_tiny ? read_tiny_vae_config(json) : read_kl_config(json);
  add_problems(c, json.problems());
  json.finish();
  return c;
}

void write_vae_config(const fs::path& config_json, const VaeConfig& c) {
  PIXART_CHECK(!c.tiny, "nothing writes tiny autoencoders");
  const auto list_or_null = [](const std::vector<double>& list) {
    return list.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(list);
  };
  // As diffusers writes it where nothing is shifted.
  const auto null_or = [](double shift) {
    return shift == 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(shift);
  };
  nlohmann::ordered_json json = {{"_class_name", "AutoencoderKL"},
                                 {"act_fn", "silu"},
                                 {"in_channels", c.in_channels},
                                 {"out_channels", c.in_channels},
                                 {"latent_channels", c.latent_channels},
                                 {"block_out_channels", c.block_out_channels},
                                 {"down_block_types", block_types(c, "DownEncoderBlock2D")},
                                 {"up_block_types", block_types(c, "UpDecoderBlock2D")},
                                 {"layers_per_block", c.layers_per_block},
                                 {"norm_num_groups", c.norm_num_groups},
                                 {"scaling_factor", c.scaling_factor},
                                 {"shift_factor", null_or(c.shift_factor)},
                                 {"latents_mean", list_or_null(c.latents_mean)},
                                 {"latents_std", list_or_null(c.latents_std)},
                                 {"use_quant_conv", true},
                                 {"use_post_quant_conv", true},
                                 {"mid_block_add_attention", true},
                                 {"force_upcast", c.force_upcast}};
  if (c.sample_size > 0) json["sample_size"] = c.sample_size;
  write_json(config_json, json);
}

namespace {

// The weights under today's names, and their config.
struct Source {
  VaeConfig config;
  formats::Weights weights;
};

Source open_source(const fs::path& path) {
  if (auto taesd = open_taesd(path)) {
    VaeConfig config = tiny_vae_config(*taesd, path.string());
    return {.config = std::move(config), .weights = std::move(*taesd)};
  }
  const fs::path folder = fs::is_directory(path) ? path : path.parent_path();
  return {.config = read_vae_config(folder / "config.json"), .weights = formats::open_weights(path)};
}

std::map<std::string, at::Tensor> named(const Source& source) {
  auto tensors = formats::read_all(source.weights);
  return source.config.tiny ? tensors : rename_vae_weights(tensors, source.config);
}

}  // namespace

LoadedVae make_vae(const VaeConfig& config, const nn::StateDictOptions& options) {
  LoadedVae loaded;
  loaded.state = std::make_unique<nn::StateDict>(options);
  const nn::Scope scope(*loaded.state);
  if (config.tiny)
    loaded.tiny = std::make_unique<AutoencoderTiny>(scope, config);
  else
    loaded.vae = std::make_unique<AutoencoderKl>(scope, config);
  return loaded;
}

VaeConfig vae_config_of(const fs::path& path) {
  const fs::path config_json = path / "config.json";
  return fs::exists(config_json) ? read_vae_config(config_json) : open_source(path).config;
}

LoadedVae load_vae(const fs::path& path, at::Device device, at::ScalarType dtype) {
  Source source = open_source(path);
  // Names and shapes are compared before any memory is used.
  const Source shapes{.config = source.config, .weights = formats::shapes_only(source.weights)};
  nn::check_state(*make_vae(source.config, {.device = at::kMeta}).state, named(shapes), path.string());
  if (device.is_meta()) source = shapes;
  LoadedVae loaded = make_vae(source.config, {.dtype = dtype, .device = device});
  nn::load_state(*loaded.state, named(source), path.string());
  return loaded;
}

void save_vae(const fs::path& folder, const VaeConfig& config, const nn::StateDict& state) {
  std::vector<formats::NamedTensor> tensors;
  for (const auto& item : state.items()) tensors.push_back({item.name, item.tensor});
  create_folders(folder);
  formats::save_safetensors(folder / "diffusion_pytorch_model.safetensors", tensors);
  write_vae_config(folder / "config.json", config);
}

}  // namespace pixart::models

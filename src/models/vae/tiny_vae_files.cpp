// Reads tiny autoencoders in diffusers' layout, and in TAESD's own: a file for the encoder and one for the decoder, in
// which layers have only numbers.
#include <ATen/core/Tensor.h>

#include <algorithm>

#include "../json_config.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "tiny_vae_files.h"
#include "vae_rules.h"

namespace pixart::models {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kMostChainLayers = 600;  // of eight levels with 64 blocks each, and what is between them
constexpr std::string_view kEncoder = "encoder.layers.", kDecoder = "decoder.layers.";

// A chain of layers by what their numbers tell.
struct Chain {
  std::vector<int64_t> blocks = {};  // between two convolutions each
  int64_t in = 0, width = 0, out = 0;
  bool normed = false;
};

bool holds(const formats::Weights& weights, const std::string& name) {
  return weights.tensors.count(name) > 0;
}

bool is_convolution(const formats::Weights& weights, const std::string& name) {
  const auto found = weights.tensors.find(name);
  return found != weights.tensors.end() && found->second.shape.size() == 4;
}

Chain chain_of(const formats::Weights& weights, const std::string_view prefix, const std::string& subject) {
  Chain chain;
  int64_t waiting = 0, convolutions = 0;
  for (int64_t i = 0; i < kMostChainLayers; ++i) {
    const std::string layer = fmt::format("{}{}", prefix, i);
    if (is_convolution(weights, layer + ".conv.0.weight")) {
      ++waiting;
      chain.normed = chain.normed || holds(weights, layer + ".pool.0.weight");
    } else if (is_convolution(weights, layer + ".weight")) {
      const auto& shape = weights.tensors.at(layer + ".weight").shape;
      if (convolutions++ == 0)
        chain.in = shape[1], chain.width = shape[0];
      else
        chain.blocks.push_back(waiting);
      chain.out = shape[0];
      waiting = 0;
    }
  }
  const bool is_whole =
      !chain.blocks.empty() && waiting == 0 &&
      std::all_of(chain.blocks.begin(), chain.blocks.end(), [](auto count) { return count > 0; });
  if (!is_whole)
    throw UserError(
        fmt::format("{}: the layers of its {} are not those of a TAESD: residual blocks at each resolution, "
                    "with a convolution before, between and after them.",
                    subject, prefix.substr(0, prefix.find('.'))));
  return chain;
}

bool starts(const formats::Weights& weights, const std::string_view prefix) {
  const auto found = weights.tensors.lower_bound(std::string(prefix));
  return found != weights.tensors.end() && found->first.starts_with(prefix);
}

VaeConfig tiny_defaults() {
  VaeConfig c;
  c.layers_per_block = 1, c.norm_num_groups = 1;
  c.scaling_factor = 1;
  c.force_upcast = false;
  c.tiny = TinyBlocks{.encoder = {}, .decoder = {}};
  return c;
}

bool is_weight_file(const fs::path& path) {
  const std::string ending = path.extension();
  return ending == ".safetensors" || ending == ".pth" || ending == ".pt" || ending == ".bin";
}

// The file whose name ends in `part`; of the same name, safetensors first.
std::optional<fs::path> file_of(const fs::path& folder, const std::string& part) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (is_weight_file(at->path()) && at->path().stem().string().ends_with(part)) found.push_back(at->path());
  std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) { return a > b; });
  std::vector<std::string> names;
  for (const auto& path : found)
    if (names.empty() || names.back() != path.stem().string()) names.push_back(path.stem().string());
  if (names.size() > 1)
    throw UserError(
        fmt::format("{} has several files of an {} ({}): keep those of one tiny autoencoder in a folder of "
                    "their own.",
                    folder.string(), part, join(names, ", ")));
  return found.empty() ? std::nullopt : std::optional(found.front());
}

formats::Weights part_of_file(const fs::path& path, TinyPart wanted) {
  formats::Weights weights = formats::open_weights(path);
  if (tiny_part_of(weights) != wanted)
    throw UserError(fmt::format("{} is not the {} of a TAESD.", path.string(),
                                wanted == TinyPart::kEncoder ? "encoder" : "decoder"));
  return with_tiny_names(std::move(weights), wanted);
}

formats::Weights joined(formats::Weights a, formats::Weights b) {
  formats::Weights result{
      .tensors = a.tensors, .metadata = a.metadata, .files = a.files, .kind = "two files"};
  result.tensors.insert(b.tensors.begin(), b.tensors.end());
  result.files.insert(result.files.end(), b.files.begin(), b.files.end());
  result.read = [a = std::move(a), b = std::move(b)](const std::string& name) {
    return a.tensors.count(name) > 0 ? a.read(name) : b.read(name);
  };
  return result;
}

}  // namespace

TinyPart tiny_part_of(const formats::Weights& weights) {
  if (is_convolution(weights, "0.weight") && is_convolution(weights, "1.conv.0.weight"))
    return TinyPart::kEncoder;
  if (is_convolution(weights, "1.weight") && is_convolution(weights, "3.conv.0.weight"))
    return TinyPart::kDecoder;
  return TinyPart::kNone;
}

formats::Weights with_tiny_names(formats::Weights weights, TinyPart part) {
  if (part == TinyPart::kNone) return weights;
  // TAESD's decoder begins with the squashing of latents, which has a number there.
  const int64_t first = part == TinyPart::kDecoder ? 1 : 0;
  std::map<std::string, std::string> olds;
  formats::Weights result = weights;
  result.tensors.clear();
  for (const auto& [old_name, info] : weights.tensors) {
    const size_t dot = std::min(old_name.find('.'), old_name.size());
    const bool is_numbered = dot > 0 && dot <= 3 && old_name.find_first_not_of("0123456789") == dot;
    std::string name = old_name;  // a name that does not belong here is reported when the weights are loaded
    if (is_numbered)
      name = fmt::format("{}{}{}", part == TinyPart::kEncoder ? kEncoder : kDecoder,
                         std::stoll(old_name.substr(0, dot)) - first, old_name.substr(dot));
    result.tensors.emplace(name, info);
    olds.emplace(name, old_name);
  }
  result.read = [read = weights.read, olds = std::move(olds)](const std::string& name) {
    return read(olds.at(name));
  };
  return result;
}

VaeConfig tiny_vae_config(const formats::Weights& weights, const std::string& subject) {
  VaeConfig c = tiny_defaults();
  Problems problems;
  const auto take = [&](const Chain& chain, int64_t image, int64_t latent) {
    if (c.tiny->encoder.empty()) c.block_out_channels.assign(chain.blocks.size(), chain.width);
    if (chain.blocks.size() != c.block_out_channels.size() || chain.width != c.block_out_channels.front())
      problems.add("its encoder and decoder have different levels or widths.");
    c.in_channels = image, c.latent_channels = latent;
    c.tiny->normed = chain.normed;
  };
  if (starts(weights, kEncoder)) {
    const Chain chain = chain_of(weights, kEncoder, subject);
    take(chain, chain.in, chain.out);
    c.tiny->encoder = chain.blocks;
  }
  if (starts(weights, kDecoder)) {
    const Chain chain = chain_of(weights, kDecoder, subject);
    take(chain, chain.out, chain.in);
    c.tiny->decoder = chain.blocks;
  }
  add_problems(c, problems);
  problems.throw_if_any(subject);
  return c;
}

VaeConfig read_tiny_vae_config(JsonConfig& json) {
  constexpr int64_t kMostChannels = 1024;
  VaeConfig c = tiny_defaults();
  c.in_channels = json.count("in_channels", c.in_channels, kMostChannels);
  c.latent_channels = json.count("latent_channels", c.latent_channels, kMostChannels);
  c.block_out_channels = json.counts("encoder_block_out_channels");
  c.tiny->encoder = json.counts("num_encoder_blocks");
  c.tiny->decoder = json.counts("num_decoder_blocks");
  c.scaling_factor = json.positive("scaling_factor", c.scaling_factor);
  c.shift_factor = json.number("shift_factor", c.shift_factor);
  c.latents_mean = json.numbers("latents_mean");
  c.latents_std = json.numbers("latents_std");
  json.only("decoder_block_out_channels", c.block_out_channels);
  json.only("out_channels", c.in_channels);
  json.only("act_fn", "relu");
  json.only("upsample_fn", "nearest");
  json.only("upsampling_scaling_factor", 2);
  return c;
}

std::optional<formats::Weights> open_taesd(const fs::path& path) {
  if (!fs::is_directory(path)) {
    formats::Weights weights = formats::open_weights(path);
    const TinyPart part = tiny_part_of(weights);
    return part == TinyPart::kNone ? std::nullopt : std::optional(with_tiny_names(std::move(weights), part));
  }
  if (fs::exists(path / "config.json")) return std::nullopt;
  const auto encoder = file_of(path, "encoder"), decoder = file_of(path, "decoder");
  if (!encoder || !decoder) return std::nullopt;
  return joined(part_of_file(*encoder, TinyPart::kEncoder), part_of_file(*decoder, TinyPart::kDecoder));
}

bool holds_vae(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder / "config.json", error)) return true;
  return fs::is_directory(folder, error) && file_of(folder, "encoder") && file_of(folder, "decoder");
}

}  // namespace pixart::models

// Older names of the autoencoder's weights, from the latent diffusion code (LDM) and early diffusers.
#include <ATen/ATen.h>

#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/models/vae.h"

namespace pixart::models {

namespace {

using Parts = std::vector<std::string>;
using Names = std::map<std::string, std::string>;

const Names kAttentionOfLdm = {
    {"norm", "group_norm"}, {"q", "to_q"}, {"k", "to_k"}, {"v", "to_v"}, {"proj_out", "to_out.0"}};
const Names kAttentionOfOldDiffusers = {
    {"query", "to_q"}, {"key", "to_k"}, {"value", "to_v"}, {"proj_attn", "to_out.0"}};

std::string lookup(const Names& names, const std::string& name) {
  const auto found = names.find(name);
  return found == names.end() ? name : found->second;
}

Parts split(const std::string& name) {
  Parts parts;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    parts.push_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool is_index(const std::string& text) {
  return !text.empty() && text.size() <= 3 && text.find_first_not_of("0123456789") == std::string::npos;
}

// parts: encoder|decoder, mid, block_1|block_2|attn_1, ...
void rename_mid(Parts& parts) {
  parts[1] = "mid_block";
  if (parts[2] == "block_1")
    parts[2] = "resnets.0";
  else if (parts[2] == "block_2")
    parts[2] = "resnets.1";
  else if (parts[2] == "attn_1")
    parts[2] = "attentions.0", parts[3] = lookup(kAttentionOfLdm, parts[3]);
}

// parts: encoder|decoder, down|up, level, block|downsample|upsample, ... LDM numbers the decoder's levels
// from the finest one.
void rename_level(Parts& parts, size_t num_levels) {
  const bool up = parts[1] == "up";
  const size_t level = size_t(std::stoi(parts[2]));
  if (up && level < num_levels) parts[2] = std::to_string(num_levels - 1 - level);
  parts[1] = up ? "up_blocks" : "down_blocks";
  parts[3] = lookup({{"block", "resnets"}, {"downsample", "downsamplers.0"}, {"upsample", "upsamplers.0"}},
                    parts[3]);
  for (auto& part : parts) part = lookup({{"nin_shortcut", "conv_shortcut"}}, part);
}

std::string renamed(const std::string& name, size_t num_levels) {
  Parts parts = split(name);
  const bool known_side = parts[0] == "encoder" || parts[0] == "decoder";
  if (!known_side || parts.size() < 3) return name;
  const bool is_ldm_level =
      (parts[1] == "down" || parts[1] == "up") && is_index(parts[2]) && parts.size() > 4;
  if (parts[1] == "norm_out")
    parts[1] = "conv_norm_out";
  else if (parts[1] == "mid" && parts.size() > 4)
    rename_mid(parts);
  else if (is_ldm_level)
    rename_level(parts, num_levels);
  else if (parts[1] == "mid_block" && parts[2] == "attentions" && parts.size() > 5)
    parts[4] = lookup(kAttentionOfOldDiffusers, parts[4]);
  return join(parts, ".");
}

// The text before "encoder.conv_in.weight": "" or, in a whole checkpoint, e.g. "first_stage_model.".
std::string find_prefix(const std::vector<std::string>& names) {
  constexpr std::string_view kFirst = "encoder.conv_in.weight";
  std::vector<std::string> prefixes;
  for (const auto& name : names) {
    if (!name.ends_with(kFirst)) continue;
    const std::string prefix = name.substr(0, name.size() - kFirst.size());
    if (prefix.empty()) return prefix;
    if (prefix.back() == '.') prefixes.push_back(prefix);
  }
  if (prefixes.size() > 1) {
    throw UserError(fmt::format("the weights have {} autoencoders, under {}; keep only one of them.",
                                prefixes.size(), join(prefixes, ", ")));
  }
  return prefixes.empty() ? "" : prefixes.front();
}

// LDM trained its autoencoder together with a discriminator and kept an EMA of the weights; neither belongs
// to the model.
bool belongs_to_training(const std::string& name) {
  return name.starts_with("loss.") || name.starts_with("model_ema.");
}

}  // namespace

std::map<std::string, std::string> todays_vae_names(const std::vector<std::string>& names,
                                                    const VaeConfig& config) {
  const std::string prefix = find_prefix(names);
  std::map<std::string, std::string> todays, olds;
  for (const auto& full_name : names) {
    if (!full_name.starts_with(prefix)) continue;
    const std::string old_name = full_name.substr(prefix.size());
    if (belongs_to_training(old_name)) continue;
    const std::string name = renamed(old_name, config.block_out_channels.size());
    if (!olds.emplace(name, full_name).second)
      throw UserError(fmt::format("the weights have {} twice, under an old and a new name (one is {}).", name,
                                  full_name));
    todays.emplace(full_name, name);
  }
  return todays;
}

bool is_vae_attention_convolution(const std::string& todays_name, at::IntArrayRef shape) {
  return shape.size() == 4 && shape[2] == 1 && shape[3] == 1 &&
         todays_name.find(".attentions.") != std::string::npos;
}

std::map<std::string, at::Tensor> rename_vae_weights(const std::map<std::string, at::Tensor>& tensors,
                                                     const VaeConfig& config) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  std::map<std::string, at::Tensor> result;
  for (const auto& [old_name, name] : todays_vae_names(names, config)) {
    const at::Tensor& tensor = tensors.at(old_name);
    result.emplace(name, is_vae_attention_convolution(name, tensor.sizes()) ? tensor.flatten(1) : tensor);
  }
  return result;
}

}  // namespace pixart::models

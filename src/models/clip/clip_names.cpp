// The names of OpenAI's state dicts and of open_clip, which are the same but for "text." in front of the text
// tower's in newer models of open_clip.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "pixart/base/error.h"
#include "pixart/models/clip.h"

namespace pixart::models {

namespace {

using Tensors = std::map<std::string, at::Tensor>;

// The beginnings of names, and what takes their place. The first that fits counts.
constexpr std::array<std::pair<std::string_view, std::string_view>, 13> kBeginnings = {{
    {"visual.class_embedding", "vision_model.embeddings.class_embedding"},
    {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"},
    {"visual.conv1.", "vision_model.embeddings.patch_embedding."},
    {"visual.ln_pre.", "vision_model.pre_layrnorm."},
    {"visual.ln_post.", "vision_model.post_layernorm."},
    {"visual.transformer.resblocks.", "vision_model.encoder.layers."},
    {"visual.proj", "visual_projection.weight"},
    {"token_embedding.", "text_model.embeddings.token_embedding."},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"ln_final.", "text_model.final_layer_norm."},
    {"transformer.resblocks.", "text_model.encoder.layers."},
    {"text_projection", "text_projection.weight"},
    {"logit_scale", "logit_scale"},
}};

constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kInsideBlocks = {{
    {".attn.out_proj.", ".self_attn.out_proj."},
    {".ln_1.", ".layer_norm1."},
    {".ln_2.", ".layer_norm2."},
    {".mlp.c_fc.", ".mlp.fc1."},
    {".mlp.c_proj.", ".mlp.fc2."},
}};

// Values that describe the model, and the mask of the text: no weights.
constexpr std::array<std::string_view, 4> kNotWeights = {"input_resolution", "context_length", "vocab_size",
                                                         "attn_mask"};

std::string without_text(const std::string& name) {
  constexpr std::string_view kText = "text.";
  return name.starts_with(kText) ? name.substr(kText.size()) : name;
}

std::string renamed(const std::string& name) {
  std::string result = name;
  for (const auto& [from, to] : kBeginnings) {
    if (!name.starts_with(from)) continue;
    result.replace(0, from.size(), to);
    break;
  }
  for (const auto& [from, to] : kInsideBlocks) {
    const size_t at = result.find(from);
    if (at != std::string::npos) result.replace(at, from.size(), to);
  }
  return result;
}

bool is_matrix(const at::Tensor& tensor) { return tensor.dim() == 2; }

// OpenAI multiplies from the left: [width, embedding].
bool is_projection(const std::string& name) { return name == "visual.proj" || name == "text_projection"; }

// The queries, keys and values in one tensor.
void add_thirds(const std::string& name, size_t at, const at::Tensor& tensor, const std::string& subject,
                Tensors& result) {
  if (tensor.dim() < 1 || tensor.size(0) % 3 != 0)
    throw UserError(fmt::format("{}: {} cannot be divided into queries, keys and values.", subject, name));
  const std::string kind = name.ends_with("weight") ? "weight" : "bias";
  const auto thirds = tensor.chunk(3, 0);
  for (size_t i = 0; i < 3; ++i)
    result.emplace(renamed(name.substr(0, at)) + ".self_attn." + "qkv"[i] + "_proj." + kind, thirds[i]);
}

}  // namespace

Tensors rename_clip_weights(Tensors tensors, const std::string& subject) {
  if (!tensors.contains("visual.conv1.weight")) return tensors;
  Tensors result;
  for (const auto& [full_name, tensor] : tensors) {
    const std::string name = without_text(full_name);
    const size_t packed = name.find(".attn.in_proj_");
    if (std::find(kNotWeights.begin(), kNotWeights.end(), name) != kNotWeights.end()) continue;
    if (packed != std::string::npos)
      add_thirds(name, packed, tensor, subject, result);
    else
      result.emplace(renamed(name),
                     is_projection(name) && is_matrix(tensor) ? tensor.t().contiguous() : tensor);
  }
  return result;
}

}  // namespace pixart::models

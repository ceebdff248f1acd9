// The names of BLIP's own files, and the sizes that their shapes tell.
#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/models/blip.h"

namespace pixart::models {

namespace {

using Tensors = std::map<std::string, at::Tensor>;
using Names = std::pair<std::string_view, std::string_view>;

constexpr std::string_view kOwnVision = "visual_encoder.", kOwnBlocks = "visual_encoder.blocks.";

constexpr std::array<Names, 5> kBlipBeginnings = {{
    {"visual_encoder.cls_token", "vision_model.embeddings.class_embedding"},
    {"visual_encoder.pos_embed", "vision_model.embeddings.position_embedding"},
    {"visual_encoder.patch_embed.proj.", "vision_model.embeddings.patch_embedding."},
    {"visual_encoder.norm.", "vision_model.post_layernorm."},
    {kOwnBlocks, "vision_model.encoder.layers."},
}};

constexpr std::array<Names, 4> kInsideBlipBlocks = {{
    {".attn.qkv.", ".self_attn.qkv."},
    {".attn.proj.", ".self_attn.projection."},
    {".norm1.", ".layer_norm1."},
    {".norm2.", ".layer_norm2."},
}};

std::string blip_renamed(const std::string& name) {
  std::string result = name;
  if (!name.starts_with(kOwnVision)) return result;
  for (const auto& [from, to] : kBlipBeginnings) {
    if (!name.starts_with(from)) continue;
    result.replace(0, from.size(), to);
    break;
  }
  for (const auto& [from, to] : kInsideBlipBlocks) {
    const size_t at = result.find(from);
    if (at != std::string::npos) result.replace(at, from.size(), to);
  }
  return result;
}

// Gives `name` the tensor of `twin` if it has none.
void take_twin(Tensors& tensors, const std::string& name, const std::string& twin) {
  const auto found = tensors.find(twin);
  if (found != tensors.end()) tensors.try_emplace(name, found->second);
}

}  // namespace

Tensors rename_blip_weights(Tensors tensors) {
  Tensors result;
  for (const auto& [name, tensor] : tensors)
    if (!name.ends_with(".position_ids")) result.emplace(blip_renamed(name), tensor);
  const std::string head = "text_decoder.cls.predictions.";
  take_twin(result, head + "decoder.weight", "text_decoder.bert.embeddings.word_embeddings.weight");
  take_twin(result, head + "bias", head + "decoder.bias");
  result.erase(head + "decoder.bias");
  return result;
}

namespace {

// Reads sizes from the shapes of weights.
struct Shapes {
  const formats::Weights& weights;
  const std::string& subject;

  // A dimension of a tensor that has `dims` of them.
  int64_t size(const std::string& name, size_t dims, size_t dim) const {
    const auto found = weights.tensors.find(name);
    if (found == weights.tensors.end())
      throw UserError(fmt::format(
          "{}: it has no tensor {}, which BLIP's own files have. A folder of Hugging Face needs its "
          "config.json.",
          subject, name));
    const auto& shape = found->second.shape;
    if (shape.size() != dims || shape[dim] < 1)
      throw UserError(
          fmt::format("{}: {} is {}, which no BLIP model has.", subject, name, shape_text(shape)));
    return shape[dim];
  }
  // The number of blocks with names like `before`0`after`.
  int64_t blocks(std::string_view before, std::string_view after) const {
    int64_t count = 0;
    while (weights.tensors.contains(fmt::format("{}{}{}", before, count, after))) ++count;
    return count;
  }
  int64_t heads(int64_t width) const {
    constexpr int64_t kHeadWidth = 64;
    if (width % kHeadWidth != 0)
      throw UserError(
          fmt::format("{}: {} channels are not a multiple of the {} of a head in BLIP's own models.", subject,
                      width, kHeadWidth));
    return width / kHeadWidth;
  }
};

// The side of the square of patches whose positions a file holds, the class token's among them.
int64_t side_of(int64_t positions, const std::string& subject) {
  const auto side = int64_t(std::llround(std::sqrt(double(positions - 1))));
  if (side < 1 || side * side + 1 != positions)
    throw UserError(fmt::format("{}: its {} positions are not those of a square image.", subject, positions));
  return side;
}

}  // namespace

BlipConfig blip_config_of(const formats::Weights& weights, const std::string& subject) {
  const Shapes shapes{.weights = weights, .subject = subject};
  BlipConfig c;
  auto& [vision, text] = c;
  vision.width = shapes.size("visual_encoder.cls_token", 3, 2);
  vision.heads = shapes.heads(vision.width);
  vision.patch_size = shapes.size("visual_encoder.patch_embed.proj.weight", 4, 2);
  vision.image_size = vision.patch_size * side_of(shapes.size("visual_encoder.pos_embed", 3, 1), subject);
  vision.mlp = shapes.size("visual_encoder.blocks.0.mlp.fc1.weight", 2, 0);
  vision.layers = shapes.blocks(kOwnBlocks, ".norm1.weight");
  const std::string words = "text_encoder.embeddings.word_embeddings.weight",
                    layer = "text_encoder.encoder.layer.";
  text.vocab_size = shapes.size(words, 2, 0);
  text.width = shapes.size(words, 2, 1);
  text.heads = shapes.heads(text.width);
  text.max_tokens = shapes.size("text_encoder.embeddings.position_embeddings.weight", 2, 0);
  text.mlp = shapes.size(layer + "0.intermediate.dense.weight", 2, 0);
  text.layers = shapes.blocks(layer, ".attention.self.query.weight");
  return c;
}

}  // namespace pixart::models

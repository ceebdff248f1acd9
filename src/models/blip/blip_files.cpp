// Reads BLIP models: files with BLIP's own names, and folders of Hugging Face.
#include <ATen/ATen.h>

#include "../json_config.h"
#include "pixart/base/error.h"
#include "pixart/models/blip.h"

namespace pixart::models {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kWidestBlip = int64_t{1} << 20;  // channels inside a layer

// What both parts of a config say.
template <class Part>
void read_shared(JsonConfig& json, Part& part) {
  part.width = json.count("hidden_size", part.width);
  part.layers = json.count("num_hidden_layers", part.layers, kMostBlocks);
  part.mlp = json.count("intermediate_size", part.mlp, kWidestBlip);
  part.eps = json.positive("layer_norm_eps", part.eps);
  json.only("hidden_act", "gelu");
  if (part.width % part.heads != 0)
    json.problems().add(fmt::format("{} heads do not divide {} channels equally.", part.heads, part.width));
}

BlipVision read_vision(JsonConfig& json) {
  constexpr int64_t kSideOfHuggingFace = 384;
  BlipVision c{.image_size = kSideOfHuggingFace, .eps = 1e-5};  // what Hugging Face's files leave out
  c.heads = json.count("num_attention_heads", c.heads);
  read_shared(json, c);
  c.image_size = json.count("image_size", c.image_size);
  c.patch_size = json.count("patch_size", c.patch_size, kLargestPatch);
  if (c.patch_size > c.image_size)
    json.problems().add(
        fmt::format("the patch size {} is larger than the image size {}.", c.patch_size, c.image_size));
  return c;
}

// The heads have no fallback: transformers' is 8, and all published models have 12.
BlipText read_text(JsonConfig& json) {
  BlipText c;
  c.heads = json.count("num_attention_heads");
  read_shared(json, c);
  c.vocab_size = json.count("vocab_size", c.vocab_size, kMostRows);
  c.max_tokens = json.count("max_position_embeddings", c.max_tokens);
  return c;
}

struct Opened {
  BlipConfig config;
  formats::Weights weights;
  std::string subject;
};

// Compares names and shapes before any memory is used.
void check_fits(const Opened& opened, BlipParts parts) {
  nn::StateDict state({.device = at::kMeta});
  const BlipModel model(nn::Scope(state), opened.config, parts);
  nn::check_state(state, rename_blip_weights(formats::read_all(formats::shapes_only(opened.weights))),
                  opened.subject);
}

LoadedBlip load(const Opened& opened, BlipParts parts, at::Device device) {
  LoadedBlip loaded;
  loaded.state = std::make_unique<nn::StateDict>(
      nn::StateDictOptions{.dtype = at::kFloat, .device = device, .zeros = false});
  loaded.model = std::make_unique<BlipModel>(nn::Scope(*loaded.state), opened.config, parts);
  nn::adopt_state(*loaded.state, rename_blip_weights(formats::read_all(opened.weights)), opened.subject);
  return loaded;
}

Opened open_vqa(const fs::path& path) {
  if (!fs::exists(path))
    throw UserError(
        fmt::format("{} does not exist: give model_base_vqa_capfilt_large.pth of BLIP, or a folder of "
                    "BlipForQuestionAnswering with config.json.",
                    path.string()));
  const fs::path config = path / "config.json";
  const bool is_folder = fs::is_directory(path);
  if (is_folder && !fs::exists(config))
    throw UserError(fmt::format(
        "{} has no config.json: give a folder of BlipForQuestionAnswering, or a file with BLIP's own names.",
        path.string()));
  Opened opened{.config = {}, .weights = formats::open_weights(path), .subject = path.string()};
  opened.config = is_folder ? read_blip_config(config) : blip_config_of(opened.weights, opened.subject);
  check_fits(opened, BlipParts::kWithDecoder);
  return opened;
}

Opened open_encoders(const formats::Weights& weights, const std::string& subject) {
  Opened opened{.config = blip_config_of(weights, subject), .weights = weights, .subject = subject};
  const auto is_other = [](const auto& item) {
    return !item.first.starts_with("visual_encoder.") && !item.first.starts_with("text_encoder.");
  };
  std::erase_if(opened.weights.tensors, is_other);
  check_fits(opened, BlipParts::kEncoders);
  return opened;
}

}  // namespace

BlipConfig read_blip_config(const fs::path& config_json) {
  JsonConfig json(config_json);
  json.only("model_type", "blip", /*absent_is_fine=*/false);
  auto vision = json.section("vision_config"), text = json.section("text_config");
  const BlipConfig c{.vision = read_vision(vision), .text = read_text(text)};
  json.take_problems("vision_config", vision);
  json.take_problems("text_config", text);
  json.finish();
  return c;
}

BlipConfig check_blip_vqa_weights(const fs::path& path) { return open_vqa(path).config; }

LoadedBlip load_blip_vqa_weights(const fs::path& path, at::Device device) {
  return load(open_vqa(path), BlipParts::kWithDecoder, device);
}

BlipConfig check_blip_encoders(const formats::Weights& weights, const std::string& subject) {
  return open_encoders(weights, subject).config;
}

LoadedBlip load_blip_encoders(const formats::Weights& weights, const std::string& subject,
                              at::Device device) {
  return load(open_encoders(weights, subject), BlipParts::kEncoders, device);
}

}  // namespace pixart::models

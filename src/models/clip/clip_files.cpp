// Reads CLIP models in the folder layouts of Hugging Face and open_clip.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>

#include "../json_config.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/formats/weights.h"
#include "pixart/models/clip.h"

namespace pixart::models {
namespace fs = std::filesystem;

namespace {

constexpr const char *kHuggingFaceConfig = "config.json", *kOpenClipConfig = "open_clip_config.json";
constexpr std::array kOpenClipWeights = {"open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
                                         "open_clip_pytorch_model.bin"};
constexpr std::array kUsualWeights = {"model.safetensors", "model.safetensors.index.json",
                                      "pytorch_model.bin", "pytorch_model.bin.index.json"};
constexpr int64_t kWidestInside = int64_t{1} << 20;  // channels inside a layer
constexpr int64_t kAmbiguousEnd = 2;  // in older files of transformers; they mean the largest id

ClipActivation activation_of(JsonConfig& json) {
  const std::string name = json.text("hidden_act", "quick_gelu");
  if (name != "quick_gelu" && name != "gelu")
    json.problems().add(fmt::format("hidden_act is '{}'; quick_gelu and gelu are supported.", name));
  return name == "gelu" ? ClipActivation::kGelu : ClipActivation::kQuickGelu;
}

void check_heads(const ClipTower& tower, JsonConfig& json) {
  if (tower.heads < 1 || tower.width % tower.heads != 0)
    json.problems().add(fmt::format("{} heads do not divide {} channels equally.", tower.heads, tower.width));
}

void check_patch(const ClipConfig& c, JsonConfig& json) {
  if (c.patch_size > c.image_size)
    json.problems().add(
        fmt::format("the patch size {} is larger than the image size {}.", c.patch_size, c.image_size));
}

ClipTower read_tower(JsonConfig& json, const ClipTower& defaults) {
  ClipTower tower;
  tower.width = json.count("hidden_size", defaults.width);
  tower.layers = json.count("num_hidden_layers", defaults.layers, kMostBlocks);
  tower.heads = json.count("num_attention_heads", defaults.heads);
  tower.mlp = json.count("intermediate_size", defaults.mlp, kWidestInside);
  tower.activation = activation_of(json);
  json.only("layer_norm_eps", 1e-5);
  check_heads(tower, json);
  return tower;
}

ClipConfig read_hugging_face(JsonConfig& json) {
  ClipConfig c;
  json.only("model_type", "clip", /*absent_is_fine=*/false);
  c.embedding = json.count("projection_dim", c.embedding);
  auto vision = json.section("vision_config", "vision_config_dict");
  c.vision = read_tower(vision, c.vision);
  c.image_size = vision.count("image_size", c.image_size);
  c.patch_size = vision.count("patch_size", c.patch_size, kLargestPatch);
  vision.only("num_channels", 3);
  check_patch(c, vision);
  auto text = json.section("text_config", "text_config_dict");
  c.text = read_tower(text, c.text);
  c.vocab_size = text.count("vocab_size", c.vocab_size, kMostRows);
  c.max_tokens = text.count("max_position_embeddings", c.max_tokens);
  const int64_t end = text.count("eos_token_id", 49407, kMostRows);
  c.end_token = end == kAmbiguousEnd ? -1 : end;
  json.take_problems("vision_config", vision);
  json.take_problems("text_config", text);
  return c;
}

ClipTower read_open_clip_tower(JsonConfig& json, const ClipTower& defaults) {
  ClipTower tower;
  tower.width = json.count("width", defaults.width);
  tower.layers = json.count("layers", defaults.layers, kMostBlocks);
  tower.mlp = int64_t(double(tower.width) * std::min(json.positive("mlp_ratio", 4.0), 16.0));
  return tower;
}

// Other networks than the two transformers of CLIP.
void refuse_other_networks(JsonConfig& vision, JsonConfig& text) {
  for (const char* key : {"timm_model_name", "ls_init_value"}) vision.only(key, nullptr);
  for (const char* key : {"attentional_pool", "no_ln_pre", "final_ln_after_pool"}) vision.only(key, false);
  vision.only("pool_type", "tok");
  for (const char* key : {"hf_model_name", "hf_tokenizer_name", "ls_init_value"}) text.only(key, nullptr);
  for (const char* key : {"no_causal_mask", "embed_cls", "proj_bias"}) text.only(key, false);
  text.only("pool_type", "argmax");
  text.only("proj_type", "linear");
}

ClipConfig read_open_clip(JsonConfig& json) {
  ClipConfig c;
  c.embedding = json.count("embed_dim");
  const bool quick = json.flag("quick_gelu", false);
  auto vision = json.section("vision_cfg"), text = json.section("text_cfg");
  c.vision = read_open_clip_tower(vision, c.vision);
  const int64_t head_width = vision.count("head_width", 64);
  c.vision.heads = c.vision.width % head_width == 0 ? c.vision.width / head_width : 0;
  c.image_size = vision.count("image_size", c.image_size);
  c.patch_size = vision.count("patch_size", c.patch_size, kLargestPatch);
  c.text = read_open_clip_tower(text, c.text);
  c.text.heads = text.count("heads", c.text.heads);
  c.vocab_size = text.count("vocab_size", c.vocab_size, kMostRows);
  c.max_tokens = text.count("context_length", c.max_tokens);
  for (auto* tower : {&c.vision, &c.text})
    tower->activation = quick ? ClipActivation::kQuickGelu : ClipActivation::kGelu;
  check_heads(c.vision, vision);
  check_heads(c.text, text);
  check_patch(c, vision);
  refuse_other_networks(vision, text);
  json.take_problems("vision_cfg", vision);
  json.take_problems("text_cfg", text);
  return c;
}

fs::path config_in(const fs::path& folder) {
  for (const char* name : {kHuggingFaceConfig, kOpenClipConfig})
    if (fs::exists(folder / name)) return folder / name;
  throw UserError(
      fmt::format("{} has neither {} nor {}. Weights of CLIP alone do not say which activation they need: "
                  "give the folder of a published model, or put its config next to the weights.",
                  folder.string(), kHuggingFaceConfig, kOpenClipConfig));
}

// What open_weights() opens: a file that only CLIP models have, or the folder with its usual names.
fs::path weights_in(const fs::path& folder) {
  const auto is_there = [&](const char* name) { return fs::exists(folder / name); };
  if (std::any_of(kUsualWeights.begin(), kUsualWeights.end(), is_there)) return folder;
  for (const char* name : kOpenClipWeights)
    if (is_there(name)) return folder / name;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".pt") found.push_back(entry.path());
  return found.size() == 1 ? found.front() : folder;
}

// Buffers of older files, which count the positions.
nn::LoadAllowance clip_allowance() {
  return {
      .may_be_missing = {},
      .may_be_unexpected = {"text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"}};
}

// Compares names and shapes before any memory is used.
void check_fits(const ClipConfig& config, const formats::Weights& weights, const std::string& subject) {
  nn::StateDict state({.device = at::kMeta});
  const ClipModel model(nn::Scope(state), config);
  nn::check_state(state, rename_clip_weights(formats::read_all(formats::shapes_only(weights)), subject),
                  subject, clip_allowance());
}

}  // namespace

ClipConfig read_clip_config(const fs::path& config_json) {
  JsonConfig whole(config_json);
  JsonConfig inner = whole.section("model_cfg");
  JsonConfig& json = whole.has("model_cfg") ? inner : whole;
  const bool is_open_clip = json.has("embed_dim") || json.has("vision_cfg");
  const ClipConfig c = is_open_clip ? read_open_clip(json) : read_hugging_face(json);
  json.finish();
  return c;
}

namespace {

struct OpenedFolder {
  ClipConfig config;
  fs::path file;  // or the folder with shards
  formats::Weights weights;
};

OpenedFolder open_folder(const fs::path& folder) {
  if (!fs::is_directory(folder))
    throw UserError(
        fmt::format("{} is not a folder; expected one with config.json and the weights of a CLIP model.",
                    folder.string()));
  const ClipConfig config = read_clip_config(config_in(folder));
  const fs::path file = weights_in(folder);
  OpenedFolder opened{.config = config, .file = file, .weights = formats::open_weights(file)};
  check_fits(config, opened.weights, file.string());
  return opened;
}

}  // namespace

ClipConfig check_clip_folder(const fs::path& folder) { return open_folder(folder).config; }

LoadedClip load_clip(const fs::path& folder, at::Device device, at::ScalarType dtype) {
  OpenedFolder opened = open_folder(folder);
  if (device.is_meta()) opened.weights = formats::shapes_only(std::move(opened.weights));
  const std::string subject = opened.file.string();
  LoadedClip loaded{.state = {}, .model = {}, .weights = opened.file};
  loaded.state =
      std::make_unique<nn::StateDict>(nn::StateDictOptions{.dtype = dtype, .device = device, .zeros = false});
  loaded.model = std::make_unique<ClipModel>(nn::Scope(*loaded.state), opened.config);
  nn::adopt_state(*loaded.state, rename_clip_weights(formats::read_all(opened.weights), subject), subject,
                  clip_allowance());
  return loaded;
}

}  // namespace pixart::models

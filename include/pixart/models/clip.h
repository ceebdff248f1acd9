// CLIP: two transformers that map images and texts to vectors of one space. Results must match transformers'
// CLIPModel. The weights have Hugging Face's names; those of OpenAI's state dicts and of open_clip are mapped.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "pixart/nn/state_dict.h"

namespace pixart::models {

// OpenAI's weights need QuickGELU, x * sigmoid(1.702 x); most of open_clip's need GELU.
enum class ClipActivation { kQuickGelu, kGelu };

struct ClipTower {
  int64_t width = 512;
  int64_t layers = 12;
  int64_t heads = 8;
  int64_t mlp = 2048;  // channels inside the feed-forward layers
  ClipActivation activation = ClipActivation::kQuickGelu;
};

// The defaults are those that Hugging Face's files leave out (ViT-B/32).
struct ClipConfig {
  ClipTower vision = {.width = 768, .layers = 12, .heads = 12, .mlp = 3072};
  ClipTower text = {};
  int64_t image_size = 224;  // height and width of the input
  int64_t patch_size = 32;
  int64_t vocab_size = 49408;
  int64_t max_tokens = 77;
  // The token whose state is the text's: the first with this id. -1: the first with the largest id of the text,
  // as OpenAI and open_clip do, and transformers for files with the end token 2.
  int64_t end_token = -1;
  int64_t embedding = 512;  // channels of both embeddings
};

// config.json of transformers' CLIPModel, open_clip_config.json or a model file of open_clip ("embed_dim",
// "vision_cfg", "text_cfg"). Throws UserError that lists every wrong or unsupported value.
ClipConfig read_clip_config(const std::filesystem::path& config_json);

// The tensors under Hugging Face's names: of a file with the names of OpenAI or open_clip, otherwise as they
// are. Throws UserError about `subject` if a tensor cannot be divided.
std::map<std::string, at::Tensor> rename_clip_weights(std::map<std::string, at::Tensor> tensors,
                                                      const std::string& subject);

class ClipModel {
 public:
  ClipModel(const nn::Scope& scope, const ClipConfig& config);
  // images [B, 3, image_size, image_size], normalised -> [B, embedding]. Appends the embeddings and the output of
  // each block to `hidden`.
  at::Tensor image_features(const at::Tensor& images, std::vector<at::Tensor>* hidden = nullptr) const;
  // ids [B, T] int64, T <= max_tokens -> [B, embedding]. What follows the end token has no effect.
  at::Tensor text_features(const at::Tensor& ids, std::vector<at::Tensor>* hidden = nullptr) const;
  double logit_scale() const;  // the factor of a cosine, exp of the stored value
  const ClipConfig& config() const { return config_; }

 private:
  ClipConfig config_;
  std::shared_ptr<struct ClipLayers> layers_;
};

// The config of a folder that load_clip() can load: names and shapes of the weights fit it. No weight is read.
// Throws UserError.
ClipConfig check_clip_folder(const std::filesystem::path& folder);

struct LoadedClip {
  std::unique_ptr<nn::StateDict> state;
  std::unique_ptr<ClipModel> model;
  std::filesystem::path weights;  // the file, or the folder with shards
};
// Loads a folder with config.json or open_clip_config.json and weights: the usual names,
// open_clip_model.safetensors, open_clip_pytorch_model.bin, or the only .pt file. Only the config knows the
// activation and the heads, so weights alone are refused. On the meta device it checks names and shapes and reads
// no value. Throws UserError.
LoadedClip load_clip(const std::filesystem::path& folder, at::Device device,
                     at::ScalarType dtype = at::kFloat);

}  // namespace pixart::models

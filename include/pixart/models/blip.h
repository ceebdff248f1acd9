// BLIP: a vision transformer, a BERT encoder that reads texts with cross-attention to the image, and a BERT
// decoder that answers with cross-attention to the text. Results must match transformers'
// BlipForQuestionAnswering. The weights have Hugging Face's names; those of BLIP's own files are mapped.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "pixart/formats/weights.h"
#include "pixart/nn/state_dict.h"

namespace pixart::models {

// The defaults are those of BLIP's own base model.
struct BlipVision {
  int64_t width = 768, layers = 12, heads = 12;
  int64_t mlp = 3072;        // channels inside the feed-forward layers
  int64_t image_size = 480;  // height and width of the input
  int64_t patch_size = 16;
  double eps = 1e-6;  // of the norms; Hugging Face's files say 1e-5
};

// Of the text encoder and of the answer decoder.
struct BlipText {
  int64_t width = 768, layers = 12, heads = 12;
  int64_t mlp = 3072;
  int64_t vocab_size = 30524;
  int64_t max_tokens = 512;
  double eps = 1e-12;
};

struct BlipConfig {
  BlipVision vision = {};
  BlipText text = {};
};

// What a model has besides image and text encoder.
enum class BlipParts { kEncoders, kWithDecoder };

class BlipModel {
 public:
  BlipModel(const nn::Scope& scope, const BlipConfig& config, BlipParts parts);
  // images [B, 3, image_size, image_size], normalised -> [B, N, width]: the class token, then the patches.
  at::Tensor image_states(const at::Tensor& images) const;
  // ids [B, T] int64, mask [B, T] (1 = token), T <= max_tokens; images [B, N, width of the images] -> [B, T,
  // width]. What is masked has no effect on the others.
  at::Tensor text_states(const at::Tensor& ids, const at::Tensor& mask, const at::Tensor& images) const;
  // answers [B, A] int64, texts [B, T, width] with their mask [B, T] -> [B, A, vocab_size]: what follows each
  // token.
  at::Tensor answer_logits(const at::Tensor& answers, const at::Tensor& texts, const at::Tensor& mask) const;
  const BlipConfig& config() const { return config_; }

 private:
  BlipConfig config_;
  std::shared_ptr<struct BlipLayers> layers_;
};

// config.json of transformers' BlipForQuestionAnswering. Throws UserError that lists every wrong or
// unsupported value.
BlipConfig read_blip_config(const std::filesystem::path& config_json);

// The sizes of weights with BLIP's own names, which have no config: heads have 64 channels, as in every
// published model. Throws UserError about `subject` if a tensor is missing, or has another shape than such a
// model.
BlipConfig blip_config_of(const formats::Weights& weights, const std::string& subject);

// The tensors under Hugging Face's names, without those that count positions, and with one of each that is
// stored twice: the weight of the last layer of answers (otherwise that of the words) and its bias.
std::map<std::string, at::Tensor> rename_blip_weights(std::map<std::string, at::Tensor> tensors);

struct LoadedBlip {
  std::unique_ptr<nn::StateDict> state;  // float32
  std::unique_ptr<BlipModel> model;
};

// BLIP-VQA: a file with BLIP's own names (model_base_vqa_capfilt_large.pth), or a folder with config.json and
// the weights of BlipForQuestionAnswering. The first compares names and shapes, and reads no weight. Both
// throw UserError.
BlipConfig check_blip_vqa_weights(const std::filesystem::path& path);
LoadedBlip load_blip_vqa_weights(const std::filesystem::path& path, at::Device device);

// The encoders alone, of weights with BLIP's own names that were opened from `subject`; others may be among
// them.
BlipConfig check_blip_encoders(const formats::Weights& weights, const std::string& subject);
LoadedBlip load_blip_encoders(const formats::Weights& weights, const std::string& subject, at::Device device);

}  // namespace pixart::models

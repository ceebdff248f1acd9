// Small transformers in files, for tests of conversions.
#pragma once
#include <ATen/ATen.h>

#include <filesystem>

#include "pixart/formats/tensor_file.h"
#include "pixart/formats/weights.h"
#include "pixart/models/transformer.h"
#include "scratch_folder.h"

namespace pixart::convert {

class ModelFiles : public testing::ScratchFolder {
 protected:
  template <class Model, class Config>
  std::filesystem::path save(const std::string& name, const Config& config,
                             formats::Metadata metadata = {}) const {
    at::NoGradGuard no_grad;
    nn::StateDict state;
    const Model model(nn::Scope(state), config);
    models::initialize(state, config, {});
    std::vector<formats::NamedTensor> tensors;
    for (const auto& item : state.items()) {
      if (item.name != "pos_embed") at::Tensor(item.tensor).normal_(0, 0.05);
      tensors.push_back({item.name, item.tensor});
    }
    formats::save_safetensors(folder_ / name, tensors, std::move(metadata));
    return folder_ / name;
  }
};

using testing::refusal;

// Widths of published models, so that the heads are known.
inline models::DitConfig small_dit() {
  return {{.input_size = 8, .hidden_size = 384, .depth = 2, .num_heads = 6}, {.num_classes = 5}};
}
inline models::PixArtConfig small_pixart() {
  return {{.input_size = 16, .hidden_size = 384, .depth = 2, .num_heads = 6},
          {.caption_channels = 12, .max_tokens = 7, .position_scale = 0.5}};
}
inline models::PixArtConfig small_sigma() {
  return {{.input_size = 32, .hidden_size = 384, .depth = 2, .num_heads = 6},
          {.caption_channels = 12, .max_tokens = 300, .position_scale = 0.5, .multi_scale = true}};
}
inline models::PixArtConfig compressed_sigma() {
  auto config = small_sigma();
  config.kv_compression = {.sampling = models::KvSampling::kConv, .factor = 2, .layers = {1}};
  return config;
}

}  // namespace pixart::convert

// Model configs as golden cases write them (tests/golden/README.md, kinds dit and pixart).
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "pixart/models/transformer.h"

namespace pixart::testing {

inline models::TransformerShape transformer_shape(const nlohmann::json& j, bool learn_sigma) {
  return {.input_size = j.at("input_size"),
          .patch_size = j.at("patch_size"),
          .in_channels = j.at("in_channels"),
          .hidden_size = j.at("hidden_size"),
          .depth = j.at("depth"),
          .num_heads = j.at("num_heads"),
          .mlp_ratio = j.at("mlp_ratio"),
          .learn_sigma = learn_sigma,
          .qk_norm = j.value("qk_norm", false)};
}

// In the words of the released code.
inline models::KvCompression kv_compression(const nlohmann::json& j) {
  using enum models::KvSampling;
  const std::map<std::string, models::KvSampling> samplings = {
      {"conv", kConv}, {"ave", kAverage}, {"uniform", kUniform}, {"uniform_every", kEvery}};
  if (j.at("sampling").is_null()) return {};
  return {.sampling = samplings.at(j.at("sampling")),
          .factor = j.at("scale_factor"),
          .layers = j.at("kv_compress_layer")};
}

inline models::DitConfig dit_config(const nlohmann::json& j) {
  return {transformer_shape(j, j.at("learn_sigma")), {.num_classes = j.at("num_classes")}};
}

inline models::PixArtConfig pixart_config(const nlohmann::json& j) {
  const bool multi_scale = j.at("architecture") == "PixArtMS";
  models::PixArtConfig config{transformer_shape(j, j.at("pred_sigma")),
                              {.caption_channels = j.at("caption_channels"),
                               .max_tokens = j.at("model_max_length"),
                               .position_scale = j.at("lewei_scale"),
                               .multi_scale = multi_scale,
                               .micro_conditions = j.value("micro_condition", multi_scale)}};
  config.control_blocks = j.value("control_blocks", config.control_blocks);
  if (j.contains("kv_compress_config")) config.kv_compression = kv_compression(j.at("kv_compress_config"));
  return config;
}

}  // namespace pixart::testing

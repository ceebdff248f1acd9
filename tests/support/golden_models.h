// Model configs as golden cases write them (tests/golden/README.md, kinds dit and pixart).
#pragma once
#include <nlohmann/json.hpp>

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
          .learn_sigma = learn_sigma};
}

inline models::DitConfig dit_config(const nlohmann::json& j) {
  return {transformer_shape(j, j.at("learn_sigma")), {.num_classes = j.at("num_classes")}};
}

inline models::PixArtConfig pixart_config(const nlohmann::json& j) {
  return {transformer_shape(j, j.at("pred_sigma")),
          {.caption_channels = j.at("caption_channels"),
           .max_tokens = j.at("model_max_length"),
           .position_scale = j.at("lewei_scale"),
           .multi_scale = j.at("architecture") == "PixArtMS"}};
}

}  // namespace pixart::testing

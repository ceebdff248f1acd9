#include "pixart/run/objective_table.h"

#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/diffusion/diffusion_config.h"

namespace pixart::run {

namespace {

// Keys of the objectives that train a transformer, and `others`.
std::vector<std::string> transformer_keys(std::vector<std::string> others = {}) {
  std::vector<std::string> keys = {"horizontal_flip",   "encode",   "precision", "activation_checkpointing",
                                   "condition_dropout", "lora",     "metrics",   "routing",
                                   "masking",           "alignment"};
  for (auto& key : diffusion::diffusion_keys()) keys.push_back(std::move(key));
  for (auto& key : others) keys.push_back(std::move(key));
  return keys;
}

}  // namespace

const std::vector<ObjectiveInfo>& objective_table() {
  static const std::vector<ObjectiveInfo> table = {
      {.name = "autoencoder",
       .meaning = "the autoencoder",
       .model = "",
       .reads_latents = false,
       .init = {InitHow::kRandom, InitHow::kCopy},
       .keys = {"kl_weight"}},
      {.name = "class_conditional",
       .meaning = "a class-conditional DiT (stage 1)",
       .model = "DiT",
       .reads_labels = true,
       .adapter_targets = {"blocks.*.attn.*", "blocks.*.mlp.*"},
       .init = {InitHow::kRandom, InitHow::kCopy},
       .keys = transformer_keys()},
      {.name = "text_conditional",
       .meaning = "the text-to-image PixArt (stages 2 and 3)",
       .model = "PixArt",
       .reads_captions = true,
       .adapter_targets = {"blocks.*.attn.*", "blocks.*.mlp.*", "blocks.*.cross_attn.*"},
       .init = {InitHow::kRandom, InitHow::kCopy, InitHow::kReparameterize},
       .keys = transformer_keys({"aspect_buckets", "control", "kv_compression", "micro_conditions",
                                 "multi_scale", "position_scale", "resolution_rule", "resolutions"})},
  };
  return table;
}

std::vector<std::string> objective_names() { return names_of(objective_table()); }

const ObjectiveInfo& objective_info(const std::string& name) {
  const auto* row = find_named(objective_table(), name);
  PIXART_CHECK(row != nullptr, "objective {} passed the config check", name);
  return *row;
}

}  // namespace pixart::run

#include "pixart/run/objective_table.h"

#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/diffusion/diffusion_config.h"

namespace pixart::run {

namespace {

using Keys = std::vector<std::string>;

Keys joined(Keys keys, const Keys& others) {
  keys.insert(keys.end(), others.begin(), others.end());
  return keys;
}

// Keys of the objectives that train a transformer, and `others`.
Keys transformer_keys(const Keys& others = {}) {
  const Keys keys = {"horizontal_flip",   "encode", "precision", "activation_checkpointing",
                     "condition_dropout", "lora",   "metrics"};
  return joined(keys, others);
}

// Keys of the objectives that learn from noisy latents of the samples.
Keys denoising_keys(const Keys& others = {}) {
  return joined(joined(diffusion::diffusion_keys(), {"routing", "masking", "alignment"}), others);
}

// Keys of the objectives that train a PixArt.
Keys pixart_keys(const Keys& others) {
  return transformer_keys(joined({"aspect_buckets", "kv_compression", "micro_conditions", "multi_scale",
                                  "position_scale", "resolution_rule", "resolutions"},
                                 others));
}

const Keys kPixartTargets = {"blocks.*.attn.*", "blocks.*.mlp.*", "blocks.*.cross_attn.*"};

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
       .keys = transformer_keys(denoising_keys())},
      {.name = "text_conditional",
       .meaning = "the text-to-image PixArt (stages 2 and 3)",
       .model = "PixArt",
       .reads_captions = true,
       .adapter_targets = kPixartTargets,
       .init = {InitHow::kRandom, InitHow::kCopy, InitHow::kReparameterize},
       .keys = pixart_keys(denoising_keys({"control"}))},
      {.name = "consistency",
       .meaning = "a PixArt that draws in a few steps, distilled from the PixArt that it starts from (LCM)",
       .model = "PixArt",
       .reads_captions = true,
       .distills = true,
       .adapter_targets = kPixartTargets,
       .init = {InitHow::kCopy},
       .keys = pixart_keys({"prediction", "zero_terminal_snr", "consistency"})},
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

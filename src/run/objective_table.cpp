#include "pixart/run/objective_table.h"

#include <algorithm>

#include "pixart/base/error.h"

namespace pixart::run {

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
       .keys = {"horizontal_flip", "precision", "activation_checkpointing", "condition_dropout", "lora"}},
      {.name = "text_conditional",
       .meaning = "the text-to-image PixArt (stages 2 and 3)",
       .model = "PixArt",
       .reads_captions = true,
       .adapter_targets = {"blocks.*.attn.*", "blocks.*.mlp.*", "blocks.*.cross_attn.*"},
       .init = {InitHow::kRandom, InitHow::kCopy, InitHow::kReparameterize},
       .keys = {"horizontal_flip", "precision", "activation_checkpointing", "condition_dropout", "lora",
                "aspect_buckets", "multi_scale", "position_scale"}},
  };
  return table;
}

std::vector<std::string> objective_names() {
  std::vector<std::string> names;
  for (const auto& row : objective_table()) names.push_back(row.name);
  return names;
}

const ObjectiveInfo& objective_info(const std::string& name) {
  const auto& table = objective_table();
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const auto& row) { return row.name == name; });
  PIXART_CHECK(found != table.end(), "objective {} passed the config check", name);
  return *found;
}

}  // namespace pixart::run

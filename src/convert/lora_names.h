// Names of adapters' tensors in files of this program, PEFT, diffusers, kohya's scripts, OneTrainer, ComfyUI.
#pragma once
#include <optional>
#include <string>

#include "pixart/convert/lora.h"

namespace pixart::convert {

inline constexpr const char* kPeftPrefix = "base_model.model.";

enum class LoraPart { kA, kB, kAlpha };

// `module`: the name of the layer without prefixes. In kohya's names it has '_' in place of each '.'.
struct LoraName {
  std::string module;
  LoraPart part;
};
std::optional<LoraName> parse_lora_name(const std::string& name);

bool holds_lora(const formats::Weights& weights);
std::string describe_lora(const formats::Weights& weights);  // "LoRA of rank 4, alpha 8, for 14 layers"

// Removes the adapters from `weights` and returns them; the rest is not an adapter. Problems as in
// read_lora().
LoraAdapters take_lora(formats::Weights& weights, const std::string& subject);

// Merges the adapters that a checkpoint of a lora stage stores next to its weights.
void merge_own_lora(OfficialWeights& weights, const std::string& subject);

}  // namespace pixart::convert

// Names of adapters' tensors, and the places where files store alpha.
#pragma once
#include <string>

#include "pixart/convert/lora.h"

namespace pixart::convert {

inline constexpr const char* kLoraMetadataKey =
    "lora_adapter_metadata";  // diffusers: JSON, PEFT's configuration
inline constexpr const char* kPeftConfigName = "adapter_config.json";
inline constexpr const char* kDiffusersPrefix = "transformer.";
inline constexpr const char* kPeftPrefix = "base_model.model.";

bool holds_lora(const formats::Weights& weights);
std::string describe_lora(const formats::Weights& weights);  // "LoRA of rank 4, alpha 8, for 14 layers"

// Removes the adapters from `weights` and returns them; the rest is not an adapter. Problems as in
// read_lora().
LoraAdapters take_lora(formats::Weights& weights, const std::string& subject);

// Merges the adapters that a checkpoint of a lora stage stores next to its weights.
void merge_own_lora(OfficialWeights& weights, const std::string& subject);

}  // namespace pixart::convert

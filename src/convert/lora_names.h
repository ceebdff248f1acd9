// Names of adapters' tensors, and where files note alpha.
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

// Takes the adapters out of `weights`; what is left is no adapter. Problems as of read_lora().
LoraAdapters take_lora(formats::Weights& weights, const std::string& subject);

// Merges what a checkpoint of a lora stage holds beside its weights.
void merge_own_lora(OfficialWeights& weights, const std::string& subject);

}  // namespace pixart::convert

// PEFT's configuration of adapters, and the other places where files store alpha.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/convert/lora.h"
#include "pixart/text/name_pattern.h"

namespace pixart::convert {

inline constexpr const char* kLoraMetadataKey =
    "lora_adapter_metadata";  // diffusers: JSON, PEFT's configuration
inline constexpr const char* kPeftConfigName = "adapter_config.json";
inline constexpr const char* kDiffusersPrefix = "transformer.";

// A number for all layers, and numbers for those whose name, or an end of it, matches a pattern. The first
// match is used.
struct NumberOfLayers {
  std::optional<double> usual = {};
  std::vector<std::pair<text::NamePattern, double>> patterns = {};
  std::optional<double> of(const std::string& module) const;
};

struct LoraRules {
  std::string source = {};  // where they were found, for people; "" if nowhere
  NumberOfLayers alpha = {}, rank = {};
  bool by_root = false;  // rank-stabilised: alpha / sqrt(rank)
  LoraStart start = LoraStart::kZero;
  std::vector<text::NamePattern> targets = {};  // of whole names; empty: not stated

  bool targets_layer(const std::string& module) const;
};

// From the metadata of the file, or adapter_config.json next to it. pytorch_lora_weights.* are in a folder
// below the one with that file (PixArt's own script). Adds a problem for each kind of adapter that is more
// than W + scale B A.
LoraRules read_lora_rules(const formats::Weights& weights, Problems& problems);

}  // namespace pixart::convert

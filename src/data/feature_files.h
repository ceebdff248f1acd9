// Names and parts of a feature set's folder.
#pragma once
#include <string>

#include "pixart/data/feature_set.h"

namespace pixart::data {

inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kInputsFile = "inputs.json";  // while the set is being made
inline constexpr const char* kIndexFile = "index.safetensors";
inline constexpr const char* kQuarantineFile = "quarantine.jsonl";

std::string inputs_text(const FeatureInputs& inputs);
FeatureInputs parse_inputs(const std::string& text);
// What was begun with a former value stays of that value: nobody knows more of its first shards.
void keep_former(FeatureInputs& inputs, const FeatureInputs& begun);
void write_feature_manifest(const std::filesystem::path& folder, const FeatureManifest& manifest);

}  // namespace pixart::data

// Names and parts of a feature set's folder.
#pragma once
#include <string>

#include "pixart/data/feature_set.h"

namespace pixart::data {

inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kInputsFile = "inputs.json";  // while the set is being made
inline constexpr const char* kIndexFile = "index.safetensors";
inline constexpr const char* kKeysFile = "keys.safetensors";
inline constexpr const char* kQuarantineFile = "quarantine.jsonl";

// Tensors of checksums in shards and index; kScaleChecksums is for captions in fp8.
inline constexpr const char* kChecksums = "crc32c";
inline constexpr const char* kScaleChecksums = "scale_crc32c";

// The advice at the end of messages about damaged features.
inline constexpr const char* kHowToMend =
    "`pixart extract RUN.yaml --mend` makes the damaged files again (or remove the folder and extract all)";

std::string inputs_text(const FeatureInputs& inputs);
FeatureInputs parse_inputs(const std::string& text);
// A set that was begun with a former value keeps that value: its first shards are known by it alone.
void keep_former(FeatureInputs& inputs, const FeatureInputs& begun);
FeatureInputs all_inputs(const FeatureInputs& inputs, int64_t items_per_shard);  // of a set in the making
void write_feature_manifest(const std::filesystem::path& folder, const FeatureManifest& manifest);

}  // namespace pixart::data

// Feature sets as older versions wrote them.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "feature_damage.h"
#include "pixart/formats/tensor_file.h"

namespace pixart::testing {

// Writes the file again without the tensors of checksums.
inline void strip_tensors(const std::filesystem::path& file) {
  auto whole = formats::load_safetensors(file);
  std::vector<formats::NamedTensor> tensors;
  for (const auto& [name, tensor] : whole.tensors)
    if (!name.ends_with("crc32c")) tensors.push_back({name, tensor});
  whole.metadata.erase("format");
  formats::save_safetensors(file, tensors, whole.metadata);
}

// The set becomes one of a version that wrote neither checksums nor the index's hash.
inline void make_old(const std::filesystem::path& set) {
  for (const auto& entry : std::filesystem::directory_iterator(set))
    if (entry.path().extension() == ".safetensors") strip_tensors(entry.path());
  auto manifest = nlohmann::ordered_json::parse(read_file(set / "manifest.json"));
  manifest.erase("index");
  overwrite(set / "manifest.json", manifest.dump(1) + "\n");
  reseal(set);
}

}  // namespace pixart::testing

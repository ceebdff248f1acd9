// Damages feature sets. Without LibTorch.
#pragma once
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pixart/base/file.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/safetensors.h"

namespace pixart::testing {

inline void overwrite(const std::filesystem::path& file, const std::string& bytes) {
  write_file_atomically(file, bytes);
}

// In place, as a disk does it: whoever has opened the file sees it too.
inline void flip_bit(const std::filesystem::path& file, size_t byte, int bit = 0) {
  const std::string bytes = read_file(file);
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekp(std::streamoff(byte));
  stream.put(char(bytes.at(byte) ^ (1 << bit)));
}

// Where a tensor is in its file: [first, last).
inline std::pair<size_t, size_t> bytes_of(const std::filesystem::path& file, const std::string& tensor) {
  const auto header = formats::read_safetensors_header(file);
  const auto& info = header.tensors.at(tensor);
  return {size_t(header.data_offset + info.begin), size_t(header.data_offset + info.end)};
}

// The manifest's word on a set's files becomes what they are now; the index is named where it was.
inline void reseal(const std::filesystem::path& set) {
  auto manifest = nlohmann::ordered_json::parse(read_file(set / "manifest.json"));
  for (auto& shard : manifest["shards"]) {
    const auto file = set / shard["file"].get<std::string>();
    shard["bytes"] = std::filesystem::file_size(file);
    shard["sha256"] = formats::sha256_of_file(file);
  }
  if (manifest.contains("index"))
    manifest["index"]["sha256"] = formats::sha256_of_file(set / "index.safetensors");
  overwrite(set / "manifest.json", manifest.dump(1) + "\n");
}

}  // namespace pixart::testing

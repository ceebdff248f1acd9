// Writes weights in files of a limited size, named as Hugging Face's libraries name them.
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/weights.h"

namespace pixart::formats {
namespace fs = std::filesystem;

namespace {

// Assigns names to shards in order; a shard is full when the next tensor would not fit.
std::vector<std::vector<std::string>> split(const Weights& weights, uint64_t shard_bytes) {
  std::vector<std::vector<std::string>> shards(1);
  uint64_t filled = 0;
  for (const auto& [name, info] : weights.tensors) {
    if (filled > 0 && filled + info.bytes() > shard_bytes) shards.emplace_back(), filled = 0;
    shards.back().push_back(name);
    filled += info.bytes();
  }
  return shards;
}

Weights part_of(const Weights& weights, const std::vector<std::string>& names) {
  Weights part{.metadata = weights.metadata, .read = weights.read};
  for (const auto& name : names) part.tensors.emplace(name, weights.tensors.at(name));
  return part;
}

}  // namespace

void write_safetensors_shards(const fs::path& folder, const std::string& stem, const Weights& weights,
                              uint64_t shard_bytes, const CompleteMetadata& complete, Durability durability) {
  create_folders(folder);
  const auto shards = split(weights, shard_bytes);
  if (shards.size() == 1)
    return write_safetensors(folder / (stem + ".safetensors"), weights, complete, durability);
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string file = fmt::format("{}-{:05d}-of-{:05d}.safetensors", stem, i + 1, shards.size());
    write_safetensors(folder / file, part_of(weights, shards[i]), complete, durability);
    for (const auto& name : shards[i]) map[name] = file;
  }
  const nlohmann::ordered_json index = {{"metadata", {{"total_size", weights.bytes()}}}, {"weight_map", map}};
  write_file_atomically(folder / (stem + ".safetensors.index.json"), index.dump(2) + "\n");
}

}  // namespace pixart::formats

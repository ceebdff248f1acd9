// The index of sharded weights: {"weight_map": {tensor name: file name}}. Shards are in the folder of the
// index; they may be links, as in the cache of the Hugging Face hub.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace pixart::formats {

// Tensor name -> file name without a folder. Throws UserError that names `name` and the place.
std::map<std::string, std::string> parse_weight_index(std::string_view text, const std::string& name);
std::map<std::string, std::string> read_weight_index(const std::filesystem::path& path);

}  // namespace pixart::formats

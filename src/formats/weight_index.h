// The index of sharded weights: {"weight_map": {tensor name: file name}}. Shards stand beside the index; they
// may be links, as in the cache of the Hugging Face hub.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace pixart::formats {

// Tensor name -> file name, which is a bare one. Throws UserError about `name` with everything that is wrong.
std::map<std::string, std::string> parse_weight_index(std::string_view text, const std::string& name);
std::map<std::string, std::string> read_weight_index(const std::filesystem::path& path);

}  // namespace pixart::formats

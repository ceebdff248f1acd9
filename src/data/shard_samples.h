// One WebDataset shard as samples. See webdataset.cpp.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "records.h"

namespace pixart::data {

// "a/b.seg.PNG" -> "a/b" and "seg.png": the key goes up to the first dot of the file's name.
struct MemberName {
  std::string key, extension;
};
// Nothing for what WebDataset passes over: names without a dot, hidden files, folders like __index__.
std::optional<MemberName> split_member_name(std::string_view name);

struct ShardRules {
  std::vector<CaptionConfig> kinds;  // that are read from the shard
  int64_t num_classes = 0;           // labels lie below it
};

// The samples of the shard in its order. Throws UserError if it is no readable tar file.
Listing list_shard(const std::filesystem::path& shard, const ShardRules& rules);

}  // namespace pixart::data

// Lists the samples of one WebDataset shard. See webdataset.cpp.
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
// Nothing for names that WebDataset skips: without a dot, hidden files, folders like __index__.
std::optional<MemberName> split_member_name(std::string_view name);

struct ShardRules {
  std::vector<CaptionConfig> kinds;  // kinds that are read from the shard
  int64_t num_classes = 0;           // labels must be smaller
};

// The samples of the shard in its order. Throws UserError if the shard is not a readable tar file.
Listing list_shard(const std::filesystem::path& shard, const ShardRules& rules);

// For the message about missing captions: the members of a sample, and the fields of its .json. "" if none is found.
std::string hint_of_members(const std::filesystem::path& shard, const std::string& key);

}  // namespace pixart::data

// The shards on servers that the path of a webdataset source names.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pixart/data/dataset.h"

namespace pixart::data {

// An address, or a .txt file of this machine: one address a line; empty lines and those that begin with # are left
// out.
bool names_addresses(const std::filesystem::path& path);

// The addresses, with ranges as for files, as paths under which the shards are read (remote_file.h); sorted. Throws
// one UserError with every address that cannot be used.
std::vector<std::filesystem::path> find_remote_shards(const SourceConfig& config);

bool is_remote(const std::filesystem::path& shard);  // one of find_remote_shards()

// A small text in the folder of a remote shard; nothing if the server has no such file, or does not show it.
std::optional<std::string> read_next_to(const SourceConfig& config, const std::filesystem::path& shard,
                                        const std::string& name);

}  // namespace pixart::data

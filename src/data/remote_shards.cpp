#include "remote_shards.h"

#include <algorithm>

#include "file_ending.h"
#include "pixart/base/cache_folder.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "remote_file.h"
#include "shard_paths.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr uint64_t kLargestText = uint64_t{64} << 20;

std::shared_ptr<RemoteCache> cache_of(const SourceConfig& config) {
  const fs::path user = user_cache_folder();
  const fs::path folder = !config.cache_folder.empty() ? config.cache_folder
                          : user.empty()               ? fs::path()
                                                       : user / "shards";
  return RemoteCache::at(folder, uint64_t(config.cache_gb * 1e9));
}

std::vector<std::string> lines_with_addresses(const fs::path& file) {
  std::vector<std::string> addresses;
  for (const auto& line : lines_of(read_file(file)))
    if (std::string text = trimmed(line); !text.empty() && !text.starts_with('#'))
      addresses.push_back(std::move(text));
  return addresses;
}

// A glob in the path; ? begins the query.
bool has_glob(const std::string& address) {
  const size_t path = address.find('/', address.find("://") + 3);
  const bool is_s3 = address.starts_with("s3://");
  const auto name =
      path == std::string::npos ? "" : address.substr(path, is_s3 ? path : address.find('?') - path);
  return name.find_first_of("*[") != std::string::npos;
}

void add_shards(const std::string& address, const std::shared_ptr<RemoteCache>& cache,
                std::vector<fs::path>& shards) {
  if (!is_address(address))
    throw UserError(
        fmt::format("{} is not an address: each line is one, such as https://HOST/sam-000000.tar.",
                    printable(address.substr(0, std::min<size_t>(address.find('?'), 100)))));
  if (has_glob(address))
    throw UserError(shown_address(address) +
                    ": a server does not list its files, so a glob finds none. Write a range: "
                    "https://HOST/sam-{000000..000127}.tar.");
  const size_t query =
      address.starts_with("s3://") ? address.size() : std::min(address.find('?'), address.size());
  for (const auto& one : expand_ranges(address.substr(0, query)))
    shards.push_back(add_remote_file(one + address.substr(query), cache));
}

}  // namespace

bool names_addresses(const fs::path& path) {
  std::error_code error;
  return is_address(path.native()) || (file_ending(path) == ".txt" && fs::is_regular_file(path, error));
}

std::vector<fs::path> find_remote_shards(const SourceConfig& config) {
  const auto addresses = is_address(config.path.native()) ? std::vector{config.path.string()}
                                                          : lines_with_addresses(config.path);
  const auto cache = cache_of(config);
  std::vector<fs::path> shards;
  Problems problems;
  for (const auto& address : addresses) {
    try {
      add_shards(address, cache, shards);
    } catch (const UserError& error) {
      problems.add(error.what());
    }
  }
  problems.throw_if_any(subject_of(config));
  if (shards.empty()) throw UserError(subject_of(config) + ": the file names no address.");
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  return shards;
}

bool is_remote(const fs::path& shard) { return remote_file(shard) != nullptr; }

std::optional<std::string> read_next_to(const SourceConfig& config, const fs::path& shard,
                                        const std::string& name) {
  const std::string folder = shard.string().substr(0, shard.string().rfind('/') + 1);
  const auto file = remote_file(add_remote_file(folder + name, cache_of(config)));
  try {
    if (file->identity().bytes > kLargestText)
      throw UserError(fmt::format("{} has more than {} bytes.", file->name(), kLargestText));
    std::string text(file->identity().bytes, '\0');
    file->read(text.data(), text.size(), 0);
    return text;
  } catch (const HttpFault&) {  // missing, or a server of presigned addresses
    return std::nullopt;
  }
}

}  // namespace pixart::data

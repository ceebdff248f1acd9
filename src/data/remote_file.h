// Shards on servers. They are named like files, by paths such as https://HOST/a.tar, under which other parts of
// this module read them: read_bytes(), list_shard().
#pragma once
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "http_get.h"
#include "pixart/formats/tar.h"
#include "remote_cache.h"
#include "web_request.h"

namespace pixart::data {

class RemoteFile {
 public:
  RemoteFile(WebRequest request, const HttpLimits& limits, std::shared_ptr<RemoteCache> cache);
  const std::string& name() const { return request_.shown; }
  const WebRequest& request() const { return request_; }

  // What the server said first, in this process. Throws UserError if the server has no such file or refuses
  // it, and MachineFault if the server does not answer.
  const FileIdentity& identity() const;

  uint64_t bytes() const;  // of identity(); throws MachineFault only: of a file that was listed

  // Exactly `count` bytes of the file as it was when identity() was known; from the cache, or from the server: a
  // whole piece if the cache has room for it, otherwise no more than these bytes. Throws MachineFault: no sample is
  // to blame for a server, nor for a file that was changed.
  void read(char* to, uint64_t count, uint64_t offset) const;

 private:
  void read_part(uint64_t piece, char* to, uint64_t count, uint64_t offset) const;
  void fetch(char* to, uint64_t count, uint64_t offset) const;
  std::string fetch_piece(uint64_t piece) const;
  void compare_with_earlier(uint64_t piece, const std::string& content) const;
  CachedShard shard_of(const FileIdentity& identity) const;

  const WebRequest request_;
  const HttpLimits limits_;
  const std::shared_ptr<RemoteCache> cache_;
  mutable std::mutex mutex_;
  mutable std::optional<FileIdentity> identity_;
  mutable CachedShard shard_;
  mutable std::vector<std::optional<uint32_t>> sums_;  // of pieces up to the last that was fetched
};

// Makes the file known to this process under the path that it returns; if it is known already, with the newer
// signature. The server is not asked yet. Throws UserError for an address that cannot be used.
std::filesystem::path add_remote_file(const std::string& address, std::shared_ptr<RemoteCache> cache);

// The file that was added under this path; null for a path of this machine.
std::shared_ptr<const RemoteFile> remote_file(const std::filesystem::path& path);

// An index of the archive at `path`, of this machine or of a server. Of the latter all pieces are read once, front
// to back, with the small members that are not images.
formats::TarFile open_archive(const std::filesystem::path& path);

}  // namespace pixart::data

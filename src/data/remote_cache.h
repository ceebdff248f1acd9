// The disk cache of shards on servers: pieces of shards in a folder of bounded size, which the processes of all
// ranks and runs share.
//
//   lock                  of the file below
//   bytes                 size of all pieces, also of those that are being written
//   users/HOST-PID-...    locked by a living process; the shards that it uses
//   shards/ID/name        the shard; touched when a process begins to use it
//   shards/ID/NUMBER.piece
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "piece_file.h"
#include "pixart/base/file_lock.h"

namespace pixart::data {

// A shard with the content that it has now: another content is another shard.
struct CachedShard {
  std::string id;  // hexadecimal digits
  std::string name;
  uint64_t bytes = 0;
};

class RemoteCache {
 public:
  // The cache in this folder, one object for each in this process. `limit_bytes`: 0 stores nothing. No function
  // throws: where the folder cannot be used, a warning says so and nothing is stored.
  static std::shared_ptr<RemoteCache> at(const std::filesystem::path& folder, uint64_t limit_bytes);
  RemoteCache(std::filesystem::path folder, uint64_t limit_bytes);
  ~RemoteCache();
  RemoteCache(const RemoteCache&) = delete;
  RemoteCache& operator=(const RemoteCache&) = delete;

  // From now on no process deletes the shard to make room, until this process ends.
  void use(const CachedShard& shard);

  // Reads from a stored piece; false: it is not there, or was damaged.
  bool read(const CachedShard& shard, uint64_t piece, uint64_t offset, uint64_t count, char* to);

  // Stores a piece if there is room, or if shards that no process uses leave room when they are deleted, the
  // ones that were used longest ago first.
  void keep(const CachedShard& shard, uint64_t piece, std::string_view content);

  // Whether a piece would be stored. Once the cache is full it stays false.
  bool has_room() const { return has_room_; }

  // Held while a piece is fetched, so that two threads do not fetch the same one.
  std::mutex& fetching(const CachedShard& shard, uint64_t piece);

 private:
  void open();
  bool reserve(const std::filesystem::path& piece, uint64_t bytes);
  bool make_room(uint64_t& used, uint64_t bytes) const;
  std::filesystem::path folder_of(const CachedShard& shard) const { return folder_ / "shards" / shard.id; }
  std::filesystem::path file_of(const CachedShard& shard, uint64_t piece) const;
  void give_up(const std::string& why);

  std::filesystem::path folder_, user_;
  uint64_t limit_;
  std::mutex mutex_;  // while the lock is held: threads of a process need not poll for it
  std::atomic<bool> is_open_ = false, has_room_;
  std::optional<FileLock> own_;
  std::array<std::mutex, 64> fetching_;
};

}  // namespace pixart::data

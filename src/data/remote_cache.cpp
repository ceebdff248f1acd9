#include "remote_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <map>
#include <set>
#include <vector>

#include "pixart/base/bytes.h"
#include "pixart/base/deletion.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/secret.h"
#include "pixart/base/words.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr uint64_t kLongestList = uint64_t{64} << 20;  // of the shards that a process uses

const ForeignEntries& foreign_in_shard() {
  static const ForeignEntries foreign = all_but({"name", "[0-9]{8}\\.piece"});
  return foreign;
}

uint64_t cached_bytes(const fs::path& file) {
  std::error_code error;
  const auto bytes = fs::file_size(file, error);
  return error ? 0 : uint64_t(bytes);
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    entries.push_back(at->path());
  return entries;
}

uint64_t bytes_below(const fs::path& shard) {
  uint64_t bytes = 0;
  for (const auto& file : entries_of(shard))
    if (file.extension() == ".piece") bytes += cached_bytes(file);
  return bytes;
}

uint64_t measured(const fs::path& folder) {
  uint64_t bytes = 0;
  for (const auto& shard : entries_of(folder / "shards")) bytes += bytes_below(shard);
  return bytes;
}

// The shards that living processes use. What dead ones left is deleted.
std::set<std::string> used_shards(const fs::path& folder) {
  std::set<std::string> used;
  for (const auto& user : entries_of(folder / "users")) {
    if (FileLock::try_lock(user)) {
      delete_file(user);
      continue;
    }
    try {
      for (auto& id : lines_of(read_file(user, kLongestList))) used.insert(std::move(id));
    } catch (const UserError&) {  // it ends just now
    }
  }
  return used;
}

uint64_t read_count(const fs::path& folder) {
  const fs::path file = folder / "bytes";
  const std::string text = cached_bytes(file) > 0 ? read_file(file) : "";
  uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  return error == std::errc() ? bytes : measured(folder);
}

// In place: an atomic file would wait for the disk at each piece. The lock keeps readers away.
void write_count(const fs::path& folder, uint64_t bytes) {
  const fs::path file = folder / "bytes";
  const std::string text = fmt::format("{:020}\n", bytes);
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  const bool is_written =
      descriptor >= 0 && ::pwrite(descriptor, text.data(), text.size(), 0) == ssize_t(text.size());
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (!is_written)
    throw UserError(fmt::format("cannot write {}: {}.", file.string(), std::strerror(error)),
                    ExitCode::kStorage);
}

// Shards that no process uses, the one that was used longest ago first.
std::vector<fs::path> idle_shards(const fs::path& folder) {
  const auto used = used_shards(folder);
  std::multimap<fs::file_time_type, fs::path> idle;
  for (const auto& shard : entries_of(folder / "shards")) {
    std::error_code error;
    const auto time = fs::last_write_time(shard / "name", error);
    if (used.count(shard.filename()) == 0) idle.emplace(error ? fs::file_time_type::min() : time, shard);
  }
  std::vector<fs::path> sorted;
  for (auto& [time, shard] : idle) sorted.push_back(std::move(shard));
  return sorted;
}

}  // namespace

std::shared_ptr<RemoteCache> RemoteCache::at(const fs::path& folder, uint64_t limit_bytes) {
  static std::mutex mutex;
  static std::map<std::pair<fs::path, uint64_t>, std::shared_ptr<RemoteCache>> caches;
  const std::scoped_lock lock(mutex);
  auto& cache = caches[{folder, limit_bytes}];
  if (cache == nullptr) cache = std::make_shared<RemoteCache>(folder, limit_bytes);
  return cache;
}

RemoteCache::RemoteCache(fs::path folder, uint64_t limit_bytes)
    : folder_(std::move(folder)), limit_(limit_bytes), has_room_(limit_bytes > 0 && !folder_.empty()) {}

RemoteCache::~RemoteCache() {
  if (own_) delete_file(user_);
}

// Under the mutex.
void RemoteCache::open() {
  if (is_open_) return;
  create_folders(folder_ / "users");
  create_folders(folder_ / "shards");
  const FileLock lock(folder_ / "lock");
  used_shards(folder_);
  const bool is_alone = entries_of(folder_ / "users").empty();
  const uint64_t nonce = from_little_endian(random_bytes(sizeof nonce), 0, sizeof nonce);
  user_ = folder_ / "users" / fmt::format("{}-{}-{:016x}", host_name(), process_id(), nonce);
  own_.emplace(user_);
  // A process that was killed may have counted a piece that it did not write.
  if (is_alone) write_count(folder_, measured(folder_));
  is_open_ = true;
}

void RemoteCache::give_up(const std::string& why) {
  if (has_room_.exchange(false))
    log::warning("the cache {} is not used any more: {} Shards are read from their servers.",
                 folder_.string(), why);
}

void RemoteCache::use(const CachedShard& shard) {
  if (!has_room_) return;
  try {
    const std::scoped_lock lock(mutex_);
    open();
    const FileLock file_lock(folder_ / "lock");
    append_to_file(user_, shard.id + "\n");
    const fs::path name = folder_of(shard) / "name";
    create_folders(folder_of(shard));
    if (cached_bytes(name) == 0) append_to_file(name, shard.name + "\n");
    ::utimensat(AT_FDCWD, name.c_str(), nullptr, 0);
  } catch (const UserError& error) {
    if (error.code() != ExitCode::kRequeue) give_up(error.what());
  }
}

fs::path RemoteCache::file_of(const CachedShard& shard, uint64_t piece) const {
  return folder_of(shard) / fmt::format("{:08}.piece", piece);
}

bool RemoteCache::read(const CachedShard& shard, uint64_t piece, uint64_t offset, uint64_t count, char* to) {
  if (!is_open_) return false;
  const fs::path file = file_of(shard, piece);
  const uint64_t content = std::min(kPieceBytes, shard.bytes - piece * kPieceBytes);
  const PieceState state = read_piece(file, content, offset, count, to);
  if (state == PieceState::kDamaged) {
    log::warning("{} is damaged; that part of {} is fetched again.", file.string(), shard.name);
    delete_file(file);
  }
  return state == PieceState::kRead;
}

// Counts the bytes of a piece that will be written; false: the cache is full, or has the piece.
bool RemoteCache::reserve(const fs::path& piece, uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  const FileLock file_lock(folder_ / "lock");
  if (cached_bytes(piece) > 0) return false;
  uint64_t used = read_count(folder_);
  if (used + bytes > limit_ && !make_room(used, bytes)) {
    has_room_ = false;
    return false;
  }
  write_count(folder_, used + bytes);
  return true;
}

bool RemoteCache::make_room(uint64_t& used, uint64_t bytes) const {
  for (const auto& shard : idle_shards(folder_)) {
    const uint64_t its = bytes_below(shard);
    if (delete_tree(shard, foreign_in_shard())) used -= std::min(used, its);
    if (used + bytes <= limit_) return true;
  }
  return false;
}

void RemoteCache::keep(const CachedShard& shard, uint64_t piece, std::string_view content) {
  if (!has_room_ || !is_open_) return;
  const fs::path file = file_of(shard, piece);
  try {
    if (reserve(file, piece_file_bytes(content.size()))) write_piece(file, content);
  } catch (const UserError& error) {
    if (error.code() != ExitCode::kRequeue) give_up(error.what());
  }
}

std::mutex& RemoteCache::fetching(const CachedShard& shard, uint64_t piece) {
  return fetching_[(std::hash<std::string>()(shard.id) + piece) % fetching_.size()];
}

}  // namespace pixart::data

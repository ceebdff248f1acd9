#include "pixart/features/file_fingerprint.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <regex>
#include <thread>

#include "pixart/base/clock.h"
#include "pixart/base/deletion.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/file_lock.h"
#include "pixart/base/leftovers.h"
#include "pixart/base/progress.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/weights.h"
#include "pixart/run/stopped.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

constexpr uint64_t kOneReader = uint64_t{64} << 20;  // from this size on, processes read one after the other
constexpr uint64_t kWithProgress = uint64_t{2} << 30;  // seconds
constexpr size_t kPiece = size_t{4} << 20;
constexpr const char* kEntry = "[0-9a-f]{64}";  // the name of a cache entry

// Tells whether a file is the same: its content cannot change without its ctime.
struct Identity {
  std::string text;
  uint64_t size = 0;
  double changed = 0;  // seconds since 1970
};

double seconds_of(const timespec& time) { return double(time.tv_sec) + 1e-9 * double(time.tv_nsec); }

Identity identity_of(const fs::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0)
    throw UserError(fmt::format("cannot read {}: {}.", file.string(), std::strerror(errno)));
  const timespec& written = status.st_mtim;
  const timespec& changed = status.st_ctim;
  return {.text = fmt::format("{} {} {} {}.{:09} {}.{:09}", status.st_dev, status.st_ino, status.st_size,
                              written.tv_sec, written.tv_nsec, changed.tv_sec, changed.tv_nsec),
          .size = uint64_t(status.st_size),
          .changed = std::max(seconds_of(written), seconds_of(changed))};
}

fs::path entry_of(const HashCache& cache, const Identity& identity) {
  return cache.folder / formats::sha256(identity.text);
}

// An entry's text: hash, identity, and the hash of both, so that damage is noticed.
std::string entry_text(const std::string& hash, const Identity& identity) {
  const std::string text = hash + "\n" + identity.text + "\n";
  return text + formats::sha256(text) + "\n";
}

std::optional<std::string> known_hash(const HashCache& cache, const Identity& identity) {
  if (cache.folder.empty()) return std::nullopt;
  try {
    constexpr uint64_t kLargest = 4096;
    const std::string text = read_file(entry_of(cache, identity), kLargest);
    const std::string hash = text.substr(0, text.find('\n'));
    if (text == entry_text(hash, identity)) return hash;
  } catch (const UserError&) {  // there is no entry
  }
  return std::nullopt;
}

void make_room(const HashCache& cache) {
  static const std::regex pattern(kEntry);
  std::error_code error;
  std::vector<std::pair<fs::file_time_type, fs::path>> entries;
  for (fs::directory_iterator at(cache.folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code gone;
    const auto written = at->last_write_time(gone);
    if (!gone && std::regex_match(at->path().filename().string(), pattern))
      entries.emplace_back(written, at->path());
  }
  if (entries.size() <= cache.most_files) return;
  std::sort(entries.begin(), entries.end());
  entries.resize(entries.size() - cache.most_files);
  for (const auto& [written, path] : entries) delete_file(path);
  remove_leftovers(cache.folder, {.files = {kEntry}});
}

void keep_hash(const HashCache& cache, const Identity& identity, const std::string& hash) {
  if (cache.folder.empty()) return;
  try {
    create_folders(cache.folder);
    AtomicFile file(entry_of(cache, identity), Durability::kLater);
    file.write(entry_text(hash, identity));
    file.commit();
    make_room(cache);
  } catch (const UserError&) {  // then it is computed again
  }
}

// While one process reads, the others wait for its hashes. If the lock cannot be made, nobody waits.
class OneReader {
 public:
  OneReader(const HashCache& cache, uint64_t bytes) {
    using namespace std::chrono_literals;
    if (cache.folder.empty() || bytes < kOneReader) return;
    try {
      create_folders(cache.folder);
      path_ = cache.folder / fmt::format(".lock-{}", host_name());
      while (!(lock_ = try_lock())) {
        if (stop_requested()) throw run::stopped("before files were hashed");
        std::this_thread::sleep_for(50ms);
      }
    } catch (const UserError& error) {
      if (error.code() == ExitCode::kRequeue) throw;
    }
  }
  ~OneReader() {
    if (lock_) delete_file(path_);  // waiting processes open it anew
  }
  OneReader(const OneReader&) = delete;
  OneReader& operator=(const OneReader&) = delete;

 private:
  std::unique_ptr<FileLock> try_lock() const {
    auto lock = FileLock::try_lock(path_);
    return lock ? std::make_unique<FileLock>(std::move(*lock)) : nullptr;
  }
  fs::path path_;
  std::unique_ptr<FileLock> lock_;
};

class Reader {
 public:
  Reader(const std::string& what, uint64_t total) {
    if (total >= kWithProgress)
      progress_ = std::make_unique<Progress>("hash " + what, int64_t(total >> 20), "megabyte");
  }
  std::string hash(const fs::path& file) {
    require_no_pipe(file);
    std::ifstream stream(file, std::ios::binary);
    if (!stream) throw UserError(fmt::format("cannot read {}: {}.", file.string(), std::strerror(errno)));
    formats::Sha256 hash;
    std::string piece(kPiece, '\0');
    while (stream.read(piece.data(), std::streamsize(piece.size())) || stream.gcount() > 0) {
      hash.add({piece.data(), size_t(stream.gcount())});
      bytes_ += uint64_t(stream.gcount());
      if (progress_) progress_->update(int64_t(bytes_ >> 20));
      if (stop_requested()) throw run::stopped("while files were hashed");
    }
    if (stream.bad()) throw UserError(fmt::format("cannot read {}: input error.", file.string()));
    return hash.hex();
  }
  uint64_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<Progress> progress_;
  uint64_t bytes_ = 0;
};

// The files below `folder`, sorted by their names in it.
std::vector<std::pair<std::string, fs::path>> visible_files(const fs::path& folder) {
  std::vector<std::pair<std::string, fs::path>> files;
  for (fs::recursive_directory_iterator at(folder), end; at != end; ++at) {
    const bool is_hidden = at->path().filename().string().starts_with('.');
    if (is_hidden && at->is_directory()) at.disable_recursion_pending();
    if (!is_hidden && at->is_regular_file())
      files.emplace_back(at->path().lexically_relative(folder).generic_string(), at->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

HashCache user_hash_cache() {
  const fs::path folder = user_cache_folder();
  return {.folder = folder.empty() ? folder : folder / "hashes"};
}

std::vector<std::string> hash_files(const std::vector<fs::path>& files, const std::string& what,
                                    const HashCache& cache, uint64_t* bytes_read) {
  std::vector<std::string> hashes(files.size());
  const auto look_up = [&] {
    uint64_t missing = 0;
    for (size_t i = 0; i < files.size(); ++i) {
      const Identity identity = identity_of(files[i]);
      hashes[i] = known_hash(cache, identity).value_or("");
      if (hashes[i].empty()) missing += identity.size;
    }
    return missing;
  };
  const uint64_t missing = look_up();
  if (std::count(hashes.begin(), hashes.end(), "") == 0) return hashes;
  const OneReader alone(cache, missing);
  Reader reader(what, look_up());
  for (size_t i = 0; i < files.size(); ++i) {
    if (!hashes[i].empty()) continue;
    const double begin = unix_seconds();
    const Identity before = identity_of(files[i]);
    hashes[i] = reader.hash(files[i]);
    const bool is_settled = before.changed + cache.settle_seconds < begin;
    if (is_settled && identity_of(files[i]).text == before.text) keep_hash(cache, before, hashes[i]);
  }
  if (bytes_read != nullptr) *bytes_read += reader.bytes();
  return hashes;
}

std::string folder_fingerprint(const fs::path& folder, const HashCache& cache) {
  const auto named = visible_files(folder);
  std::vector<fs::path> files;
  for (const auto& [name, file] : named) files.push_back(file);
  const auto hashes = hash_files(files, folder.string(), cache);
  std::string all;
  for (size_t i = 0; i < files.size(); ++i) all += fmt::format("{} {}\n", hashes[i], named[i].first);
  return "sha256:" + formats::sha256(all);
}

std::string file_fingerprint(const fs::path& file, const HashCache& cache) {
  return hash_files({file}, file.string(), cache).front();
}

std::string weights_fingerprint(const fs::path& path, const HashCache& cache) {
  std::string all;
  for (const auto& hash : hash_files(formats::open_weights(path).files, path.string(), cache))
    all += hash + "\n";
  return "sha256:" + formats::sha256(all);
}

std::string former_folder_fingerprint(const fs::path& folder) {
  constexpr uint64_t kEnd = 64 << 10;
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::string all;
  for (const auto& file : files) {
    const uint64_t size = fs::file_size(file);
    std::string end(size_t(std::min(size, kEnd)), '\0');
    std::ifstream stream(file, std::ios::binary);
    stream.read(end.data(), std::streamsize(end.size()));
    std::string tail(size_t(std::min(size, kEnd)), '\0');
    stream.seekg(std::streamoff(size - tail.size()));
    stream.read(tail.data(), std::streamsize(tail.size()));
    all += fmt::format("{} {} {} {}\n", fs::relative(file, folder).string(), size, formats::sha256(end),
                       formats::sha256(tail));
  }
  return formats::sha256(all);
}

data::FeatureInput folder_input(const std::string& name, const fs::path& folder) {
  return {.name = name, .value = folder_fingerprint(folder), .former = former_folder_fingerprint(folder)};
}

}  // namespace pixart::features

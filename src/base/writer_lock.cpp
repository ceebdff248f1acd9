#include "writer_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "temporary_name.h"

namespace pixart {
namespace fs = std::filesystem;

namespace {

int try_flock(int descriptor) {
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0)
    if (errno != EINTR) return errno;
  return 0;
}

// For writing, which the locks of NFS need.
int open_file(const fs::path& path) {
  return ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

int open_folder(const fs::path& path) {
  return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

bool is_there(const fs::path& path) {
  std::error_code error;
  const auto type = fs::symlink_status(path, error).type();
  return type != fs::file_type::not_found;
}

// Calls `remove` if no process holds what is open as `descriptor`, which is closed then.
template <class Remove>
void if_lost(int descriptor, const Remove& remove) {
  if (descriptor < 0) return;
  if (try_flock(descriptor) == 0) remove();
  ::close(descriptor);
}

using PathsByTarget = std::multimap<std::string, fs::path>;

// Temporary files or folders, by the names for which they were made.
PathsByTarget find_temporaries(const fs::path& folder, fs::file_type type) {
  PathsByTarget found;
  std::error_code error, unknown;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    const std::string made_for = name.starts_with(kTemporaryPrefix) ? own_name(name) : "";
    if (!made_for.empty() && at->symlink_status(unknown).type() == type) found.emplace(made_for, at->path());
  }
  return found;
}

// What was there when this process first wrote to a folder. A folder is not listed for each file, because it
// may hold very many.
class FormerFiles {
 public:
  std::vector<fs::path> take(const fs::path& folder, const std::string& name) {
    const std::scoped_lock lock(mutex_);
    const auto [at, is_new] = folders_.try_emplace(folder);
    if (is_new) at->second = find_temporaries(folder, fs::file_type::regular);
    std::vector<fs::path> paths;
    const auto [first, last] = at->second.equal_range(name);
    for (auto entry = first; entry != last; ++entry) paths.push_back(entry->second);
    at->second.erase(first, last);
    return paths;
  }

 private:
  std::mutex mutex_;
  std::map<fs::path, PathsByTarget> folders_;
};

fs::path folder_of(const fs::path& path) {
  std::error_code error;
  const fs::path whole = fs::absolute(path, error);
  return error ? path.parent_path() : whole.parent_path();
}

}  // namespace

WriterLock::~WriterLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool WriterLock::take_file(const fs::path& path, int descriptor) {
  return keep(path, ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
}

bool WriterLock::take_folder(const fs::path& path) { return keep(path, open_folder(path)); }

bool WriterLock::keep(const fs::path& path, int descriptor) {
  if (descriptor < 0) return is_there(path);  // e.g. too many open files: written without a lock
  const bool is_taken = try_flock(descriptor) == EWOULDBLOCK;
  if (is_taken || !is_there(path)) {
    ::close(descriptor);
    return false;
  }
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = descriptor;
  return true;
}

void remove_lost_files(const fs::path& target) {
  static FormerFiles former;
  const fs::path folder = folder_of(target);
  if (!own_name(folder.filename()).empty()) return;  // new, and this process's alone
  for (const auto& path : former.take(folder, target.filename()))
    if_lost(open_file(path), [&] { delete_file(path); });
}

void remove_lost_folders(const fs::path& target, const ForeignEntries& foreign) {
  const auto found = find_temporaries(folder_of(target), fs::file_type::directory);
  const auto [first, last] = found.equal_range(target.filename());
  for (auto entry = first; entry != last; ++entry)
    if_lost(open_folder(entry->second), [&] { delete_tree(entry->second, foreign); });
}

}  // namespace pixart

// The writer of a temporary file or folder holds flock() on it, so that others tell it from a leftover. Where
// the file system has no flock(), nothing is held and nothing is taken for a leftover.
#pragma once
#include <filesystem>

#include "pixart/base/deletion.h"

namespace pixart {

class WriterLock {
 public:
  WriterLock() = default;
  ~WriterLock();
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;
  // Locks the file that was just made at `path` and is open as `descriptor`, until this object is destroyed.
  // Returns false if another process took it for a leftover in between: then it is deleted, and another name is
  // needed.
  bool take_file(const std::filesystem::path& path, int descriptor);
  bool take_folder(const std::filesystem::path& path);  // the same for a folder

 private:
  bool keep(const std::filesystem::path& path, int descriptor);
  int descriptor_ = -1;
};

// Deletes what killed writers of the file `target` left, if no process holds it. Lists a folder once in each
// process: later leftovers go in the next one.
void remove_lost_files(const std::filesystem::path& target);

// The same for a folder, if it has no `foreign` entries.
void remove_lost_folders(const std::filesystem::path& target, const ForeignEntries& foreign);

}  // namespace pixart

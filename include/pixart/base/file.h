// Files that are either complete or absent. Every error is a UserError with the path and the system's reason;
// errors of writing (disk full, I/O) have ExitCode::kStorage, a shortage (machine_fault.h) has kDevice. New
// files and folders have the permissions that the umask leaves, so a group can share them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "pixart/base/deletion.h"
#include "pixart/base/error.h"

namespace pixart {

class WriterLock;

// Reads the whole file. Throws UserError if it cannot be read or is larger than `limit_bytes`. A pipe is read only if it
// has no name in a folder (/dev/stdin, <(command)); a stop (env.h) while it gives no bytes is a UserError(kRequeue).
std::string read_file(const std::filesystem::path& path, uint64_t limit_bytes = uint64_t{1} << 32);

// For files that are read in another way: throws UserError for every pipe and socket. Whoever opens a pipe waits for
// another process, perhaps for ever, and it can be read only once.
void require_no_pipe(const std::filesystem::path& path, ExitCode code = ExitCode::kBadInput);

// Appends to a file, which is created if it is missing, without fsync: for records of which a crash may lose
// the last. Lines that several processes append do not mix.
void append_to_file(const std::filesystem::path& path, std::string_view bytes);

// When a file that gets its final name last is on the disk.
enum class Durability {
  kNow,  // when commit() returns: for files that cannot be made again
  // When the system writes it, as with cp: a power cut within the next half minute may damage it. A file that
  // replaces another one is still on the disk first, so that a power cut cannot destroy both.
  kLater,
};

// Writes to a temporary file next to `path`, fsyncs it, renames it to `path` and fsyncs the folder. It
// replaces a file or a symbolic link, never a pipe or device. leftovers.h: what a kill leaves.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

// A new file written in pieces, for the inside of a StagedFolder. It is not made durable by itself.
class OutputFile {
 public:
  // Errors name `shown` if it is given. With kNow the disk starts to write while more is appended.
  explicit OutputFile(std::filesystem::path path, std::filesystem::path shown = {},
                      Durability durability = Durability::kNow);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  void write(std::string_view bytes);                     // appends
  void rewrite(uint64_t offset, std::string_view bytes);  // replaces bytes already written
  void sync();
  void close();
  const std::filesystem::path& path() const { return path_; }
  uint64_t size() const { return size_; }
  int descriptor() const { return descriptor_; }
  Durability durability() const { return durability_; }

 private:
  std::filesystem::path path_, shown_;
  Durability durability_;
  int descriptor_ = -1;
  uint64_t size_ = 0, flushed_ = 0;
};

// write_file_atomically() in pieces: write(), then commit(). Without commit() the temporary file is removed.
// Those that killed processes left when they wrote `path` are removed first; one that a process still writes is
// known by its lock.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path, Durability durability = Durability::kNow);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(std::string_view bytes) { file_->write(bytes); }
  void rewrite(uint64_t offset, std::string_view bytes) { file_->rewrite(offset, bytes); }
  uint64_t size() const { return file_->size(); }
  void commit();

 private:
  std::filesystem::path path_;
  std::unique_ptr<WriterLock> lock_;
  std::optional<OutputFile> file_;
  bool committed_ = false;
};

// Makes `file` a hard link to `same`, which has the same bytes. Returns whether it is one; where that is not
// possible, nothing changes.
bool replace_by_link(const std::filesystem::path& file, const std::filesystem::path& same);

void create_folders(const std::filesystem::path& path);  // as mkdir -p

// Gives the complete file `made` the name `path`, durably, unless a file has it: of several processes that make
// the same file the first one wins. `made` has no other name after this. Returns whether it was the first.
bool publish_file(const std::filesystem::path& made, const std::filesystem::path& path);

// Makes <parent>/0001, or the folder whose number follows the highest one in `parent`, and returns its path.
// Processes that call it at the same time get different folders.
std::filesystem::path create_numbered_folder(const std::filesystem::path& parent);

// The target of `path` if it is a symbolic link, whether the target exists or not; otherwise `path`. For
// output that users name: their link stays a link, as with cp. UserError(kStorage) if links form a circle.
std::filesystem::path link_target(std::filesystem::path path);

// fsync of a file or folder that exists; throws UserError(kStorage).
void sync_path(const std::filesystem::path& path);

// A folder that gets its final name only when it is complete: fill `path()`, then commit(). Without commit()
// the temporary folder is removed. commit() replaces an existing folder `final_path`, in one step where the
// file system can exchange two names, if that has no `foreign` entries. Otherwise, or if `final_path` is a
// file, it throws UserError(kStorage). commit() also removes what killed processes left when they made the
// folder, if it has no `foreign` entries and no process still writes there.
class StagedFolder {
 public:
  // creates <parent>/.tmp-<name>-<nonce>
  explicit StagedFolder(std::filesystem::path final_path, ForeignEntries foreign = all_entries);
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;
  const std::filesystem::path& path() const { return temporary_; }
  // fsyncs every file and folder, renames, fsyncs the parent; with kLater it only renames
  void commit(Durability durability = Durability::kNow);

 private:
  std::filesystem::path final_, temporary_;
  std::unique_ptr<WriterLock> lock_;
  ForeignEntries foreign_;
  bool committed_ = false;
};

}  // namespace pixart

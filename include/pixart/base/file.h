// Files that are either whole or absent. Every error is a UserError with the path and the system's reason;
// writing errors (disk full, I/O) carry ExitCode::kStorage.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace pixart {

// The whole file. Throws UserError if it cannot be read or is larger than `limit_bytes`.
std::string read_file(const std::filesystem::path& path, uint64_t limit_bytes = uint64_t{1} << 32);

// Of a file that is written under its final name at the end.
enum class Durability {
  kNow,  // it is on the disk when commit() returns: what cannot be made again
  // When the system writes it, as with cp: a power cut within the next half minute may spoil it. What
  // replaces something is on the disk first all the same, lest both be lost.
  kLater,
};

// Writes to a temporary file next to `path`, fsyncs, renames over `path` (a file or a symbolic link, which it
// replaces; never a pipe or device), fsyncs the folder. What a kill leaves: see leftovers.h.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

// A new file written in pieces, which nothing makes durable: for the inside of a StagedFolder.
class OutputFile {
 public:
  // Errors name `shown` where it is given. With kNow the disk begins while more is written.
  explicit OutputFile(std::filesystem::path path, std::filesystem::path shown = {},
                      Durability durability = Durability::kNow);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  void write(std::string_view bytes);                     // appends
  void rewrite(uint64_t offset, std::string_view bytes);  // of what was written
  void sync();
  void close();
  const std::filesystem::path& path() const { return path_; }
  uint64_t size() const { return size_; }
  Durability durability() const { return durability_; }

 private:
  std::filesystem::path path_, shown_;
  Durability durability_;
  int descriptor_ = -1;
  uint64_t size_ = 0, flushed_ = 0;
};

// The same as write_file_atomically() for a file written in pieces: write(), then commit(). Without commit()
// nothing is left behind.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path, Durability durability = Durability::kNow);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(std::string_view bytes) { file_.write(bytes); }
  void rewrite(uint64_t offset, std::string_view bytes) { file_.rewrite(offset, bytes); }
  uint64_t size() const { return file_.size(); }
  void commit();

 private:
  std::filesystem::path path_;
  OutputFile file_;
  bool committed_ = false;
};

void create_folders(const std::filesystem::path& path);  // as mkdir -p

// Where `path` leads if it is a symbolic link, to something that exists or not; otherwise `path`. For output
// that users name: a link of theirs stays one, as with cp. Throws UserError(kStorage) for links in a circle.
std::filesystem::path link_target(std::filesystem::path path);

// fsync of a file or folder that exists; throws UserError(kStorage).
void sync_path(const std::filesystem::path& path);

// A folder that appears under its final name only when complete: fill `path()`, then commit().
// Without commit() the temporary folder is removed. An existing `final_path` is replaced by commit(), in one
// step where the file system can exchange two names; a file of that name is a UserError(kStorage).
class StagedFolder {
 public:
  explicit StagedFolder(std::filesystem::path final_path);  // creates <parent>/.tmp-<name>-<nonce>
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;
  const std::filesystem::path& path() const { return temporary_; }
  // fsync of every file and folder, rename, fsync of the parent; with kLater the rename alone
  void commit(Durability durability = Durability::kNow);

 private:
  std::filesystem::path final_, temporary_;
  bool committed_ = false;
};

// Deletes a folder that must never be seen half-deleted: it is renamed to .del-<name>-<nonce> first, durably.
// Throws UserError(kStorage) if it still stands under its name.
void delete_folder(const std::filesystem::path& path);

}  // namespace pixart

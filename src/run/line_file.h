// A file to which a run appends lines while its disk may be full, or its file server away.
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace pixart::run {

// What cannot be written at the moment stays in memory, in order, and is written with the next line. All lines
// since the last sync() stay there, too: a file server may lose what it has accepted, and says so only then.
// The log has one warning when that begins, and one line when it is over. Only one process may append to the
// file. For one thread.
class LineFile {
 public:
  // The line that takes the place of `count` lines.
  using DroppedLine = std::function<std::string(int64_t count)>;

  // Continues an existing file; an incomplete last line gets its end, so that the next one stays separate. Of
  // more than `most_bytes` in memory the oldest lines are dropped if there is a `dropped_line`, otherwise none.
  // Throws UserError (kStorage; kDevice: too many open files) if the file cannot be opened and no line may be
  // dropped.
  LineFile(std::filesystem::path path, int64_t most_bytes, DroppedLine dropped_line = {});
  ~LineFile();
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  void append(const std::string& line);  // without its "\n"

  // Makes all lines durable. Returns "", or why that is not possible now, in a sentence. Throws
  // UserError(kStorage) if the file was removed or replaced by another one, unless lines may be dropped.
  std::string sync();

  bool is_full() const { return int64_t(kept_.size()) > most_bytes_; }
  std::string content() const;  // of the file and of memory

  // Replaces the content, durably and at once. Throws UserError(kStorage).
  void replace(const std::string& content);

  const std::filesystem::path& path() const { return path_; }

 private:
  bool open();
  void begin(const struct ::stat& status);
  void check_place() const;
  bool flush();
  bool flush_and_sync();
  bool fail(const std::string& what, int error);
  void close();
  void drop_oldest();
  int64_t num_waiting() const;

  const std::filesystem::path path_;
  const int64_t most_bytes_;
  const DroppedLine dropped_line_;
  int descriptor_ = -1;
  bool has_begun_ = false;
  uint64_t inode_ = 0;
  int64_t durable_ = 0;  // bytes of the file that need not be written again
  std::string kept_;     // what follows them
  size_t written_ = 0;   // bytes of `kept_` that the system has accepted
  int64_t dropped_ = 0;  // lines since writing began to fail
  std::string problem_;  // "": writing works
  int error_ = 0;        // of the system, in `problem_`
};

}  // namespace pixart::run

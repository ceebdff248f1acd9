// A log file on a disk that may be full for some time.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace pixart {

// Appends lines. While that fails they wait in memory, and are written with the next one; of more than
// `most_bytes` the oldest are dropped, and a line says how many.
class LogFile {
 public:
  // Creates the folder. Throws UserError if the file cannot be opened.
  explicit LogFile(std::filesystem::path path, size_t most_bytes = size_t{1} << 20);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // `line` ends with "\n". Returns why it waits, or "".
  std::string write(std::string_view line);

 private:
  void open();
  void drop_oldest();

  const std::filesystem::path path_;
  const size_t most_bytes_;
  int descriptor_ = -1;
  std::string waiting_;
  int64_t dropped_ = 0;
};

}  // namespace pixart

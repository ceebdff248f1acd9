// The quarantine file of a source while a run goes on, whatever the disk does.
#pragma once
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>

#include "pixart/data/quarantine.h"

namespace pixart::data {

// Lines that cannot be written at the moment (a full disk, a folder that is closed to the run) wait in memory and
// are written with the next ones; of more than `most_bytes` the oldest are dropped. The log has a warning when that
// begins, and one line when it is over. Several threads may call it, and several processes may append.
class QuarantineFile {
 public:
  explicit QuarantineFile(std::filesystem::path path, int64_t most_bytes = int64_t{4} << 20);
  ~QuarantineFile();  // tries once more
  QuarantineFile(const QuarantineFile&) = delete;
  QuarantineFile& operator=(const QuarantineFile&) = delete;

  void replace(const Ledger& ledger);  // what the file holds
  void append(const std::string& source, const Rejection& rejection);
  void write_waiting();  // if there is something

 private:
  bool write_in_pieces(const Ledger& ledger);  // false: the disk refuses
  void flush();
  void keep(const std::string& problem);

  const std::filesystem::path path_;
  const int64_t most_bytes_;
  std::mutex mutex_;
  std::string waiting_;    // lines
  bool replaces_ = false;  // they take the place of the file
  bool has_failed_ = false;
  int64_t dropped_ = 0;  // lines since writing began to fail
};

}  // namespace pixart::data

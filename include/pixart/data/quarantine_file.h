// The quarantine file of a source while a run goes on, whatever the disk does.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "pixart/data/quarantine.h"

namespace pixart::data {

// Whether every line of a file of JSON lines was written by this program: `is_own` is true of it, or it is torn (not JSON) and
// begins with `begin`. After the first thousand lines only the beginning is looked at. True of a file that is empty or
// does not exist; false of what cannot be read, and of what is not a file.
bool holds_only_own_lines(const std::filesystem::path& path, std::string_view begin,
                          const std::function<bool(const nlohmann::ordered_json&)>& is_own);

// Throws UserError if `path` exists and has other lines than those of quarantine_line(): it is not replaced.
void require_own_quarantine(const std::filesystem::path& path);

// For a file that a run must write whatever is there: such a file gets the name PATH.kept-1, or the next number that is free,
// and the log has a warning.
void set_aside_foreign_quarantine(const std::filesystem::path& path);

// A file of that name with other lines is set aside before the first line is written. Lines that cannot be written at the moment (a full disk, a folder that is closed to the run) wait in memory and
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
  bool has_failed_ = false, is_own_ = false;
  int64_t dropped_ = 0;  // lines since writing began to fail
};

}  // namespace pixart::data

#include "pixart/data/quarantine_file.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// A line that the disk took in part.
bool ends_inside_a_line(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  char last = '\n';
  return file.seekg(-1, std::ios::end) && file.get(last) && last != '\n';
}

}  // namespace

QuarantineFile::QuarantineFile(fs::path path, int64_t most_bytes)
    : path_(std::move(path)), most_bytes_(most_bytes) {}

QuarantineFile::~QuarantineFile() {
  std::string reason;
  try {
    write_waiting();
  } catch (const std::exception& error) {  // such as too little memory; a destructor must not throw
    reason = fmt::format(": {}", error.what());
  }
  if (!waiting_.empty())
    log::warning("the lines that wait for {} were never written{}", path_.string(), reason);
}

void QuarantineFile::replace(const Ledger& ledger) {
  const std::scoped_lock lock(mutex_);
  if (ledger.left_out > 0 && write_in_pieces(ledger)) return;
  waiting_ = quarantine_text(ledger);
  replaces_ = true;
  flush();
}

// Scores may leave out millions of rows.
bool QuarantineFile::write_in_pieces(const Ledger& ledger) {
  try {
    create_folders(path_.parent_path());
    write_quarantine(path_, ledger);
  } catch (const UserError&) {
    return false;
  }
  waiting_.clear();
  replaces_ = has_failed_ = false;
  dropped_ = 0;
  return true;
}

void QuarantineFile::append(const std::string& source, const Rejection& rejection) {
  const std::scoped_lock lock(mutex_);
  waiting_ += quarantine_line(source, rejection);
  flush();
}

void QuarantineFile::write_waiting() {
  const std::scoped_lock lock(mutex_);
  if (replaces_ || !waiting_.empty()) flush();
}

void QuarantineFile::flush() {
  try {
    if (replaces_) {
      create_folders(path_.parent_path());
      write_file_atomically(path_, waiting_);
    } else {
      append_to_file(path_, (has_failed_ && ends_inside_a_line(path_) ? "\n" : "") + waiting_);
    }
  } catch (const UserError& error) {
    return keep(error.what());
  }
  if (std::exchange(has_failed_, false))
    log::info("{} is written again{}", path_.string(),
              dropped_ > 0 ? fmt::format("; {} older lines are lost", dropped_) : "");
  waiting_.clear();
  replaces_ = false;
  dropped_ = 0;
}

void QuarantineFile::keep(const std::string& problem) {
  if (!std::exchange(has_failed_, true))
    log::warning("{} The lines of the quarantine wait in memory (at most {}) and are written later.", problem,
                 human_bytes(uint64_t(most_bytes_)));
  if (int64_t(waiting_.size()) <= most_bytes_) return;
  const size_t end =
      waiting_.find('\n', waiting_.size() / 2) + 1;  // to half, so that it is not done for each line
  dropped_ += std::count(waiting_.begin(), waiting_.begin() + ptrdiff_t(end), '\n');
  waiting_.erase(0, end);
}

}  // namespace pixart::data

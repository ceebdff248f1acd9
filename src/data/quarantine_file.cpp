#include "pixart/data/quarantine_file.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/formats/bounded_json.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// A line that the disk took in part.
bool ends_inside_a_line(const fs::path& path) {
  require_no_pipe(path);
  std::ifstream file(path, std::ios::binary);
  char last = '\n';
  return file.seekg(-1, std::ios::end) && file.get(last) && last != '\n';
}

bool is_of_a_quarantine(const nlohmann::ordered_json& line) {
  if (!line.is_object()) return false;
  for (const char* name : {"source", "key", "reason", "detail"})
    if (!line.contains(name) || !line[name].is_string()) return false;
  for (const char* name : {"row", "offset"})
    if (!line.contains(name) || !line[name].is_number_integer()) return false;
  return true;
}

bool is_own_quarantine(const fs::path& path) {
  return holds_only_own_lines(path, R"({"source":)", is_of_a_quarantine);
}

}  // namespace

bool holds_only_own_lines(const fs::path& path, std::string_view begin,
                          const std::function<bool(const nlohmann::ordered_json&)>& is_own) {
  constexpr size_t kLongest = size_t{4} << 20;
  constexpr int64_t kParsed = 1000;
  std::error_code error;
  const auto status = fs::status(path, error);
  if (!fs::exists(status)) return true;
  if (!fs::is_regular_file(status)) return false;
  std::ifstream file(path, std::ios::binary);
  std::string buffer(kLongest, '\0');
  for (int64_t number = 0; file.getline(buffer.data(), std::streamsize(buffer.size())); ++number) {
    std::string_view line(buffer.data(), size_t(file.gcount()) - (file.eof() ? 0 : 1));
    line = line.substr(0, line.find_last_not_of('\0') + 1);  // a power cut leaves zeros
    const auto json = number < kParsed ? formats::parse_ordered_or_discard(line)
                                       : nlohmann::ordered_json(nlohmann::ordered_json::value_t::discarded);
    const bool begins_so = line.starts_with(begin) || begin.starts_with(line);
    if (json.is_discarded() ? !begins_so : !is_own(json)) return false;
  }
  return file.eof();
}

void require_own_quarantine(const fs::path& path) {
  if (!is_own_quarantine(path))
    throw UserError(fmt::format(
        "{} is there and is not a quarantine file, so it is not replaced: choose another name, or "
        "move it away.",
        path.string()));
}

void set_aside_foreign_quarantine(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error) || is_own_quarantine(path)) return;
  fs::path aside;
  for (int number = 1; aside.empty() || fs::exists(fs::symlink_status(aside, error)); ++number)
    aside = fmt::format("{}.kept-{}", path.string(), number);
  fs::rename(path, aside, error);
  if (!error)
    log::warning("{} was not a quarantine file: it is kept as {}", path.string(), aside.filename().string());
  else if (fs::exists(path))  // otherwise another process was faster
    throw UserError(
        fmt::format("cannot rename {} to {}: {}.", path.string(), aside.string(), error.message()),
        ExitCode::kStorage);
}

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
    set_aside_foreign_quarantine(path_);
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
    if (replaces_ || !is_own_) set_aside_foreign_quarantine(path_);
    is_own_ = true;
    if (replaces_) {
      create_folders(path_.parent_path());
      write_file_atomically(link_target(path_), waiting_);
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

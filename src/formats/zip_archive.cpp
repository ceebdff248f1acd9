#include "zip_archive.h"

#include <algorithm>
#include <vector>

#include "pixart/base/bytes.h"
#include "pixart/base/error.h"
#include "pixart/base/utf8.h"

namespace pixart::formats {

namespace {

constexpr uint64_t kMostRecords = 1'000'000, kLargestDirectory = uint64_t{256} << 20;
constexpr uint64_t kEndBytes = 22, kLocatorBytes = 20, kEnd64Bytes = 56, kCentralBytes = 46, kLocalBytes = 30;
constexpr uint64_t kEndSignature = 0x06054b50, kLocatorSignature = 0x07064b50, kEnd64Signature = 0x06064b50,
                   kCentralSignature = 0x02014b50, kLocalSignature = 0x04034b50;
// A deflated block of 258 equal bytes takes 2 bits; a record that claims a larger factor is invalid.
constexpr uint64_t kLargestExpansion = 1100;
constexpr unsigned kStored = 0, kDeflated = 8;            // methods
constexpr uint64_t kNot16 = 0xFFFF, kNot32 = 0xFFFFFFFF;  // "see the 64-bit record"

struct Directory {
  uint64_t offset = 0, bytes = 0, records = 0;
};

struct CentralEntry {
  std::string name = {};  // with its folder
  uint64_t local = 0, bytes = 0, stored_bytes = 0;
  uint32_t crc = 0;
  unsigned method = 0, flags = 0;
};

class DirectoryReader {
 public:
  DirectoryReader(const InputFile& file, const ZipRules& rules) : file_(file), rules_(rules) {}
  ZipRecords read();

 private:
  [[noreturn]] void fail(uint64_t at, const std::string& reason) const {
    throw UserError(fmt::format("{}: byte {}: {}. The file is damaged or was not written by {}.",
                                file_.name(), at, reason, rules_.writer));
  }
  Directory find_directory() const;
  CentralEntry read_central(std::string_view bytes, size_t& at) const;
  void apply_zip64(std::string_view extra, CentralEntry& entry) const;
  void check_method(uint64_t place, const CentralEntry& entry) const;
  std::string name_of(const CentralEntry& entry);
  std::string name_below_top(const CentralEntry& entry);
  uint64_t data_offset(const CentralEntry& entry) const;
  void check_spans();

  const InputFile& file_;
  const ZipRules& rules_;
  Directory directory_;
  std::string top_;
  std::vector<std::pair<uint64_t, uint64_t>> spans_;  // of each local header with its data
};

// Neither program writes an archive comment, so the end record is at the very end.
Directory DirectoryReader::find_directory() const {
  if (file_.bytes() < kEndBytes) fail(0, "too short for a zip archive");
  uint64_t limit = file_.bytes() - kEndBytes;
  const std::string end = file_.read(kEndBytes, limit);
  if (from_little_endian(end, 0, 4) != kEndSignature || from_little_endian(end, 20, 2) != 0)
    fail(limit, "the end of the zip directory is missing; the file seems to be cut off");
  Directory directory{from_little_endian(end, 16, 4), from_little_endian(end, 12, 4),
                      from_little_endian(end, 10, 2)};
  const std::string locator = limit < kLocatorBytes ? "" : file_.read(kLocatorBytes, limit - kLocatorBytes);
  if (!locator.empty() && from_little_endian(locator, 0, 4) == kLocatorSignature) {
    limit = from_little_endian(locator, 8, 8);
    const std::string end64 = file_.read(kEnd64Bytes, limit);
    if (from_little_endian(end64, 0, 4) != kEnd64Signature)
      fail(limit, "the 64-bit end of the zip directory is missing");
    directory = {from_little_endian(end64, 48, 8), from_little_endian(end64, 40, 8),
                 from_little_endian(end64, 32, 8)};
  } else if (directory.records == kNot16 || directory.bytes == kNot32 || directory.offset == kNot32) {
    fail(limit, "the 64-bit end of the zip directory is missing");
  }
  if (directory.records > kMostRecords || directory.bytes > kLargestDirectory) {
    fail(limit, fmt::format("a zip directory of {} records in {} bytes is over the limit", directory.records,
                            directory.bytes));
  }
  if (directory.offset > limit || directory.bytes != limit - directory.offset)
    fail(limit, "the zip directory does not end here");
  return directory;
}

// 64-bit values are in an extra field, in this order, for each field whose bits are all ones.
void DirectoryReader::apply_zip64(std::string_view extra, CentralEntry& entry) const {
  std::vector<uint64_t*> wanted;
  for (uint64_t* field : {&entry.bytes, &entry.stored_bytes, &entry.local}) {
    if (*field == kNot32) wanted.push_back(field);
  }
  for (size_t at = 0; at + 4 <= extra.size();) {
    const uint64_t tag = from_little_endian(extra, at, 2), length = from_little_endian(extra, at + 2, 2);
    at += 4;
    if (length > extra.size() - at)
      fail(directory_.offset, fmt::format("a damaged extra field of record {}", shown(entry.name)));
    if (tag == 1 && length >= 8 * wanted.size()) {
      for (size_t i = 0; i < wanted.size(); ++i) *wanted[i] = from_little_endian(extra, at + 8 * i, 8);
      return;
    }
    at += length;
  }
  if (!wanted.empty())
    fail(directory_.offset, fmt::format("the 64-bit size of record {} is missing", shown(entry.name)));
}

CentralEntry DirectoryReader::read_central(std::string_view bytes, size_t& at) const {
  const uint64_t place = directory_.offset + at;
  if (bytes.size() - at < kCentralBytes || from_little_endian(bytes, at, 4) != kCentralSignature)
    fail(place, "a damaged directory entry");
  const size_t name_bytes = from_little_endian(bytes, at + 28, 2),
               extra_bytes = from_little_endian(bytes, at + 30, 2),
               comment_bytes = from_little_endian(bytes, at + 32, 2);
  const size_t entry_bytes = kCentralBytes + name_bytes + extra_bytes + comment_bytes;
  if (bytes.size() - at < entry_bytes) fail(place, "a directory entry beyond the directory's end");
  CentralEntry entry{.name = std::string(bytes.substr(at + kCentralBytes, name_bytes)),
                     .local = from_little_endian(bytes, at + 42, 4),
                     .bytes = from_little_endian(bytes, at + 24, 4),
                     .stored_bytes = from_little_endian(bytes, at + 20, 4),
                     .crc = uint32_t(from_little_endian(bytes, at + 16, 4)),
                     .method = unsigned(from_little_endian(bytes, at + 10, 2)),
                     .flags = unsigned(from_little_endian(bytes, at + 8, 2))};
  apply_zip64(bytes.substr(at + kCentralBytes + name_bytes, extra_bytes), entry);
  check_method(place, entry);
  at += entry_bytes;
  return entry;
}

void DirectoryReader::check_method(uint64_t place, const CentralEntry& entry) const {
  if (entry.method == kDeflated && rules_.may_deflate) {
    if (entry.bytes / kLargestExpansion > entry.stored_bytes) {
      fail(place, fmt::format("record {} of {} bytes cannot come from {} deflated ones", shown(entry.name),
                              entry.bytes, entry.stored_bytes));
    }
  } else if (entry.method != kStored || entry.stored_bytes != entry.bytes) {
    fail(place, fmt::format("record {} is compressed{}", shown(entry.name),
                            rules_.may_deflate ? " by an unknown method"
                                               : fmt::format("; {} only stores", rules_.writer)));
  }
  constexpr unsigned kHarmlessFlags = 0x0808;  // UTF-8 name, sizes repeated after the data
  if ((entry.flags & ~kHarmlessFlags) != 0)
    fail(place, fmt::format("record {} is encrypted or of an unknown kind", shown(entry.name)));
}

// Accepts only names that cannot lead to a path outside the archive.
std::string DirectoryReader::name_of(const CentralEntry& entry) {
  const std::string& name = entry.name;
  const bool has_control =
      std::any_of(name.begin(), name.end(), [](char c) { return uint8_t(c) < 0x20 || c == 0x7F; });
  const bool climbs =
      ("/" + name + "/").find("/../") != std::string::npos || name.find('\\') != std::string::npos;
  const bool is_safe = !climbs && !has_control && is_utf8(name);
  if (rules_.has_top_folder) {
    const size_t slash = name.find('/');
    if (slash == std::string::npos || slash == 0 || slash + 1 == name.size() || !is_safe)
      fail(directory_.offset, fmt::format("record {} is not in a top folder", shown(name)));
    return name_below_top(entry);
  }
  if (name.empty() || name == "." || name.find('/') != std::string::npos || !is_safe)
    fail(directory_.offset, fmt::format("record {} does not have a plain name", shown(name)));
  return name;
}

// "top/data/0" -> "data/0"; all records must have the same top folder.
std::string DirectoryReader::name_below_top(const CentralEntry& entry) {
  const std::string& name = entry.name;
  const size_t slash = name.find('/');
  const std::string top = name.substr(0, slash);
  if (top_.empty()) top_ = top;
  if (top != top_)
    fail(directory_.offset, fmt::format("records in two top folders, {} and {}", shown(top_), shown(top)));
  return name.substr(slash + 1);
}

uint64_t DirectoryReader::data_offset(const CentralEntry& entry) const {
  const uint64_t limit = directory_.offset;
  if (limit < kLocalBytes || entry.local > limit - kLocalBytes)
    fail(entry.local, fmt::format("record {} is beyond the data", shown(entry.name)));
  const std::string header = file_.read(kLocalBytes, entry.local);
  const uint64_t name_bytes = from_little_endian(header, 26, 2),
                 data = entry.local + kLocalBytes + name_bytes + from_little_endian(header, 28, 2);
  if (from_little_endian(header, 0, 4) != kLocalSignature)
    fail(entry.local, fmt::format("record {} does not begin here", shown(entry.name)));
  if (data > limit || entry.stored_bytes > limit - data) {
    fail(entry.local,
         fmt::format("record {} of {} bytes reaches beyond the data", shown(entry.name), entry.stored_bytes));
  }
  if (from_little_endian(header, 8, 2) != entry.method ||
      file_.read(name_bytes, entry.local + kLocalBytes) != entry.name) {
    fail(entry.local, fmt::format("record {} has another name in its own header", shown(entry.name)));
  }
  return data;
}

void DirectoryReader::check_spans() {
  std::sort(spans_.begin(), spans_.end());
  if (!spans_.empty() && spans_[0].first != 0) fail(0, "there are bytes before the first record");
  for (size_t i = 1; i < spans_.size(); ++i) {
    if (spans_[i].first < spans_[i - 1].second) fail(spans_[i].first, "two records share the same bytes");
  }
}

ZipRecords DirectoryReader::read() {
  directory_ = find_directory();
  const std::string bytes = file_.read(directory_.bytes, directory_.offset);
  ZipRecords records;
  size_t at = 0;
  for (uint64_t i = 0; i < directory_.records; ++i) {
    const CentralEntry entry = read_central(bytes, at);
    const std::string name = name_of(entry);
    const uint64_t offset = data_offset(entry);
    spans_.emplace_back(entry.local, offset + entry.stored_bytes);
    const ZipRecord record{.name = name,
                           .offset = offset,
                           .stored_bytes = entry.stored_bytes,
                           .bytes = entry.bytes,
                           .crc = entry.crc,
                           .is_deflated = entry.method == kDeflated};
    if (!records.emplace(name, record).second)
      fail(entry.local, fmt::format("two records called {}", shown(name)));
  }
  if (at != bytes.size()) fail(directory_.offset + at, "bytes in the zip directory that belong to no record");
  check_spans();
  return records;
}

}  // namespace

ZipRecords read_zip_directory(const InputFile& file, const ZipRules& rules) {
  return DirectoryReader(file, rules).read();
}

}  // namespace pixart::formats

#include "row_fields.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <system_error>

#include "caption_text.h"
#include "listing.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/words.h"
#include "table_files.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

bool is_inside(const fs::path& relative) {
  return !relative.empty() && *relative.begin() != ".." && relative != ".";
}

// `path` and `root` may name one folder in two ways, because of a symbolic link.
fs::path below_links(const fs::path& root, const fs::path& path) {
  std::error_code no_root, no_path;
  const fs::path real = fs::weakly_canonical(path, no_path);
  const fs::path relative = real.lexically_relative(fs::weakly_canonical(root, no_root));
  return !no_root && !no_path && is_inside(relative) ? relative : fs::path();
}

// The path relative to `root`; empty if it is not below `root`.
fs::path below(const fs::path& root, const fs::path& path) {
  fs::path relative = path.lexically_normal();
  if (path.is_absolute()) relative = relative.lexically_relative(fs::absolute(root).lexically_normal());
  if (is_inside(relative)) return relative;
  return path.is_absolute() ? below_links(root, path) : fs::path();
}

// The key with / for \, as Windows writes paths, if that names a file; otherwise "".
std::string key_with_slashes(const fs::path& file, std::string key) {
  const std::string name = file.string();
  if (key.find('\\') == std::string::npos || !name.ends_with(key)) return {};
  const std::string folder = name.substr(0, name.size() - key.size());
  std::replace(key.begin(), key.end(), '\\', '/');
  const fs::path path = fs::path(key).lexically_normal();
  std::error_code error;
  if (path.is_absolute() || !is_inside(path) || !fs::exists(fs::path(folder) / path, error)) return {};
  return path.generic_string();
}

// What is found for a record.
struct FoundFile {
  fs::path file = {};
  std::string key = {};  // the new one; "" if it stays
  uint64_t bytes = 0;
  bool is_link = false;
  std::optional<ReadFault> fault = {};
};

// One call of the system for a file that is not a link, because listing ten million images is mostly such calls.
struct FileStatus {
  int error = 0;  // an errno
  bool is_link = false, is_regular = false;
  uint64_t bytes = 0;
  bool is_missing() const { return error == ENOENT || error == ENOTDIR; }
};

FileStatus status_of(const fs::path& path) {
  struct stat status {};
  FileStatus found;
  if (::lstat(path.c_str(), &status) != 0) return {.error = errno};
  found.is_link = S_ISLNK(status.st_mode);
  if (found.is_link && ::stat(path.c_str(), &status) != 0) return {.error = errno, .is_link = true};
  found.is_regular = S_ISREG(status.st_mode);
  found.bytes = uint64_t(status.st_size);
  return found;
}

FoundFile find_file(const Listing& listing, int64_t row) {
  FoundFile found{.file = listing.image_file(row)};
  FileStatus status = status_of(found.file);
  check_machine(found.file, status.error);
  const std::string key(listing.key(row));
  if (status.is_missing() && !(found.key = key_with_slashes(found.file, key)).empty()) {
    const std::string name = found.file.string();
    found.file = fs::path(name.substr(0, name.size() - key.size())) / found.key;
    status = status_of(found.file);
    check_machine(found.file, status.error);
  }
  found.is_link = status.is_link;
  if (status.is_missing())
    found.fault = {Reason::kMissingFile, "missing file " + shortened(found.file.string())};
  else if (status.error != 0)
    found.fault = {Reason::kUnreadableFile, std::generic_category().message(status.error)};
  else if (!status.is_regular)
    found.fault = {Reason::kUnreadableFile, "it is not a regular file"};
  else if (status.bytes == 0)
    found.fault = {Reason::kEmptyFile, "the file is empty"};
  if (!found.fault) found.bytes = status.bytes;
  return found;
}

// Whether a text where a path should be is an image in letters.
bool looks_like_base64(const std::string& text) {
  constexpr size_t kLongestPath = 250;  // without a dot
  if (text.starts_with("data:image/")) return true;
  return text.size() > kLongestPath && std::all_of(text.begin(), text.end(), [](char c) {
           return std::isalnum(uint8_t(c)) != 0 ||
                  std::string_view("+/=-_\r\n").find(c) != std::string_view::npos;
         });
}

}  // namespace

std::string shortened(const std::string& text) {
  constexpr size_t kLongest = 250, kBegin = 80, kEnd = 40;
  if (text.size() <= kLongest) return text;
  const auto whole_character = [&](size_t at) {
    while (at > 0 && (uint8_t(text[at]) & 0xC0) == 0x80) --at;
    return at;
  };
  return fmt::format("{}...{} ({} bytes)", text.substr(0, whole_character(kBegin)),
                     text.substr(whole_character(text.size() - kEnd)), text.size());
}

std::optional<ReadFault> path_in(const nlohmann::json& row, const std::string& field, const fs::path& root,
                                 std::string& key) {
  const auto found = row.find(field);
  if (found == row.end() || found->is_null() || *found == "")
    return ReadFault{Reason::kMissingField, fmt::format("'{}', the path of the image, is missing", field)};
  if (!found->is_string())
    return ReadFault{Reason::kBadRow,
                     fmt::format("'{}': expected a path, got {}", field, found->type_name())};
  const auto& text = found->get_ref<const std::string&>();
  if (looks_like_base64(text))
    return ReadFault{
        Reason::kBadRow,
        fmt::format("'{}' looks like base64, not like a path: store the bytes of the image, as a file, "
                    "in a .tar file or in a column of a .parquet file",
                    field)};
  if (std::any_of(text.begin(), text.end(), [](char c) { return uint8_t(c) < 0x20 || c == 0x7F; }))
    return ReadFault{Reason::kBadRow, fmt::format("'{}' holds control characters", field)};
  if (text.starts_with("http://") || text.starts_with("https://"))
    return ReadFault{Reason::kMissingFile, "the path is a web address; download the images first"};
  const fs::path path = below(root, text);
  if (path.empty())
    return ReadFault{Reason::kPathOutside, fmt::format("{} is not below {}", shortened(text), root.string())};
  key = path.generic_string();
  return std::nullopt;
}

std::string no_such_column(const std::string& key, const std::string& column,
                           const std::vector<std::string>& shown, const std::vector<std::string>& known) {
  return fmt::format("{}: there is no column '{}'; the columns are {}.{}", key, column, name_some(shown),
                     did_you_mean(column, known));
}

std::string hint_of_columns(const SourceConfig& config, const std::vector<CaptionField>& captions,
                            const std::vector<std::string>& shown) {
  std::vector<std::string> fields;
  for (const auto& caption : captions) fields.push_back(caption.field);
  if (fields.empty() && !config.captions.empty()) return "";  // they come from other files
  const std::string which =
      fields.empty() ? "No column is called " + join({kCaptionColumns.begin(), kCaptionColumns.end()}, ", ")
                     : "Captions are read from " + name_some(fields);
  return fmt::format(" {}; the columns are {}.", which, name_some(shown));
}

std::vector<CaptionField> configured_captions(const SourceConfig& config) {
  std::vector<CaptionField> fields;
  for (const auto& caption : config.captions)
    if (caption.from.empty())
      fields.push_back({caption.name, caption.column.empty() ? caption.name : caption.column});
  return fields;
}

std::optional<ReadFault> add_captions(const TableRow& row, const std::vector<CaptionField>& fields,
                                      uint32_t file, std::vector<ListedText>& captions) {
  for (const auto& [kind, field] : fields) {
    const auto found = row.fields.find(field);
    if (found == row.fields.end()) continue;
    auto texts = texts_in(*found);
    if (!texts)
      return ReadFault{Reason::kBadRow,
                       fmt::format("'{}': expected a text or a list of texts, got {}", field,
                                   found->is_array() ? "a list with other values" : found->type_name())};
    CaptionWay way{.as = ReadAs::kJson, .file = file, .field = field};
    if (row.columns != nullptr) {
      const auto column = std::find(row.columns->begin(), row.columns->end(), field) - row.columns->begin();
      way = {.as = ReadAs::kCsv, .file = file, .field = fmt::format("{}{}", row.separator, column)};
    }
    for (size_t item = 0; item < texts->size(); ++item)
      captions.push_back({.kind = kind,
                          .text = std::move((*texts)[item]),
                          .way = way,
                          .offset = row.offset,
                          .bytes = row.bytes,
                          .item = item});
  }
  return std::nullopt;
}

namespace {

// The result of a part: sizes of all its rows, folders in which they are, and what is special about some rows.
std::string found_files(const Listing& listing, const std::vector<bool>& is_left_out, int64_t begin,
                        int64_t end, Links& links, ListingWatch& own, ListingWatch& watch) {
  PartWriter sizes, special;
  fs::path folder;  // of the file before
  for (int64_t row = begin; row < end; ++row) {
    FoundFile found;
    if (!is_left_out[size_t(row)]) {
      retry_machine_faults("read " + std::string(listing.key(row)), [&] { found = find_file(listing, row); });
      if (auto here = found.file.parent_path(); here != folder) own.reads(folder = std::move(here));
    }
    const bool is_refused =
        !is_left_out[size_t(row)] && !found.fault && !links.admit(found.file, found.is_link);
    sizes.number(found.bytes);
    watch.found(0);
    if (!found.fault && found.key.empty() && !is_refused) continue;
    special.number(uint64_t(row)), special.text(found.key);
    special.text(is_refused ? found.file.string() : ""), special.number(found.fault ? 1 : 0);
    if (found.fault) special.number(uint64_t(found.fault->reason)), special.text(found.fault->detail);
  }
  return sizes.take() + special.take();
}

// A row that is special, in the result of a part.
struct SpecialRow {
  explicit SpecialRow(PartReader& reader)
      : row(int64_t(reader.number())), key(reader.text()), refused(reader.text()) {
    if (reader.number() == 0) return;
    const auto reason = Reason(reader.number());
    fault = ReadFault{reason, std::string(reader.text())};
  }
  int64_t row;
  std::string key, refused;  // "": none
  std::optional<ReadFault> fault = {};
};

}  // namespace

void find_files(const SourceConfig& config, Listing& listing, const SpilledVector<uint64_t>& offsets,
                Links& links, ListingWatch& watch) {
  constexpr int kThreads = 16;  // because file servers are slow to answer
  const std::vector<bool> is_rejected = listing.rejected_rows();
  const int64_t rows = rows_of_part(listing.size());
  const auto end_of = [&](int64_t part) { return std::min((part + 1) * rows, listing.size()); };
  std::vector<SpecialRow> special;  // applied at the end, as other threads read the keys
  const auto make = [&](int64_t part, ListingWatch& own) {
    return found_files(listing, is_rejected, part * rows, end_of(part), links, own, watch);
  };
  const auto take = [&](int64_t part, std::string_view result) {
    PartReader reader(result);
    for (int64_t row = part * rows; row < end_of(part); ++row) {
      const uint64_t bytes = reader.number();
      if (!is_rejected[size_t(row)]) listing.row(row).bytes = bytes;
    }
    while (!reader.is_at_end()) special.emplace_back(reader);
  };
  run_step({.name = "files",
            .what = "find the images of " + config.name,
            .unit = "image",
            .parts = (listing.size() + rows - 1) / rows,
            .units = listing.size(),
            .threads = kThreads,
            .is_last = true,
            .make = make,
            .take = take},
           watch);
  for (auto& [row, key, refused, fault] : special) {
    const auto& record = listing.row(row);
    if (!key.empty()) listing.set_key(row, key);
    if (!refused.empty()) links.admit(refused);
    if (!fault || (record.has_latents != 0 && record.has_features != 0)) continue;
    listing.rejected.push_back({.row = row,
                                .key = std::string(listing.key(row)),
                                .offset = offsets[size_t(row)],
                                .reason = fault->reason,
                                .detail = fault->detail});
  }
}

}  // namespace pixart::data

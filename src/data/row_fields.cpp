#include "row_fields.h"

#include <algorithm>

#include "caption_text.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/parallel.h"
#include "pixart/base/words.h"
#include "slow_progress.h"

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
  std::optional<ReadFault> fault = {};
};

FoundFile find_file(const Listing& listing, int64_t row) {
  FoundFile found{.file = listing.image_file(row)};
  std::error_code error;
  fs::file_status status = fs::status(found.file, error);
  check_machine(found.file, error.value());
  const std::string key(listing.key(row));
  if (status.type() == fs::file_type::not_found && !(found.key = key_with_slashes(found.file, key)).empty()) {
    const std::string name = found.file.string();
    found.file = fs::path(name.substr(0, name.size() - key.size())) / found.key;
    status = fs::status(found.file, error);
    check_machine(found.file, error.value());
  }
  if (status.type() == fs::file_type::not_found)
    found.fault = {Reason::kMissingFile, "missing file " + found.file.string()};
  else if (error)
    found.fault = {Reason::kUnreadableFile, error.message()};
  else if (status.type() != fs::file_type::regular)
    found.fault = {Reason::kUnreadableFile, "it is not a regular file"};
  if (found.fault) return found;
  found.bytes = uint64_t(fs::file_size(found.file, error));
  check_machine(found.file, error.value());
  if (error)
    found.fault = {Reason::kUnreadableFile, error.message()};
  else if (found.bytes == 0)
    found.fault = {Reason::kEmptyFile, "the file is empty"};
  return found;
}

}  // namespace

std::optional<ReadFault> path_in(const nlohmann::json& row, const std::string& field, const fs::path& root,
                                 std::string& key) {
  const auto found = row.find(field);
  if (found == row.end() || found->is_null() || *found == "")
    return ReadFault{Reason::kMissingField, fmt::format("'{}', the path of the image, is missing", field)};
  if (!found->is_string())
    return ReadFault{Reason::kBadRow,
                     fmt::format("'{}': expected a path, got {}", field, found->type_name())};
  const auto& text = found->get_ref<const std::string&>();
  if (std::any_of(text.begin(), text.end(), [](char c) { return uint8_t(c) < 0x20 || c == 0x7F; }))
    return ReadFault{Reason::kBadRow, fmt::format("'{}' holds control characters", field)};
  if (text.starts_with("http://") || text.starts_with("https://"))
    return ReadFault{Reason::kMissingFile, "the path is a web address; download the images first"};
  const fs::path path = below(root, text);
  if (path.empty())
    return ReadFault{Reason::kPathOutside, fmt::format("{} is not below {}", text, root.string())};
  key = path.generic_string();
  return std::nullopt;
}

std::string no_such_column(const std::string& key, const std::string& column,
                           const std::vector<std::string>& shown, const std::vector<std::string>& known) {
  return fmt::format("{}: there is no column '{}'; the columns are {}.{}", key, column, name_some(shown),
                     did_you_mean(column, known));
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

void find_files(const SourceConfig& config, Listing& listing, const std::vector<uint64_t>& offsets,
                Links& links, ListingWatch& watch) {
  constexpr int64_t kBlock = 1 << 16;
  constexpr int kThreads = 16;  // because file servers are slow to answer
  const std::vector<bool> is_rejected = listing.rejected_rows();
  SlowProgress progress("find the images of " + config.name, listing.size(), "image");
  for (int64_t first = 0; first < listing.size(); first += kBlock) {
    std::vector<FoundFile> found(size_t(std::min(kBlock, listing.size() - first)));
    const auto find_one = [&](int64_t i) {
      if (is_rejected[size_t(first + i)]) return;
      auto& one = found[size_t(i)];
      retry_machine_faults("read " + std::string(listing.key(first + i)),
                           [&] { one = find_file(listing, first + i); });
      if (!one.fault) links.admit(one.file);
    };
    for_each_in_parallel(int64_t(found.size()), find_one, kThreads);
    fs::path folder;  // of the file before
    for (int64_t i = 0; i < int64_t(found.size()); ++i) {
      if (is_rejected[size_t(first + i)]) continue;
      auto& one = found[size_t(i)];
      auto& row = listing.row(first + i);
      if (auto own = one.file.parent_path(); own != folder) watch.reads(folder = std::move(own));
      if (!one.key.empty()) listing.set_key(first + i, one.key);
      row.bytes = one.bytes;
      if (!one.fault || (row.has_latents != 0 && row.has_features != 0)) continue;
      listing.rejected.push_back({.row = first + i,
                                  .key = std::string(listing.key(first + i)),
                                  .offset = offsets[size_t(first + i)],
                                  .reason = one.fault->reason,
                                  .detail = one.fault->detail});
    }
    watch.found(0);
    progress.advance(int64_t(found.size()));
  }
}

}  // namespace pixart::data

#include "row_fields.h"

#include <algorithm>

#include "caption_text.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/parallel.h"

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

// Takes a key with \ for /, as Windows writes paths, if that names a file.
bool find_with_slashes(Record& record) {
  std::string key = record.row.key;
  const std::string file = record.file.string();
  if (key.find('\\') == std::string::npos || !file.ends_with(key)) return false;
  std::replace(key.begin(), key.end(), '\\', '/');
  const fs::path path = fs::path(key).lexically_normal();
  const fs::path found = fs::path(file.substr(0, file.size() - key.size())) / path;
  std::error_code error;
  if (path.is_absolute() || !is_inside(path) || !fs::exists(found, error)) return false;
  record.row.key = path.generic_string();
  record.file = found;
  return true;
}

std::optional<ReadFault> find_file(Record& record) {
  std::error_code error;
  const fs::file_status status = fs::status(record.file, error);
  check_machine(record.file, error.value());
  if (status.type() == fs::file_type::not_found && find_with_slashes(record)) return find_file(record);
  if (status.type() == fs::file_type::not_found)
    return ReadFault{Reason::kMissingFile, "missing file " + record.file.string()};
  if (error) return ReadFault{Reason::kUnreadableFile, error.message()};
  if (status.type() != fs::file_type::regular)
    return ReadFault{Reason::kUnreadableFile, "it is not a regular file"};
  record.bytes = uint64_t(fs::file_size(record.file, error));
  check_machine(record.file, error.value());
  if (error) return ReadFault{Reason::kUnreadableFile, error.message()};
  if (record.bytes == 0) return ReadFault{Reason::kEmptyFile, "the file is empty"};
  return std::nullopt;
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

std::vector<CaptionField> configured_captions(const SourceConfig& config) {
  std::vector<CaptionField> fields;
  for (const auto& caption : config.captions)
    if (caption.from.empty())
      fields.push_back({caption.name, caption.column.empty() ? caption.name : caption.column});
  return fields;
}

std::optional<ReadFault> add_captions(const nlohmann::json& row, const std::vector<CaptionField>& fields,
                                      std::vector<Caption>& captions) {
  for (const auto& [kind, field] : fields) {
    const auto found = row.find(field);
    if (found == row.end()) continue;
    auto texts = texts_in(*found);
    if (!texts)
      return ReadFault{Reason::kBadRow,
                       fmt::format("'{}': expected a text or a list of texts, got {}", field,
                                   found->is_array() ? "a list with other values" : found->type_name())};
    for (auto& text : *texts) captions.push_back({.name = kind, .text = std::move(text)});
  }
  return std::nullopt;
}

void find_files(Listing& listing, const std::vector<uint64_t>& offsets, Links& links,
                const std::function<bool(const Record&)>& may_lack_file) {
  constexpr size_t kBlock = 1 << 16;
  constexpr int kThreads = 16;  // because file servers are slow to answer
  std::vector<bool> is_rejected(listing.records.size());
  for (const auto& rejection : listing.rejected) is_rejected[size_t(rejection.row)] = true;
  for (size_t first = 0; first < listing.records.size(); first += kBlock) {
    const size_t count = std::min(kBlock, listing.records.size() - first);
    std::vector<std::optional<ReadFault>> faults(count);
    for_each_in_parallel(
        int64_t(count),
        [&](int64_t i) {
          Record& record = listing.records[first + size_t(i)];
          if (is_rejected[first + size_t(i)]) return;
          retry_machine_faults("read " + record.file.string(),
                               [&] { faults[size_t(i)] = find_file(record); });
          if (!faults[size_t(i)]) links.admit(record.file);
        },
        kThreads);
    for (size_t i = 0; i < count; ++i) {
      const Record& record = listing.records[first + i];
      if (!faults[i] || may_lack_file(record)) continue;
      listing.rejected.push_back({.row = int64_t(first + i),
                                  .key = record.row.key,
                                  .offset = offsets[first + i],
                                  .reason = faults[i]->reason,
                                  .detail = faults[i]->detail});
    }
  }
}

}  // namespace pixart::data

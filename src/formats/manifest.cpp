#include "pixart/formats/manifest.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "input_file.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"

namespace pixart::formats {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

// Version 1 has one hash per file instead of the hashes of its parts, and no hash of the manifest itself.
constexpr int kFormatVersion = 2, kOldestVersion = 1;
constexpr const char* kName = "manifest.json";

// The manifest's text without its own hash, which is at the end.
std::string text_of(const json& manifest) { return manifest.dump(1) + "\n"; }

FileRecord record_of(const std::string& name, const json& entry, int version) {
  FileRecord record{.bytes = entry.at("bytes").get<uint64_t>()};
  if (version == 1) {
    record.parts.push_back({"", 0, record.bytes, entry.at("sha256")});
    return record;
  }
  uint64_t at = 0;
  for (const auto& part : entry.at("parts")) {
    record.parts.push_back({part.at("tensor"), at, part.at("end"), part.at("sha256")});
    if (record.parts.back().end < at) throw UserError("manifest.json has overlapping parts of " + name);
    at = record.parts.back().end;
  }
  if (at != record.bytes) throw UserError("manifest.json does not cover the whole of " + name);
  return record;
}

// Empty if the part is the whole file.
std::string part_name(const FileRecord& record, const FilePart& part) {
  if (record.parts.size() == 1) return "";
  return part.tensor.empty() ? "its header" : "tensor " + part.tensor;
}

// Turns an error of the system about a checkpoint file into a UserError. Only this function decides whether a
// file is damaged (it is missing, or of another kind) or could not be read.
[[noreturn]] void refuse(const fs::path& file, int error) {
  if (error == ENOENT || error == ENOTDIR) throw UserError(file.filename().string() + " is missing");
  if (error == EISDIR || error == ELOOP || error == ENXIO)
    throw UserError(file.filename().string() + " is not a regular file");
  throw UserError(fmt::format("cannot read {}: {}", file.string(), std::strerror(error)), ExitCode::kStorage);
}

class SavedFile {
 public:
  explicit SavedFile(fs::path path)
      : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (descriptor_ < 0) refuse(path_, errno);
    struct stat info {};
    const int error = ::fstat(descriptor_, &info) != 0 ? errno : S_ISREG(info.st_mode) ? 0 : EISDIR;
    bytes_ = uint64_t(info.st_size);
    if (error == 0) return;
    ::close(descriptor_);
    refuse(path_, error);
  }
  ~SavedFile() { ::close(descriptor_); }
  SavedFile(const SavedFile&) = delete;
  SavedFile& operator=(const SavedFile&) = delete;
  uint64_t bytes() const { return bytes_; }

  // Reads up to `count` bytes; fewer only at the end of the file.
  std::string_view read(std::string& buffer, uint64_t count, uint64_t offset) const {
    buffer.resize(size_t(count));
    size_t size = 0;
    while (size < count) {
      const ssize_t got =
          ::pread(descriptor_, buffer.data() + size, size_t(count) - size, off_t(offset + size));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) refuse(path_, errno);
      if (got == 0) break;
      size += size_t(got);
    }
    return {buffer.data(), size};
  }

 private:
  fs::path path_;
  int descriptor_;
  uint64_t bytes_ = 0;
};

std::string read_whole(const fs::path& path) {
  constexpr uint64_t kMost = uint64_t{1} << 30;
  const SavedFile file(path);
  if (file.bytes() > kMost) throw UserError(path.filename().string() + " is larger than a manifest can be");
  std::string buffer, text;
  while (text.size() <= kMost) {
    const auto piece = file.read(buffer, 1 << 18, text.size());
    if (piece.empty()) break;
    text += piece;
  }
  return text;
}

bool has_hash(const SavedFile& file, const FilePart& part) {
  constexpr uint64_t kPiece = 1 << 20;
  Sha256 hash;
  std::string buffer;
  for (uint64_t at = part.begin; at < part.end;) {
    const auto piece = file.read(buffer, std::min(part.end - at, kPiece), at);
    if (piece.empty()) return false;
    hash.add(piece);
    at += piece.size();
  }
  return hash.hex() == part.sha256;
}

std::string cut_part(uint64_t size, const FileRecord& record) {
  for (const auto& part : record.parts)
    if (size < part.end && record.parts.size() > 1) return ", cut off in " + part_name(record, part);
  return "";
}

// Compares the parts of a file for which `wanted` is true.
template <class Wanted>
void check_parts(const fs::path& path, const FileRecord& record, Wanted wanted) {
  constexpr size_t kMost = 5;
  const SavedFile file(path);
  std::vector<std::string> damaged;
  for (const auto& part : record.parts)
    if (wanted(part) && damaged.size() <= kMost && !has_hash(file, part))
      damaged.push_back(part_name(record, part));
  if (damaged.empty()) return;
  if (damaged.size() > kMost) damaged.back() = "and others";
  const std::string parts = join(damaged, ", ");
  throw UserError(fmt::format("{} was changed since it was saved (SHA-256 differs{}{})",
                              path.filename().string(), parts.empty() ? "" : ": ", parts));
}

// Checks the hash of the manifest itself. It is checked for newer versions, too: a good hash means no damage.
bool has_own_hash(const std::string& text, const json& read) {
  json rest = read;
  rest.erase("sha256");
  return text_of(read) == text && sha256(text_of(rest)) == read.at("sha256").get<std::string>();
}

}  // namespace

void FileRecorder::add(const std::string& tensor, std::string_view bytes) {
  record_.parts.push_back({tensor, record_.bytes, record_.bytes + bytes.size(), sha256(bytes)});
  record_.bytes += bytes.size();
}

FileRecord FileRecorder::finish() { return std::move(record_); }

std::string manifest_text(const Manifest& manifest) {
  json result = {{"format_version", kFormatVersion}, {"step", manifest.step}, {"files", json::object()}};
  for (const auto& [name, record] : manifest.files) {
    auto& entry = result["files"][name] = {{"bytes", record.bytes}, {"parts", json::array()}};
    for (const auto& part : record.parts)
      entry["parts"].push_back({{"tensor", part.tensor}, {"end", part.end}, {"sha256", part.sha256}});
  }
  result["sha256"] = sha256(text_of(result));
  return text_of(result);
}

bool is_checkpoint_folder(const fs::path& folder) {
  // A file that may not be looked at counts as present: reading it will report the reason.
  const auto may_hold = [&](const char* name) {
    std::error_code error;
    return fs::status(folder / name, error).type() != fs::file_type::not_found;
  };
  return may_hold(kName) && (may_hold("ema.safetensors") || may_hold("state.json"));
}

Manifest read_manifest(const fs::path& folder) {
  const std::string text = read_whole(folder / kName);
  try {
    const json read = json::parse(text);
    const int version = read.at("format_version").get<int>();
    if (version > kFormatVersion && (!read.contains("sha256") || has_own_hash(text, read)))
      throw UserError((folder / kName).string() + " was written by a newer version of pixart",
                      ExitCode::kStorage);
    if (version < kOldestVersion) throw UserError("manifest.json has an unknown format_version");
    if (version >= 2) {
      if (!has_own_hash(text, read))
        throw UserError("manifest.json was changed since it was saved (SHA-256 differs)");
    }
    Manifest manifest{.step = read.at("step").get<int64_t>()};
    for (const auto& [name, entry] : read.at("files").items()) {
      if (!is_bare_name(name)) throw UserError("manifest.json names the file '" + name + "'");
      manifest.files[name] = record_of(name, entry, version);
    }
    return manifest;
  } catch (const json::exception& error) {
    throw UserError(fmt::format("manifest.json cannot be read: {}", error.what()));
  }
}

void check_sizes(const fs::path& folder, const Manifest& manifest, const std::string& only) {
  for (const auto& [name, record] : manifest.files) {
    if (!only.empty() && name != only) continue;
    const uint64_t size = SavedFile(folder / name).bytes();
    if (size != record.bytes)
      throw UserError(fmt::format("{} does not have its saved size: {} of {} bytes{}", name, size,
                                  record.bytes, cut_part(size, record)));
  }
  if (!only.empty() && manifest.files.count(only) == 0)
    throw UserError(fmt::format("manifest.json does not name {}", only));
}

void check_hashes(const fs::path& folder, const Manifest& manifest, const std::string& only) {
  for (const auto& [name, record] : manifest.files)
    if (only.empty() || name == only)
      check_parts(folder / name, record, [](const FilePart&) { return true; });
}

void check_header(const fs::path& file, const FileRecord& record) {
  check_parts(file, record, [](const FilePart& part) { return part.tensor.empty(); });
}

std::vector<std::string> unnamed_entries(const fs::path& folder, const Manifest& manifest) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    if (name != kName && manifest.files.count(name) == 0) names.push_back(name);
  }
  if (error)
    throw UserError(fmt::format("cannot list {}: {}", folder.string(), error.message()), ExitCode::kStorage);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace pixart::formats

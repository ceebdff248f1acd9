#include "checkpoint_manifest.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"

namespace pixart::train {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

// 1: a hash of each file in place of its parts, and none of the manifest itself.
constexpr int kFormatVersion = 2, kOldestVersion = 1;
constexpr const char* kName = "manifest.json";

// The manifest's text without its own hash, which is the last thing in it.
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

bool is_bare_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
}

// Nothing where the part is the file.
std::string part_name(const FileRecord& record, const FilePart& part) {
  if (record.parts.size() == 1) return "";
  return part.tensor.empty() ? "its header" : "tensor " + part.tensor;
}

std::string sha256_of_part(const fs::path& file, const FilePart& part) {
  std::ifstream stream(file, std::ios::binary);
  stream.seekg(std::streamoff(part.begin));
  formats::Sha256 hash;
  std::string buffer(1 << 20, '\0');
  for (uint64_t left = part.end - part.begin; left > 0;) {
    stream.read(buffer.data(), std::streamsize(std::min<uint64_t>(left, buffer.size())));
    if (stream.gcount() <= 0) return "";
    hash.add({buffer.data(), size_t(stream.gcount())});
    left -= uint64_t(stream.gcount());
  }
  return hash.hex();
}

std::string cut_part(uint64_t size, const FileRecord& record) {
  for (const auto& part : record.parts)
    if (size < part.end && record.parts.size() > 1) return ", cut off in " + part_name(record, part);
  return "";
}

}  // namespace

void FileRecorder::add(const std::string& tensor, std::string_view bytes) {
  record_.parts.push_back({tensor, record_.bytes, record_.bytes + bytes.size(), formats::sha256(bytes)});
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
  result["sha256"] = formats::sha256(text_of(result));
  return text_of(result);
}

Manifest read_manifest(const fs::path& folder) {
  const std::string text = read_file(folder / kName);
  try {
    json read = json::parse(text);
    const int version = read.at("format_version").get<int>();
    if (version > kFormatVersion) throw UserError("it was written by a newer version of pixart");
    if (version < kOldestVersion) throw UserError("manifest.json has an unknown version");
    if (version >= 2) {
      json rest = read;
      rest.erase("sha256");
      if (text_of(read) != text || formats::sha256(text_of(rest)) != read.at("sha256").get<std::string>())
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

std::string wrong_size(const fs::path& folder, const Manifest& manifest) {
  for (const auto& [name, record] : manifest.files) {
    std::error_code error;
    const uint64_t size = fs::file_size(folder / name, error);
    if (error == std::errc::no_such_file_or_directory) return name + " is missing";
    if (error) return fmt::format("{} cannot be read: {}", name, error.message());
    if (size != record.bytes)
      return fmt::format("{} has another size than when it was saved: {} of {} bytes{}", name, size,
                         record.bytes, cut_part(size, record));
  }
  return "";
}

std::string wrong_hash(const fs::path& folder, const Manifest& manifest) {
  constexpr size_t kMost = 5;
  for (const auto& [name, record] : manifest.files) {
    std::vector<std::string> damaged;
    for (const auto& part : record.parts)
      if (damaged.size() <= kMost && sha256_of_part(folder / name, part) != part.sha256)
        damaged.push_back(part_name(record, part));
    if (damaged.empty()) continue;
    if (damaged.size() > kMost) damaged.back() = "and others";
    const std::string parts = join(damaged, ", ");
    return fmt::format("{} was changed since it was saved (SHA-256 differs{}{})", name,
                       parts.empty() ? "" : ": ", parts);
  }
  return "";
}

}  // namespace pixart::train

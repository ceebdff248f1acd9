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

// 1: without hashes of tensors, nor of the manifest itself.
constexpr int kFormatVersion = 2, kOldestVersion = 1;
constexpr const char* kName = "manifest.json";

// The manifest's text without its own hash, which is the last thing in it.
std::string text_of(const json& manifest) { return manifest.dump(1) + "\n"; }

FileRecord record_of(const json& entry) {
  FileRecord record{.bytes = entry.at("bytes").get<uint64_t>(), .sha256 = entry.at("sha256")};
  for (const auto& part : entry.value("parts", json::array()))
    record.parts.push_back({part.at("tensor"), part.at("begin"), part.at("end"), part.at("sha256")});
  return record;
}

bool is_bare_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
}

std::string part_name(const FilePart& part) {
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

std::string damaged_parts(const fs::path& file, const FileRecord& record) {
  std::vector<std::string> names;
  for (const auto& part : record.parts)
    if (sha256_of_part(file, part) != part.sha256) names.push_back(part_name(part));
  constexpr size_t kMost = 5;
  if (names.size() > kMost) {
    names.push_back(fmt::format("{} more", names.size() - kMost));
    names.erase(names.begin() + kMost, names.end() - 1);
  }
  return join(names, ", ");
}

std::string cut_part(uint64_t size, const FileRecord& record) {
  for (const auto& part : record.parts)
    if (size < part.end) return ", cut off in " + part_name(part);
  return "";
}

}  // namespace

void FileRecorder::add(const std::string& tensor, std::string_view bytes) {
  hash_.add(bytes);
  record_.parts.push_back({tensor, record_.bytes, record_.bytes + bytes.size(), formats::sha256(bytes)});
  record_.bytes += bytes.size();
}

FileRecord FileRecorder::finish() {
  record_.sha256 = hash_.hex();
  return std::move(record_);
}

std::string manifest_text(const Manifest& manifest) {
  json result = {{"format_version", kFormatVersion}, {"step", manifest.step}, {"files", json::object()}};
  for (const auto& [name, record] : manifest.files) {
    auto& entry = result["files"][name] = {{"bytes", record.bytes}, {"sha256", record.sha256}};
    for (const auto& part : record.parts)
      entry["parts"].push_back(
          {{"tensor", part.tensor}, {"begin", part.begin}, {"end", part.end}, {"sha256", part.sha256}});
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
      manifest.files[name] = record_of(entry);
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
  for (const auto& [name, record] : manifest.files) {
    if (formats::sha256_of_file(folder / name) == record.sha256) continue;
    const std::string parts = damaged_parts(folder / name, record);
    return fmt::format("{} was changed since it was saved (SHA-256 differs{}{})", name,
                       parts.empty() ? "" : ": ", parts);
  }
  return "";
}

}  // namespace pixart::train

#include "feature_index.h"

#include <ATen/ATen.h>

#include <bit>
#include <charconv>
#include <mutex>
#include <set>

#include "feature_files.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/formats/crc32c.h"
#include "pixart/formats/hash.h"

namespace pixart::data {

namespace {

void warn_once(const std::filesystem::path& folder) {
  static std::mutex mutex;
  static std::set<std::filesystem::path> warned;
  {
    const std::scoped_lock lock(mutex);
    if (!warned.insert(folder).second) return;
  }
  log::warning(
      "features {} were made by an older version, without checksums: they are not checked while they are "
      "read. `pixart extract RUN.yaml --mend` compares the shards with their hashes and adds checksums; it "
      "does not encode undamaged shards again.",
      folder.string());
}

UserError damaged(const std::filesystem::path& path, const std::string& fault) {
  return UserError(fmt::format("{} is damaged: {}. {}.", path.string(), fault, kHowToMend),
                   ExitCode::kStorage);
}

// A file with the right hash is undamaged; no other rule needs checking then.
formats::TensorFile load_index(const std::filesystem::path& path, const FeatureManifest& manifest) {
  if (!std::filesystem::exists(path)) throw damaged(path, "it is missing");
  if (!manifest.index_sha256.empty() && formats::sha256_of_file(path) != manifest.index_sha256)
    throw damaged(path, fmt::format("its SHA-256 is not the one in {}", kManifestFile));
  try {
    return formats::load_safetensors(path);
  } catch (const UserError& error) {  // in a set of an older version, which has no hash
    if (error.code() != ExitCode::kBadInput) throw;
    throw damaged(path, error.what());
  }
}

}  // namespace

int32_t record_checksum(const void* bytes, uint64_t count) {
  return std::bit_cast<int32_t>(formats::crc32c({static_cast<const char*>(bytes), size_t(count)}));
}

FeatureIndex::FeatureIndex(const std::filesystem::path& folder, const FeatureManifest& manifest)
    : path(folder / kIndexFile), file(load_index(path, manifest)) {
  const bool has_checksums = file.tensors.count(kChecksums) > 0, has_hash = !manifest.index_sha256.empty();
  if (has_checksums && !has_hash)
    throw UserError(
        fmt::format("{} is damaged: the hash of {} is missing. Remove the folder and extract again.",
                    (folder / kManifestFile).string(), kIndexFile),
        ExitCode::kStorage);
  if (!has_checksums) warn_once(folder);
}

void FeatureIndex::require(bool holds, const std::string& what) const {
  if (!holds) throw UserError(fmt::format("{} {}. {}.", path.string(), what, kHowToMend), ExitCode::kStorage);
}

at::Tensor FeatureIndex::checksums(const std::string& name, int64_t rows, int64_t columns) const {
  if (file.tensors.count(kChecksums) == 0) return {};
  const at::Tensor& all = tensor(name, at::kInt);
  require(all.dim() == 2 && all.size(0) == rows && all.size(1) == columns,
          fmt::format("does not hold {} {} of {} rows", columns, name, rows));
  return all;
}

const at::Tensor& FeatureIndex::tensor(const std::string& name, at::ScalarType dtype, int64_t numel) const {
  const auto found = file.tensors.find(name);
  require(found != file.tensors.end() && found->second.scalar_type() == dtype,
          fmt::format("has no tensor {} of type {}", name, c10::toString(dtype)));
  require(numel < 0 || found->second.numel() == numel,
          fmt::format("has another size than the manifest says: {} elements of {}, expected {}",
                      found->second.numel(), name, numel));
  return found->second;
}

const std::string& FeatureIndex::text(const std::string& name) const {
  const auto found = file.metadata.find(name);
  require(found != file.metadata.end(), "has no entry " + name);
  return found->second;
}

int64_t FeatureIndex::number(const std::string& name) const {
  const std::string& digits = text(name);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  require(error == std::errc() && end == digits.data() + digits.size() && value >= 0,
          fmt::format("holds '{}' as {}", digits, name));
  return value;
}

}  // namespace pixart::data

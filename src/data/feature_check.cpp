// Checks feature sets against their hashes, and removes damaged files.
#include <algorithm>

#include "feature_files.h"
#include "pixart/base/deletion.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/safetensors.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// The fault of a file, or "". Throws UserError if the file cannot be read.
std::string fault_of(const fs::path& file, const std::string& sha256,
                     const std::function<void(uint64_t bytes)>& report = {}) {
  std::error_code error;
  if (!fs::exists(file, error)) return error ? error.message() : "it is missing";
  return formats::sha256_of_file(file, report) == sha256 ? "" : "its SHA-256 is not the one in the manifest";
}

void require_deleted(const fs::path& file) {
  if (!delete_file(file))
    throw UserError(fmt::format("cannot delete {}, which is to be made again.", file.string()),
                    ExitCode::kStorage);
}

// Manifests of older versions do not record items_per_shard. The first shard tells it, unless it is the only
// shard: then items_per_shard may have been larger.
int64_t items_per_shard(const FeatureManifest& manifest, const FeatureWork& work) {
  const auto& shards = manifest.shards;
  const int64_t first = shards.empty() ? work.items_per_shard : shards.front().items;
  return shards.size() > 1 ? first : std::max(first, work.items_per_shard);
}

}  // namespace

uint64_t feature_bytes(const FeatureManifest& manifest) {
  uint64_t bytes = 0;
  for (const auto& shard : manifest.shards) bytes += shard.bytes;
  return bytes;
}

FeatureCheck check_feature_set(const fs::path& folder, const std::function<void(uint64_t bytes)>& report) {
  const auto manifest = read_feature_manifest(folder);
  FeatureCheck check;
  const fs::path index = folder / kIndexFile;
  std::string fault = "it is missing";
  if (fs::exists(index)) fault = manifest.index_sha256.empty() ? "" : fault_of(index, manifest.index_sha256);
  if (!fault.empty()) check.problems.push_back(index.string() + ": " + fault);
  if (fault.empty() && !manifest.index_sha256.empty())
    check.has_checksums = formats::read_safetensors_header(index).tensors.count(kChecksums) > 0;
  fault = manifest.keys_sha256.empty() ? "" : fault_of(folder / kKeysFile, manifest.keys_sha256);
  if (!fault.empty()) check.problems.push_back((folder / kKeysFile).string() + ": " + fault);
  check.has_keys = fault.empty() && !manifest.keys_sha256.empty();
  for (size_t i = 0; i < manifest.shards.size(); ++i) {
    const auto& shard = manifest.shards[i];
    fault = fault_of(folder / shard.file, shard.sha256, report);
    if (!fault.empty()) {
      check.problems.push_back((folder / shard.file).string() + ": " + fault);
      check.damaged_shards.push_back(i);
    }
  }
  return check;
}

void mend_feature_set(const FeatureWork& work, const std::function<void(uint64_t bytes)>& report) {
  if (!has_feature_set(work.folder)) return;
  // Another process that mends this set waits here, and then finds it mended or unfinished.
  Claim claim = Claim::wait_for(work.folder / ".lock", work.folder / kManifestFile, work.shared);
  const SignsOfLife signs(claim);
  if (!has_feature_set(work.folder)) return;
  const auto manifest = read_feature_manifest(work.folder);
  auto wanted = all_inputs(work.manifest.inputs, work.items_per_shard);
  FeatureManifest begun;
  begun.inputs = all_inputs(manifest.inputs, items_per_shard(manifest, work));
  require_inputs(work.folder, begun, wanted);
  keep_former(wanted, begun.inputs);
  const auto check = check_feature_set(work.folder, [&](uint64_t bytes) {
    give_sign_of_life();
    report(bytes);
  });
  for (const auto& problem : check.problems) log::warning("{}. It is made again.", problem);
  if (check.problems.empty() && check.has_checksums && (check.has_keys || !work.writes_keys)) return;
  // In this order, the same command mends or continues the set after an interruption.
  write_file_atomically(work.folder / kInputsFile, inputs_text(wanted));
  for (const size_t shard : check.damaged_shards) require_deleted(work.folder / manifest.shards[shard].file);
  require_deleted(work.folder / kManifestFile);
}

}  // namespace pixart::data

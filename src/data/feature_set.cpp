#include "pixart/data/feature_set.h"

#include <algorithm>
#include <vector>

#include "feature_files.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/file_lock.h"
#include "pixart/formats/hash.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

int64_t num_shards(const FeatureWork& work) {
  return (work.items + work.items_per_shard - 1) / work.items_per_shard;
}

fs::path shard_path(const FeatureWork& work, int64_t shard) {
  return work.folder / fmt::format("shard-{:05d}.safetensors", shard);
}

std::pair<int64_t, int64_t> range_of(const FeatureWork& work, int64_t shard) {
  const int64_t first = shard * work.items_per_shard;
  return {first, std::min(first + work.items_per_shard, work.items)};
}

FileLock lock_folder(const FeatureWork& work) { return FileLock(work.folder / ".lock"); }

// The first process says what the set is made of; the others must agree.
void claim_folder(const FeatureWork& work) {
  create_folders(work.folder);
  const FileLock lock = lock_folder(work);
  if (has_feature_set(work.folder)) return;
  const fs::path path = work.folder / kInputsFile;
  auto inputs = work.manifest.inputs;
  inputs.emplace_back("items_per_shard", std::to_string(work.items_per_shard));
  if (!fs::exists(path)) {
    if (fs::exists(shard_path(work, 0)))
      throw UserError(
          fmt::format("{} holds shards without {}. Remove the folder.", work.folder.string(), kInputsFile));
    write_file_atomically(path, inputs_text(inputs));
    return;
  }
  FeatureManifest begun;
  begun.inputs = parse_inputs(read_file(path));
  require_inputs(work.folder, begun, inputs);
}

// Writes the shard unless it is there. With `wait`, waits for another process that writes it.
void make_shard(const FeatureWork& work, int64_t shard, bool wait) {
  const fs::path path = shard_path(work, shard), lock_path = work.folder / fmt::format(".lock-{:05d}", shard);
  if (fs::exists(path)) return;
  const auto lock = wait ? std::optional<FileLock>(FileLock(lock_path)) : FileLock::try_lock(lock_path);
  if (!lock || fs::exists(path)) return;
  const auto [first, last] = range_of(work, shard);
  work.write_shard(path, first, last);
}

void finish(const FeatureWork& work) {
  const FileLock lock = lock_folder(work);
  if (has_feature_set(work.folder)) return;  // another process was faster
  FeatureManifest manifest = work.manifest;
  std::vector<fs::path> files;
  for (int64_t shard = 0; shard < num_shards(work); ++shard) {
    const auto [first, last] = range_of(work, shard);
    files.push_back(shard_path(work, shard));
    manifest.shards.push_back({.file = files.back().filename().string(),
                               .sha256 = formats::sha256_of_file(files.back()),
                               .bytes = fs::file_size(files.back()),
                               .items = last - first});
  }
  manifest.rejected = work.write_index(files);
  write_feature_manifest(work.folder, manifest);
  std::vector<fs::path> leftovers = {work.folder / kInputsFile};
  for (const auto& entry : fs::directory_iterator(work.folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".lock-") || name.starts_with(".tmp-")) leftovers.push_back(entry.path());
  }
  std::error_code ignored;
  for (const auto& path : leftovers) fs::remove_all(path, ignored);
}

}  // namespace

int64_t num_missing_items(const FeatureWork& work) {
  int64_t missing = 0;
  for (int64_t shard = 0; shard < num_shards(work); ++shard) {
    const auto [first, last] = range_of(work, shard);
    if (!fs::exists(shard_path(work, shard))) missing += last - first;
  }
  return missing;
}

bool make_feature_set(const FeatureWork& work) {
  PIXART_CHECK(work.items > 0 && work.items_per_shard > 0);
  claim_folder(work);
  for (const bool wait : {false, true}) {
    for (int64_t shard = 0; shard < num_shards(work); ++shard) {
      if (work.stop()) return false;
      make_shard(work, shard, wait);
    }
  }
  finish(work);
  return true;
}

}  // namespace pixart::data

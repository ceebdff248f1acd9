#include "pixart/data/feature_set.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "feature_files.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/leftovers.h"
#include "pixart/formats/hash.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr std::chrono::milliseconds kPoll{20};  // while another process makes a shard

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

Claim claim_all(const FeatureWork& work) {
  return Claim::wait_for(work.folder / ".lock", work.folder / kIndexFile, work.shared);
}

// Removes locks, temporary files and inputs, which only unfinished sets need. This needs no lock: nobody
// writes once there is a manifest, and a late process that locks again also calls this.
void tidy_up(const fs::path& folder) {
  remove_leftovers(folder, {.files = {R"(shard-[0-9]{5,}\.safetensors)", R"(index\.safetensors)",
                                      R"((manifest|inputs)\.json)", R"(quarantine\.jsonl)"},
                            .passing_files = {R"(inputs\.json)", R"(\.lock(-[0-9]{5,})?)"}});
}

FeatureInputs read_inputs(const fs::path& path) {
  try {
    return parse_inputs(read_file(path));
  } catch (const nlohmann::json::exception& error) {
    throw UserError(fmt::format("{} is damaged: {}. Remove the folder.", path.string(), error.what()),
                    ExitCode::kStorage);
  }
}

// The first process records the inputs of the set; the other processes must have equal inputs.
void claim_folder(const FeatureWork& work) {
  create_folders(work.folder);
  const Claim claim = claim_all(work);
  if (has_feature_set(work.folder)) return;
  const fs::path path = work.folder / kInputsFile;
  const auto inputs = all_inputs(work.manifest.inputs, work.items_per_shard);
  if (!fs::exists(path)) {
    if (fs::exists(shard_path(work, 0)))
      throw UserError(
          fmt::format("{} holds shards without {}. Remove the folder.", work.folder.string(), kInputsFile));
    write_file_atomically(path, inputs_text(inputs));
    return;
  }
  FeatureManifest begun;
  begun.inputs = read_inputs(path);
  require_inputs(work.folder, begun, inputs);
}

// The claim, or nothing if another process holds it and `try_again` returns false.
std::optional<Claim> claim_while(const fs::path& lock, const fs::path& shard, const SharedWork& shared,
                                 const std::function<bool()>& try_again) {
  std::optional<HolderWatch> watch;
  for (;;) {
    if (auto claim = Claim::try_take(lock, shared)) return claim;
    if (!try_again()) return std::nullopt;
    if (!watch) watch.emplace(lock, shard, shared);
    watch->look();
    std::this_thread::sleep_for(kPoll);
  }
}

ShardWriter compute(const FeatureWork& work, int64_t shard, Claim& claim) {
  const SignsOfLife signs(claim);
  const auto [first, last] = range_of(work, shard);
  return work.compute_shard(first, last);
}

// Writes one shard in another thread, which keeps the shard's claim meanwhile.
class BackgroundWriter {
 public:
  // Waits for the shard before.
  void start(ShardWriter write, fs::path file, Claim claim) {
    while (writing_.valid() && writing_.wait_for(kPoll) != std::future_status::ready) claim.sign_of_life();
    finish();
    writing_ = std::async(std::launch::async, [write = std::move(write), file = std::move(file),
                                               claim = std::move(claim)]() mutable {
      const Claim held = std::move(claim);
      std::exchange(write, nullptr)(file);  // its memory is released first
    });
  }
  // Waits until the shard is written. Throws what writing threw.
  void finish() {
    if (writing_.valid()) writing_.get();
  }

 private:
  std::future<void> writing_;  // its destructor waits, too
};

// Makes the shard unless it exists. With `wait`, waits for another process that makes it, or for a request
// to stop.
void make_shard(const FeatureWork& work, int64_t shard, bool wait, BackgroundWriter& writer) {
  const fs::path path = shard_path(work, shard), lock_path = work.folder / fmt::format(".lock-{:05d}", shard);
  if (fs::exists(path)) return;
  const auto try_again = [&] { return wait && !work.stop() && !fs::exists(path); };
  auto claim = claim_while(lock_path, path, work.shared, try_again);
  if (!claim || fs::exists(path)) return;
  // Leftovers of a killed process: only the owner of the shard's lock writes the shard.
  remove_leftovers(work.folder, {.files = {fmt::format(R"(shard-{:05d}\.safetensors)", shard)}});
  ShardWriter write = compute(work, shard, *claim);
  writer.start(std::move(write), path, *std::move(claim));
}

struct Stopped {};  // thrown by finish() after a request to stop

// Reads all shards, which may take hours.
void finish(const FeatureWork& work) {
  Claim claim = claim_all(work);
  const SignsOfLife signs(claim);
  if (has_feature_set(work.folder)) return;  // another process was faster
  FeatureManifest manifest = work.manifest;
  keep_former(manifest.inputs, read_inputs(work.folder / kInputsFile));
  std::vector<fs::path> files;
  const auto go_on = [&](uint64_t) {
    if (work.stop()) throw Stopped();
    give_sign_of_life();
  };
  for (int64_t shard = 0; shard < num_shards(work); ++shard) {
    const auto [first, last] = range_of(work, shard);
    files.push_back(shard_path(work, shard));
    manifest.shards.push_back({.file = files.back().filename().string(),
                               .sha256 = formats::sha256_of_file(files.back(), go_on),
                               .bytes = fs::file_size(files.back()),
                               .items = last - first});
  }
  manifest.rejected = work.write_index(files);
  manifest.index_sha256 = formats::sha256_of_file(work.folder / kIndexFile);
  write_feature_manifest(work.folder, manifest);
}

bool is_complete(const FeatureWork& work) {
  if (!has_feature_set(work.folder)) return false;
  require_inputs(work.folder, read_feature_manifest(work.folder), work.manifest.inputs);
  tidy_up(work.folder);
  return true;
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
  if (is_complete(work)) return true;
  PIXART_CHECK(work.items > 0 && work.items_per_shard > 0);
  claim_folder(work);
  BackgroundWriter writer;
  for (const bool wait : {false, true}) {
    for (int64_t shard = 0; shard < num_shards(work) && !work.stop(); ++shard)
      make_shard(work, shard, wait, writer);
    writer.finish();
  }
  if (work.stop() || num_missing_items(work) > 0) return false;
  try {
    finish(work);
  } catch (const Stopped&) {
    return false;
  }
  tidy_up(work.folder);
  return true;
}

}  // namespace pixart::data

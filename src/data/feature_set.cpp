#include "pixart/data/feature_set.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "feature_files.h"
#include "pixart/base/deletion.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/leftovers.h"
#include "pixart/base/log.h"
#include "pixart/formats/hash.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// While another process makes a shard.
constexpr std::chrono::milliseconds kPoll{20}, kLongestPoll{500};

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

FeatureInputs read_inputs(const fs::path& path) {
  const std::string text = read_file(path);
  try {
    return parse_inputs(text);
  } catch (const std::exception& error) {  // including those of the JSON library
    throw UserError(fmt::format("{} is damaged: {}. Remove the folder.", path.string(), error.what()),
                    ExitCode::kStorage);
  }
}

// The inputs that the first process recorded must be those of this one.
void require_begun(const FeatureWork& work) {
  FeatureManifest begun;
  begun.inputs = read_inputs(work.folder / kInputsFile);
  require_inputs(work.folder, begun, all_inputs(work.manifest.inputs, work.items_per_shard));
}

// The first process records the inputs of the set; the other processes must have equal inputs.
void claim_folder(const FeatureWork& work) {
  create_folders(work.folder);
  const Claim claim = claim_all(work);
  if (has_feature_set(work.folder)) return;
  const fs::path path = work.folder / kInputsFile;
  if (fs::exists(path)) return require_begun(work);
  if (fs::exists(shard_path(work, 0)))
    throw UserError(
        fmt::format("{} holds shards without {}. Remove the folder.", work.folder.string(), kInputsFile));
  write_file_atomically(path, inputs_text(all_inputs(work.manifest.inputs, work.items_per_shard)));
}

std::string shard_pattern(const std::string& digits) { return R"(shard-)" + digits + R"(\.safetensors)"; }

// Files of a shard that is written: first by a name of its own, with the token of the writer's claim.
fs::path unpublished(const fs::path& shard, const Claim& claim) {
  return shard.string() + "." + claim.token();
}

OwnNames shard_leftovers(const std::string& digits) {
  const std::string published = shard_pattern(digits), own = published + R"(\.[0-9a-f]{16})";
  return {.files = {published, own}, .passing_files = {own}};
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
      write_and_publish(std::exchange(write, nullptr), file, held);
    });
  }
  // Waits until the shard is written. Throws what writing threw.
  void finish() {
    if (writing_.valid()) writing_.get();
  }

 private:
  // Nothing is wrong if another process has made the shard, or makes it: it deletes what this one has begun.
  static void write_and_publish(ShardWriter write, const fs::path& file, const Claim& held) {
    const fs::path own = unpublished(file, held);
    try {
      write(own);
      write = nullptr;  // its memory is released before the claim
      publish_file(own, file);
    } catch (const UserError&) {
      delete_file(own);
      std::error_code ignored;
      if (!fs::exists(file, ignored) && !held.is_lost()) throw;
    }
  }

  std::future<void> writing_;  // its destructor waits, too
};

// Makes the shards of a set that do not exist, together with other processes.
class ShardMaker {
 public:
  explicit ShardMaker(const FeatureWork& work) : work_(work) {}

  void make_free_shards() {
    for (int64_t shard = 0; shard < num_shards(work_) && !work_.stop(); ++shard) make_if_free(shard);
    writer_.finish();
  }

  // Until all shards exist: makes those that other processes abandon, and helps with those of slow ones.
  void wait_for_others() {
    std::vector<int64_t> missing(static_cast<size_t>(num_shards(work_)));
    std::iota(missing.begin(), missing.end(), 0);
    auto pause = kPoll;
    for (drop_finished(missing); !missing.empty() && !work_.stop();
         pause = std::min(2 * pause, kLongestPoll)) {
      for (size_t i = 0; i < std::min(missing.size(), kMostWatched); ++i)
        if (!make_if_free(missing[i])) help(missing[i]);
      writer_.finish();
      std::this_thread::sleep_for(pause);
      if (drop_finished(missing)) pause = kPoll;
    }
  }

 private:
  static constexpr size_t kMostWatched = 8;   // shards of others at a time; each look costs some requests
  static constexpr double kUnknownPace = 60;  // times help_after_seconds

  // Whether there were any. Looks only as far as the first missing ones.
  bool drop_finished(std::vector<int64_t>& missing) const {
    const size_t before = missing.size();
    size_t watched = 0;
    std::erase_if(missing, [&](int64_t shard) {
      if (watched < kMostWatched && fs::exists(shard_path(work_, shard))) return true;
      ++watched;
      return false;
    });
    return missing.size() < before;
  }
  fs::path lock_of(int64_t shard) const { return work_.folder / fmt::format(".lock-{:05d}", shard); }
  fs::path helpers_lock_of(int64_t shard) const { return lock_of(shard).string() + "-help"; }

  // The claim, or nothing while another process has it, which is watched then.
  std::optional<Claim> take(const fs::path& lock, const fs::path& shard) {
    const auto found = watches_.find(lock);
    HolderWatch* watch = found == watches_.end() ? nullptr : &found->second;
    if (watch != nullptr) watch->look();
    auto claim = Claim::try_take(lock, work_.shared, watch);
    if (claim)
      watches_.erase(lock);
    else
      watches_.try_emplace(lock, lock, shard, work_.shared);
    return claim;
  }

  // Returns false if the shard is missing and another process has claimed it.
  bool make_if_free(int64_t shard) {
    const fs::path path = shard_path(work_, shard);
    if (fs::exists(path)) return true;
    auto claim = take(lock_of(shard), path);
    if (!claim) return false;
    if (fs::exists(path)) return true;
    // Leftovers of killed processes: nobody else writes the shard now.
    if (Claim::try_take(helpers_lock_of(shard), work_.shared))
      remove_leftovers(work_.folder, shard_leftovers(fmt::format("{:05d}", shard)));
    make(shard, *std::move(claim));
    return true;
  }

  bool is_slow(const HolderWatch& holder) const {
    const double least = work_.help_after_seconds;
    if (least <= 0) return false;
    const double longest =
        slowest_seconds_ > 0 ? std::max(least, 2 * slowest_seconds_) : kUnknownPace * least;
    return holder.held_seconds() > longest || holder.silent_seconds() > work_.shared.lease_seconds;
  }

  // Makes a shard that a slow process has claimed, unless a third one does.
  void help(int64_t shard) {
    const auto holder = watches_.find(lock_of(shard));
    if (holder == watches_.end() || !is_slow(holder->second)) return;
    const fs::path path = shard_path(work_, shard);
    auto claim = take(helpers_lock_of(shard), path);
    if (!claim || fs::exists(path)) return;
    log::info("{}: its process is slow or silent; this one makes it, too", path.string());
    make(shard, *std::move(claim));
  }

  ShardWriter compute(int64_t shard, Claim& claim) {
    const SignsOfLife signs(claim, shard_path(work_, shard));
    const double start = monotonic_seconds();
    const auto [first, last] = range_of(work_, shard);
    ShardWriter write = work_.compute_shard(first, last);
    slowest_seconds_ = std::max(slowest_seconds_, monotonic_seconds() - start);
    return write;
  }

  void make(int64_t shard, Claim claim) {
    try {
      ShardWriter write = compute(shard, claim);
      writer_.start(std::move(write), shard_path(work_, shard), std::move(claim));
    } catch (const Overtaken&) {
      log::info("{}: another process makes it, or was faster", shard_path(work_, shard).string());
    }
  }

  const FeatureWork& work_;
  BackgroundWriter writer_;
  std::map<fs::path, HolderWatch> watches_ = {};  // of the claims of others, by their files
  double slowest_seconds_ = 0;                    // to compute a shard
};

// Removes locks, temporary files and inputs, which only unfinished sets need. This needs no lock: nobody
// publishes once there is a manifest, and a late process that locks again also calls this.
void tidy_up(const fs::path& folder) {
  OwnNames own = shard_leftovers("[0-9]{5,}");
  for (const char* name :
       {R"((index|keys)\.safetensors)", R"((manifest|inputs)\.json)", R"(quarantine\.jsonl)"})
    own.files.push_back(name);
  for (const char* name : {R"(inputs\.json)", R"(\.lock(-[0-9]{5,}(-help)?)?)"})
    own.passing_files.push_back(name);
  remove_leftovers(folder, own);
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
  if (work.writes_keys) manifest.keys_sha256 = formats::sha256_of_file(work.folder / kKeysFile);
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
  ShardMaker maker(work);
  maker.make_free_shards();
  maker.wait_for_others();
  if (work.stop() || num_missing_items(work) > 0) return false;
  try {
    finish(work);
  } catch (const Stopped&) {
    return false;
  } catch (const UserError&) {
    if (!has_feature_set(work.folder)) throw;  // else another process was faster, and has tidied up
  }
  tidy_up(work.folder);
  return true;
}

}  // namespace pixart::data

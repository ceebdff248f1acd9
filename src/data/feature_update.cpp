#include "pixart/data/feature_update.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "feature_files.h"
#include "pixart/base/deletion.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/tensor_file.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr const char* kKeys = "key";
constexpr FeatureKey kNoKey = {0, 0};

uint64_t number_of(std::string_view hex) {
  uint64_t value = 0;
  std::from_chars(hex.data(), hex.data() + hex.size(), value, 16);
  return value;
}

void write_keys(const fs::path& folder, const std::vector<FeatureKey>& keys) {
  at::Tensor all = at::empty({int64_t(keys.size()), 2}, at::kLong);
  auto* values = all.data_ptr<int64_t>();
  for (const auto& key : keys)
    for (const uint64_t half : key) *values++ = int64_t(half);
  formats::save_safetensors(folder / kKeysFile, {{kKeys, all}});
}

}  // namespace

FeatureKey feature_key(std::string_view text) {
  const std::string hex = formats::sha256(text);
  return {number_of(std::string_view(hex).substr(0, 16)), number_of(std::string_view(hex).substr(16, 16))};
}

void write_row_keys(const fs::path& folder, const Dataset& dataset) {
  std::vector<FeatureKey> keys;
  for (int64_t row = 0; row < dataset.size(); ++row) {
    keys.push_back(feature_key(dataset.key(row)));
    give_sign_of_life();
  }
  write_keys(folder, keys);
}

void write_caption_keys(const fs::path& folder, const Dataset& dataset, const DistinctCaptions& captions) {
  std::vector<FeatureKey> keys;
  for (const auto& place : captions.first) {
    const auto key = [&] {
      if (place.kind < 0) return kNoKey;
      const auto texts = dataset.row(place.row).captions;
      return feature_key(texts.empty() ? std::string() : texts[size_t(place.kind)].text);
    };
    keys.push_back(key());
    give_sign_of_life();
  }
  write_keys(folder, keys);
}

FeatureKeys::FeatureKeys(const fs::path& folder) {
  const fs::path path = folder / kKeysFile;
  try {
    if (!fs::exists(path))
      throw UserError(
          "it is missing; `pixart extract --mend` makes it for sets of "
          "earlier versions whose source is unchanged");
    const auto file = formats::load_safetensors(path);
    const auto found = file.tensors.find(kKeys);
    if (found == file.tensors.end() || found->second.scalar_type() != at::kLong || found->second.dim() != 2 ||
        found->second.size(1) != 2)
      throw UserError("it has no keys");
    const auto* values = found->second.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < found->second.size(0); ++i, values += 2)
      if (const FeatureKey key = {uint64_t(values[0]), uint64_t(values[1])}; key != kNoKey)
        sorted_.emplace_back(key, i);
    std::sort(sorted_.begin(), sorted_.end());
  } catch (const UserError& error) {
    log::warning("{} cannot be used, so every feature is made again: {}.", path.string(), error.what());
  }
}

std::optional<int64_t> FeatureKeys::find(const FeatureKey& key) const {
  const auto at = std::lower_bound(sorted_.begin(), sorted_.end(), std::pair(key, int64_t{0}));
  if (at == sorted_.end() || at->first != key) return std::nullopt;
  return at->second;
}

fs::path update_folder(const fs::path& folder) { return folder.string() + kUpdateEnding; }
fs::path former_folder(const fs::path& folder) { return folder.string() + kFormerEnding; }

bool is_outdated(const FeatureWork& work) {
  if (!has_feature_set(work.folder)) return false;
  FeatureManifest found = read_feature_manifest(work.folder);
  FeatureInputs wanted = work.manifest.inputs;
  bool differs = false;
  for (auto& input : wanted) {
    const auto own = std::find_if(found.inputs.begin(), found.inputs.end(),
                                  [&](const auto& other) { return other.name == input.name; });
    if (input.of_samples && own != found.inputs.end() && own->value != input.value) {
      differs = differs || own->value != input.former;
      own->value = input.value;
    }
  }
  if (!differs) return false;
  for (auto& input : wanted)
    input.former.clear();  // nothing is taken over from what was only compared in part
  require_inputs(work.folder, found, wanted);
  return true;
}

Claim claim_update(const fs::path& folder, const SharedWork& shared) {
  create_folders(folder.parent_path());
  return Claim::wait_for(folder.parent_path() / ("." + folder.filename().string() + ".lock"), folder, shared);
}

FeatureWork with_links_to(FeatureWork work, const fs::path& former) {
  std::map<std::string, std::pair<fs::path, uint64_t>> known;  // by hash: file and size
  for (const auto& shard : read_feature_manifest(former).shards)
    known[shard.sha256] = {former / shard.file, shard.bytes};
  work.compute_shard = [known, compute = std::move(work.compute_shard)](int64_t first, int64_t last) {
    return [known, write = compute(first, last)](const fs::path& file) {
      write(file);
      std::error_code error;
      const uint64_t bytes = fs::file_size(file, error);  // no file: another process has finished the update
      const bool may_be_known = std::any_of(known.begin(), known.end(),
                                            [&](const auto& one) { return one.second.second == bytes; });
      if (!may_be_known) return;
      const auto same = known.find(formats::sha256_of_file(file));
      if (same == known.end()) return;
      const fs::path& former = same->second.first;
      if (fs::exists(former, error) && formats::sha256_of_file(former) == same->first)  // it is undamaged
        replace_by_link(file, former);
    };
  };
  return work;
}

namespace {

void rename_folder(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error)
    throw UserError(fmt::format("cannot rename {} to {}: {}.", from.string(), to.string(), error.message()),
                    ExitCode::kStorage);
  sync_path(to.parent_path());
}

void delete_set(const fs::path& folder) {
  if (!fs::exists(folder)) return;
  delete_folder(folder, all_but({R"(shard-[0-9]{5,}\.safetensors)", R"((index|keys)\.safetensors)",
                                 R"(manifest\.json)", R"(quarantine\.jsonl)", R"(\.lock)"}));
}

}  // namespace

void finish_update(const FeatureWork& work) {
  const fs::path update = update_folder(work.folder), former = former_folder(work.folder);
  const Claim claim = claim_update(work.folder, work.shared);
  if (!has_feature_set(update)) return;
  if (fs::exists(work.folder)) {
    if (!is_outdated(work)) return delete_set(update);  // of a process that began before another one was done
    delete_set(former);
    rename_folder(work.folder, former);
  }
  rename_folder(update, work.folder);
  log::info("{} is made anew; the former set is {}. Remove it when no run reads it", work.folder.string(),
            former.string());
}

void recover_update(const fs::path& folder, const SharedWork& shared) {
  if (fs::exists(folder) || !has_feature_set(update_folder(folder))) return;
  const Claim claim = claim_update(folder, shared);
  if (!fs::exists(folder) && has_feature_set(update_folder(folder)))
    rename_folder(update_folder(folder), folder);
}

}  // namespace pixart::data

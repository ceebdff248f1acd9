#include "pixart/features/disk_space.h"

#include <sys/stat.h>

#include <algorithm>
#include <unordered_set>

#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/features/extract.h"
#include "pixart/features/inputs.h"
#include "pixart/run/checkpoint_folder.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

constexpr double kFloat = 4;           // bytes
constexpr double kBytesPerToken = 4;   // of English captions, about
constexpr double kShareInDoubt = 0.1;  // of an estimate

// The folder itself, or the first one above it that exists.
fs::path existing(fs::path folder) {
  std::error_code error;
  folder = fs::absolute(folder, error);
  while (!fs::exists(folder, error) && folder.has_parent_path() && folder != folder.parent_path())
    folder = folder.parent_path();
  return folder;
}

double size_of(const fs::path& folder) {
  double bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code gone;
    if (at->is_regular_file(gone)) bytes += double(at->file_size(gone));
  }
  return bytes;
}

double latent_bytes(const run::RunConfig& config, const run::StageConfig& stage, int64_t rows) {
  const auto vae = autoencoder_config(config);
  const double side = double(stage.resolution / vae.downscale());
  const double value = config.features.latent_dtype == data::LatentDtype::kFloat16 ? 2 : 4;
  return double(rows) * 2 * double(vae.latent_channels) * side * side * value *
         (stage.horizontal_flip ? 2 : 1);
}

double caption_bytes(const run::RunConfig& config, const data::Dataset& dataset, int64_t channels) {
  std::unordered_set<size_t> seen;
  double tokens = 0;
  for (int64_t row = 0; row < dataset.size(); ++row)
    for (const auto& caption : dataset.row(row).captions)
      if (seen.insert(std::hash<std::string>()(caption.text)).second)
        tokens += std::min(double(config.text_encoder.max_tokens),
                           double(caption.text.size()) / kBytesPerToken + 1);
  const bool is_bfloat16 = config.features.caption_dtype == data::CaptionDtype::kBFloat16;
  return tokens * double(channels) * (is_bfloat16 ? 2 : 1);
}

}  // namespace

void DiskSpace::add(const fs::path& folder, const std::string& what, double bytes) {
  if (bytes <= 0) return;
  const fs::path place = existing(folder);
  struct stat status {};
  std::error_code error;
  const auto space = fs::space(place, error);
  if (error || ::stat(place.c_str(), &status) != 0) return;  // the first write says what is wrong
  auto& disk = disks_[uint64_t(status.st_dev)];
  if (disk.folder.empty()) disk = {.folder = folder, .available = double(space.available)};
  disk.needed += bytes;
  disk.parts[what] += bytes;
}

void DiskSpace::add_checkpoints(const run::StageConfig& stage, int64_t elements, int64_t trained) {
  const bool is_adamw = stage.optimizer.name == optim::OptimizerName::kAdamW;
  const double one = kFloat * (2 * double(elements) + (is_adamw ? 2 : 1) * double(trained));
  const auto existing_ones = run::list_checkpoints(folder_.checkpoints(stage.name));
  const int64_t step = existing_ones.empty() ? 0 : existing_ones.back().step;
  int64_t kept =
      stage.checkpoints.keep_last + 1 - int64_t(existing_ones.size());  // one more while it is written
  for (int64_t at = step + 1; stage.checkpoints.keep_every > 0 && at <= stage.steps; ++at)
    kept += stage.checkpoints.forever(at) ? 1 : 0;
  add(folder_.root, "checkpoints", double(std::max<int64_t>(kept, 0)) * one);
}

void DiskSpace::add_features(RunContext& run, const run::StageConfig& stage) {
  if (!stage.info().reads_latents) return;
  const auto add_set = [&](const fs::path& folder, const auto& estimate) {
    if (data::has_feature_set(folder) || !feature_sets_.emplace(folder.string(), 0).second) return;
    add(folder, "features", estimate() - size_of(folder));
  };
  std::vector<std::string> sources;
  for (const auto& part : stage.parts()) sources.push_back(part.source);
  if (!stage.validation.source.empty()) sources.push_back(stage.validation.source);
  for (const auto& name : sources) {
    const auto& dataset = run.source(name);
    add_set(latent_set_folder(run.config, stage, name),
            [&] { return latent_bytes(run.config, stage, dataset.size()); });
    if (!stage.info().reads_captions) continue;
    const int64_t channels = condition_sizes(run, stage).text.caption_channels;
    add_set(caption_set_folder(run.config, name),
            [&] { return caption_bytes(run.config, dataset, channels); });
  }
}

void DiskSpace::add_problems(Problems& problems) const {
  for (const auto& [device, disk] : disks_) {
    if (disk.needed <= disk.available) continue;
    std::vector<std::string> parts;
    for (const auto& [what, bytes] : disk.parts)
      parts.push_back(fmt::format("{} for {}", human_bytes(uint64_t(bytes)), what));
    const std::string what = fmt::format("{} has room for {}, but the stages need about {} ({})",
                                         disk.folder.string(), human_bytes(uint64_t(disk.available)),
                                         human_bytes(uint64_t(disk.needed)), join(parts, ", "));
    if (disk.available < (1 - kShareInDoubt) * disk.needed)
      problems.add(what +
                   ". Make room, or set run or features.path to another disk, or lower "
                   "checkpoints.keep_last");
    else
      log::warning("{}", what);
  }
}

}  // namespace pixart::features

#include "pixart/features/disk_space.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>

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

double caption_bytes(const run::RunConfig& config, const data::Dataset& dataset, int64_t channels) {
  double tokens = 0;
  for (const auto& [row, kind] : data::find_distinct_captions(dataset).first) {
    const auto captions = dataset.row(row).captions;
    const double length = kind < 0 || captions.empty() ? 0 : double(captions[size_t(kind)].text.size());
    tokens += std::min(double(config.text_encoder.max_tokens), length / kBytesPerToken + 1);
  }
  return tokens * double(data::bytes_per_token(config.features.caption_dtype, channels));
}

// Checkpoints after `step` that are never deleted.
int64_t kept_for_ever(const run::StageConfig& stage, int64_t step) {
  const auto& [every, steps] = std::pair(stage.checkpoints.keep_every, stage.checkpoints.keep_steps);
  int64_t count = every > 0 ? stage.steps / every - step / every : 0;
  for (const int64_t at : std::set(steps.begin(), steps.end()))
    if (at > step && at <= stage.steps && (every == 0 || at % every != 0)) ++count;
  return count;
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
  const double emas = stage.power_ema.every > 0
                          ? kFloat * double(stage.power_ema.lengths.size() * size_t(elements))
                          : 0,
               one = kFloat * (2 * double(elements) + (is_adamw ? 2 : 1) * double(trained)) + emas;
  const auto existing_ones = run::list_checkpoints(folder_.checkpoints(stage.name));
  const int64_t step = existing_ones.empty() ? 0 : existing_ones.back().step;
  if (emas > 0)
    add(folder_.root, "power EMAs",
        emas * double(stage.steps / stage.power_ema.every - step / stage.power_ema.every + 1));
  const int64_t newest =  // one more while it is written
      stage.checkpoints.keep_last + 1 - int64_t(existing_ones.size());
  add(folder_.root, "checkpoints", double(std::max<int64_t>(newest + kept_for_ever(stage, step), 0)) * one);
}

void DiskSpace::add_features(RunContext& run, const run::StageConfig& stage) {
  if (!stage.info().reads_latents) return;
  const auto add_set = [&](const fs::path& folder, const auto& estimate) {
    if (data::has_feature_set(folder) || !feature_sets_.insert(folder).second) return;
    add(folder, "features", estimate() - size_of(folder));
  };
  for (const auto& part : stage.parts()) {
    const auto& dataset = run.source(part.source);
    const run::StageConfig cut = stage.at(part.resolution);
    for (const auto& encoded : cut.encoded())
      add_set(latent_set_folder(run.config, encoded, part.source), [&] {
        return double(dataset.size() * latent_record_bytes(run.config, cut, autoencoder_config(run.config)));
      });
    if (stage.reads_stored_teacher())
      add_set(teacher_set_folder(run.config, cut, part.source), [&] {
        return double(dataset.size() * teacher_record_bytes(cut, teacher_sizes(*stage.alignment.teacher)));
      });
    if (!stage.reads_stored_captions()) continue;
    const int64_t channels = condition_sizes(run, stage).text.caption_channels;
    add_set(caption_set_folder(run.config, part.source),
            [&] { return caption_bytes(run.config, dataset, channels); });
  }
  if (stage.validation.every == 0) return;
  run::StageConfig held_out = stage.held_out();
  held_out.validation.every = 0;
  add_features(run, held_out);
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

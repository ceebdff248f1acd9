// `pixart extract --verify`: checks whether the feature sets of a run are unchanged since they were written.
#include <algorithm>
#include <mutex>
#include <set>

#include "extract_common.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/parallel.h"
#include "pixart/base/words.h"
#include "pixart/features/inputs.h"
#include "pixart/formats/crc32c.h"
#include "shared_work.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

void add_sets(const run::RunConfig& config, const run::StageConfig& stage, const ExtractOptions& options,
              std::set<fs::path>& folders) {
  for (const auto& part : stage.parts()) {
    if (options.latents)
      for (const auto& encoded : stage.at(part.resolution).encoded())
        folders.insert(latent_set_folder(config, encoded, part.source));
    if (options.latents && stage.reads_stored_teacher())
      folders.insert(teacher_set_folder(config, stage.at(part.resolution), part.source));
    if (options.captions && stage.reads_stored_captions())
      folders.insert(caption_set_folder(config, part.source));
  }
}

// The folders of the sets, each once.
std::set<fs::path> sets_of(const run::RunConfig& config, const ExtractOptions& options) {
  std::set<fs::path> folders;
  for (const auto& stage : stages_with_features(config, options)) add_sets(config, stage, options, folders);
  return folders;
}

}  // namespace

std::vector<run::StageConfig> stages_with_features(const run::RunConfig& config,
                                                   const ExtractOptions& options) {
  if (!options.only_stage.empty()) config.stage(options.only_stage);
  std::vector<run::StageConfig> result;
  for (const auto& stage : config.stages) {
    if (!stage.info().reads_latents || (!options.only_stage.empty() && stage.name != options.only_stage))
      continue;
    result.push_back(stage);
    if (stage.validation.every > 0) result.push_back(stage.held_out());
  }
  return result;
}

CheckProgress::CheckProgress(const fs::path& folder)
    : bar_("check " + folder.filename().string(),
           int64_t(data::feature_bytes(data::read_feature_manifest(folder)) >> 20), "MiB") {}

void CheckProgress::operator()(uint64_t bytes) {
  done_ += bytes;
  bar_.update(int64_t(done_ >> 20));
  if (stop_requested()) throw UserError("stopped on request: nothing was changed.", ExitCode::kRequeue);
}

void mend(const data::FeatureWork& work) {
  static std::set<fs::path> done;  // stages share sets
  if (!data::has_feature_set(work.folder) || !done.insert(work.folder).second) return;
  CheckProgress progress(work.folder);
  auto shared = work;
  shared.shared = shared_with_ranks();
  blame_silent_rank([&] { data::mend_feature_set(shared, std::ref(progress)); });
}

namespace {

// A set of latents and the source that it was made from.
struct LatentPlace {
  fs::path folder;
  std::string source;
  bool operator<(const LatentPlace& other) const { return folder < other.folder; }
};

std::set<LatentPlace> latent_places(const run::RunConfig& config, const ExtractOptions& options) {
  std::set<LatentPlace> places;
  for (const auto& stage : stages_with_features(config, options))
    for (const auto& part : stage.parts())
      for (const auto& encoded : stage.at(part.resolution).encoded())
        if (const auto folder = latent_set_folder(config, encoded, part.source);
            options.latents && data::has_feature_set(folder))
          places.insert({folder, part.source});
  return places;
}

}  // namespace

bool is_same_image(const data::Dataset& dataset, int64_t row, uint32_t checksum) {
  try {
    return std::max(formats::crc32c(dataset.bytes(row)), 1u) == checksum;
  } catch (const data::BadSample&) {  // it could be read before
    return false;
  }
}

namespace {

// The keys of images that are not those that the latents were made from.
std::vector<std::string> replaced_images(const LatentPlace& place, const data::Dataset& dataset) {
  const data::LatentSet latents(place.folder);
  std::vector<std::string> replaced;
  std::mutex mutex;
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < std::min(latents.rows(), dataset.size()); ++row)
    if (latents.image_checksum(row) != 0) rows.push_back(row);
  Progress progress("compare images of " + place.source, int64_t(rows.size()), "image");
  constexpr int64_t kPiece = 1024;  // images between two updates of the progress bar
  for (int64_t first = 0; first < int64_t(rows.size()); first += kPiece) {
    const int64_t count = std::min(kPiece, int64_t(rows.size()) - first);
    for_each_in_parallel(count, [&](int64_t i) {
      const int64_t row = rows[size_t(first + i)];
      if (is_same_image(dataset, row, latents.image_checksum(row))) return;
      const std::lock_guard lock(mutex);
      replaced.push_back(dataset.key(row));
    });
    progress.update(first + count);
    if (stop_requested()) throw UserError("stopped on request: nothing was changed.", ExitCode::kRequeue);
  }
  std::sort(replaced.begin(), replaced.end());
  return replaced;
}

void verify_images(const run::RunConfig& config, const ExtractOptions& options) {
  Problems problems;
  int64_t num_sources = 0;
  for (const auto& place : latent_places(config, options)) {
    collect(problems, [&] {
      auto source = config.source(place.source);
      source.scores = {};  // features are of all rows
      auto index = index_place(config);
      index.lists_anew = true;
      const auto dataset = data::open_dataset(source, index);
      const auto replaced = replaced_images(place, *dataset);
      ++num_sources;
      if (!replaced.empty())
        problems.add(fmt::format("source {}: {} images are not those that {} was made from: {}", place.source,
                                 replaced.size(), place.folder.string(), name_some(replaced)));
    });
  }
  problems.throw_if_any("images have changed (restore them, or remove the feature sets to make them again)");
  log::info("the images of {} feature sets are those that they were made from", num_sources);
}

void verify_sets(const run::RunConfig& config, const ExtractOptions& options) {
  Problems problems;
  int64_t num_sets = 0, num_shards = 0;
  uint64_t bytes = 0;
  for (const auto& folder : sets_of(config, options)) {
    if (!data::has_feature_set(folder)) {
      log::info("{} is not made yet, or is incomplete", folder.string());
      continue;
    }
    ++num_sets;
    try {
      const auto manifest = data::read_feature_manifest(folder);
      num_shards += int64_t(manifest.shards.size());
      bytes += data::feature_bytes(manifest);
      CheckProgress progress(folder);
      const auto check = data::check_feature_set(folder, std::ref(progress));
      for (const auto& problem : check.problems) problems.add(problem);
      if (check.problems.empty() && !check.has_checksums)
        log::warning("{} has no checksums of its records: `pixart extract RUN.yaml --mend` adds them",
                     folder.string());
      if (check.problems.empty() && !check.has_keys)
        log::info("{} has no keys of its samples: `pixart extract RUN.yaml --mend` adds them, for --update",
                  folder.string());
    } catch (const UserError& error) {
      if (error.code() == ExitCode::kRequeue) throw;
      problems.add(error.what());
    }
  }
  problems.throw_if_any("features are damaged (`pixart extract RUN.yaml --mend` makes these files again)",
                        ExitCode::kStorage);
  log::info("{} feature sets are unchanged since they were written: {} shards, {}", num_sets,
            with_thousands(num_shards), human_bytes(bytes));
}

}  // namespace

void verify_features(const run::RunConfig& config, const ExtractOptions& options) {
  verify_sets(config, options);
  verify_images(config, options);
}

}  // namespace pixart::features

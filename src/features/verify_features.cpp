// `pixart extract --verify`: checks whether the feature sets of a run are unchanged since they were written.
#include <set>

#include "extract_common.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

void add_sets(const run::RunConfig& config, const run::StageConfig& stage, const ExtractOptions& options,
              std::set<fs::path>& folders) {
  for (const auto& part : stage.parts()) {
    if (options.latents) folders.insert(latent_set_folder(config, stage, part.source));
    if (options.captions && stage.info().reads_captions)
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
  data::mend_feature_set(work, std::ref(progress));
}

void verify_features(const run::RunConfig& config, const ExtractOptions& options) {
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

}  // namespace pixart::features

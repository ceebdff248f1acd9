#include "pixart/features/extract.h"

#include "extract_common.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/distributed/launch_variables.h"
#include "pixart/features/disk_space.h"
#include "pixart/features/inputs.h"
#include "pixart/features/run_context.h"
#include "pixart/features/stage_data.h"
#include "pixart/nn/device.h"
#include "shared_work.h"

namespace pixart::features {
namespace fs = std::filesystem;

fs::path features_folder(const run::RunConfig& run) {
  return run.features.path ? *run.features.path : run::RunFolder{run.run}.features();
}

data::IndexPlace index_place(const run::RunConfig& run) {
  return {.folder = features_folder(run) / "index",
          .least_rows = run.features.index_rows,
          .shared = shared_with_ranks()};
}

namespace {

void say_what_is_not_stored(const run::StageConfig& stage, const ExtractOptions& options) {
  if (options.latents && !stage.reads_stored_latents())
    log::info("stage {}: no latents are made, because it encodes images in its steps (encode.latents)",
              stage.name);
  if (options.captions && stage.info().reads_captions && !stage.reads_stored_captions())
    log::info(
        "stage {}: no features of captions are made, because it encodes them in its steps "
        "(encode.captions)",
        stage.name);
}

// The images of a source that the program itself draws, when its stage begins.
bool waits_for_images(const run::StageConfig& stage, const data::SourceConfig& source) {
  const size_t missing = data::images_to_draw(source).size();
  if (missing > 0)
    log::info(
        "stage {}: no features of source {} are made, because {} of its images must still be drawn; pixart "
        "train does that when the stage begins",
        stage.name, source.name, missing);
  return missing > 0;
}

void extract_stage(RunContext& run, const run::StageConfig& stage, const ExtractOptions& options) {
  const run::RunConfig& config = run.config;
  say_what_is_not_stored(stage, options);
  for (const auto& part : run.parts(stage)) {
    const run::StageConfig cut = stage.at(part.resolution);
    const std::string& source = part.source->name;
    if (waits_for_images(stage, *part.source)) continue;
    if (options.latents && stage.reads_stored_latents()) {
      const LatentCodec codec = load_codec(config, run.device);
      for (const auto& encoded : cut.encoded()) {
        const auto latents =
            latent_set(config, encoded, source, *part.dataset, codec, run.device, options.sets);
        const auto ledger = data::make_ledger(source, *part.dataset, latents.rejected());
        data::check_budget(*part.source, ledger);
        log::info("stage {}: {}; latents in {}", stage.name, data::describe(ledger),
                  latent_set_folder(config, encoded, source).string());
      }
    }
    if (options.latents && stage.reads_stored_teacher()) {
      const Teacher teacher(*stage.alignment.teacher, run.device);
      teacher_set(config, cut, source, *part.dataset, teacher, options.sets);
      log::info("stage {}: what the teacher sees is in {}", stage.name,
                teacher_set_folder(config, cut, source).string());
    }
    if (options.captions && stage.reads_stored_captions()) {
      const auto captions = caption_set(config, source, *part.dataset, *run.caption_encoder(), options.sets);
      run.opened_encoder.reset();  // before the autoencoder needs the memory
      log::info("stage {}: {} distinct captions; features in {}", stage.name, captions.num_distinct(),
                caption_set_folder(config, source).string());
    }
  }
}

// Finds what is wrong with any stage before hours are spent on the first.
void open_all(RunContext& run, const std::vector<run::StageConfig>& stages) {
  Problems problems;
  open_inputs(run, stages, problems);
  DiskSpace space(run.config);
  if (problems.empty())
    for (const auto& stage : stages) space.add_features(run, stage);
  space.add_problems(problems);
  problems.throw_if_any("what the stages read is not ready, so no feature was computed");
}

}  // namespace

void extract(const run::RunConfig& config, const ExtractOptions& options) {
  const auto stages = stages_with_features(config, options);
  const auto launch = distributed::launch_from_environment();  // each process of a machine takes its own GPU
  const at::Device device = nn::select_device(config.device, launch.local_rank);
  nn::set_num_threads(config.threads, launch.local_world_size);
  const auto alone =
      distributed::make_communicator({}, device, {});  // processes share the work through the folder
  RunContext run{.config = config, .folder = {config.run}, .device = device, .ranks = *alone, .sources = {}};
  run.lists_anew = options.sets.is_updated;
  open_all(run, stages);
  for (const auto& stage : stages) extract_stage(run, stage, options);
}

}  // namespace pixart::features

#include "pixart/features/extract.h"

#include "extract_common.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/distributed/launch_variables.h"
#include "pixart/features/run_context.h"
#include "pixart/features/stage_data.h"
#include "pixart/nn/device.h"

namespace pixart::features {
namespace fs = std::filesystem;

fs::path features_folder(const run::RunConfig& run) {
  return run.features.path ? *run.features.path : run::RunFolder{run.run}.features();
}

namespace {

void extract_stage(RunContext& run, const run::StageConfig& stage, const ExtractOptions& options) {
  const run::RunConfig& config = run.config;
  for (const auto& part : run.parts(stage)) {
    const std::string& source = part.source->name;
    if (options.latents) {
      const LatentCodec codec = load_codec(config, run.device);
      const auto latents =
          latent_set(config, stage, source, *part.dataset, codec, run.device, options.is_mended);
      const auto ledger = data::make_ledger(source, *part.dataset, latents.rejected());
      data::check_budget(*part.source, ledger);
      log::info("stage {}: {}; latents in {}", stage.name, data::describe(ledger),
                latent_set_folder(config, stage, source).string());
    }
    if (options.captions && stage.info().reads_captions) {
      const auto captions =
          caption_set(config, source, *part.dataset, *run.caption_encoder(), options.is_mended);
      run.opened_encoder.reset();  // before the autoencoder needs the memory
      log::info("stage {}: {} distinct captions; features in {}", stage.name, captions.num_distinct(),
                caption_set_folder(config, source).string());
    }
  }
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
  for (const auto& stage : stages) extract_stage(run, stage, options);
}

}  // namespace pixart::features

#include "stage_model.h"

#include "pixart/base/error.h"

namespace pixart::train {

std::unique_ptr<data::Loader> make_loader(const features::RunContext& run, const run::StageConfig& stage,
                                          const features::StageParts& parts,
                                          std::shared_ptr<const data::SampleOrder> order,
                                          data::Loader::Read read) {
  std::vector<std::string> names;
  for (const auto& part : parts)
    names.push_back(part.source->name +
                    (part.resolution ? fmt::format(" at {} pixels", *part.resolution) : ""));
  return std::make_unique<data::Loader>(
      std::move(order),
      data::BatchPlan{.batch_size = stage.batch_size,
                      .micro_batch_size = stage.micro_batch_size,
                      .micro_batch_sizes = stage.micro_batch_sizes(),
                      .rank = run.ranks.rank(),
                      .world_size = run.ranks.world_size(),
                      .one_by_one = run.config.numerics == run::Numerics::kExact},
      run.config.loader, std::move(read), std::move(names));
}

StageModel make_stage_model(features::RunContext& run, const run::StageConfig& stage) {
  StageModel model = stage.info().trains_autoencoder() ? make_autoencoder_stage(run, stage)
                                                       : make_diffusion_stage(run, stage);
  model.inputs["exclude"] = features::exclude_fingerprint(stage.exclude);
  model.inputs.merge(features::score_fingerprints(run.parts(stage)));
  return model;
}

}  // namespace pixart::train

#include "stage_model.h"

namespace pixart::train {

StageModel make_stage_model(RunContext& run, const StageConfig& stage) {
  return stage.info().trains_autoencoder() ? make_autoencoder_stage(run, stage)
                                           : make_diffusion_stage(run, stage);
}

}  // namespace pixart::train

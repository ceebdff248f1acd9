// A stage that is ready to train: its model, objective, sample images, and the work at its end.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "drawing.h"
#include "pixart/data/dataset.h"
#include "pixart/data/loader.h"
#include "pixart/distributed/communicator.h"
#include "pixart/features/damaged_features.h"
#include "pixart/features/excluded_samples.h"
#include "pixart/features/latent_codec.h"
#include "pixart/features/run_context.h"
#include "pixart/features/stage_data.h"
#include "pixart/formats/weights.h"
#include "pixart/models/transformer.h"
#include "pixart/models/vae.h"
#include "pixart/nn/state_dict.h"
#include "pixart/run/run_config.h"
#include "pixart/run/run_folder.h"
#include "pixart/run/telemetry.h"
#include "pixart/train/objective.h"
#include "pixart/train/objectives.h"
#include "stage_metrics.h"
#include "validation.h"

namespace pixart::train {

// The loader of a stage, as the run file configures it.
std::unique_ptr<data::Loader> make_loader(const features::RunContext& run, const run::StageConfig& stage,
                                          const features::StageParts& parts,
                                          std::shared_ptr<const data::SampleOrder> order,
                                          data::Loader::Read read);

// Who draws the noise of the run's steps.
NoiseFrom noise_from(const features::RunContext& run);

struct StageModel {
  std::unique_ptr<nn::StateDict> state;  // trained weights
  std::unique_ptr<nn::StateDict> ema;    // same architecture; the trainer binds it to the EMA weights
  std::shared_ptr<const features::LatentCodec> codec = {};  // of diffusion stages; both objectives use it
  std::unique_ptr<Objective> objective = {};
  std::unique_ptr<Objective> ema_objective = {};  // with the EMA weights, for held-out samples
  std::unique_ptr<data::Loader> loader;
  std::shared_ptr<const data::SampleOrder> order = {};  // of the loader; set by stages of several resolutions
  std::optional<HeldOut> held_out = {};
  std::map<std::string, std::vector<double>> rates = {};  // see TrainerConfig
  run::StageFacts facts = {};
  std::function<run::StepWork(int64_t step)> work_of = {};        // empty: each step has that of the facts
  int64_t quarantined = 0;                                        // samples that are rejected at the start
  std::shared_ptr<const features::DamagedFeatures> damaged = {};  // and those found while features are read
  std::shared_ptr<features::ExcludedSamples> excluded = {};       // by `exclude` and by roll-backs
  std::map<std::string, std::string> data = {};    // fingerprint of each source, for checkpoints
  std::map<std::string, std::string> inputs = {};  // hash of each encoder and of `exclude`, for checkpoints
  std::function<formats::Metadata()>
      initialize;  // sets the weights of step 0; returns metadata about their origin
  std::function<void()> before_save = [] {};  // on each rank
  Drawing drawing = {};
  std::unique_ptr<StageMetrics> metrics = {};  // null: the stage has none
  std::function<void()> finish = [] {};        // after the last step; on one rank
};

StageModel make_stage_model(features::RunContext& run, const run::StageConfig& stage);

// Throws UserError if the autoencoder of `config` cannot divide the stage's images.
void require_whole_latents(const run::StageConfig& stage, const models::VaeConfig& config);

// One function for each kind of model.
StageModel make_autoencoder_stage(features::RunContext& run, const run::StageConfig& stage);
StageModel make_diffusion_stage(features::RunContext& run, const run::StageConfig& stage);

}  // namespace pixart::train

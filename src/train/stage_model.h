// A stage made ready: its model, objective, pictures to look at, and what to do at its end.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pixart/data/dataset.h"
#include "pixart/dist/communicator.h"
#include "pixart/formats/image_file.h"
#include "pixart/formats/weights.h"
#include "pixart/models/transformer.h"
#include "pixart/models/vae.h"
#include "pixart/nn/state_dict.h"
#include "pixart/train/loader.h"
#include "pixart/train/objective.h"
#include "pixart/train/run_config.h"
#include "pixart/train/run_folder.h"
#include "pixart/train/stage_data.h"
#include "pixart/train/telemetry.h"
#include "pixart/train/validation.h"

namespace pixart::train {

// What the stages of one run share. Sources are opened when first used.
struct RunContext {
  const RunConfig& config;
  RunFolder folder;
  at::Device device;
  dist::Communicator& ranks;
  std::map<std::string, std::unique_ptr<data::Dataset>> sources;

  data::Dataset& source(const std::string& name);
  StageParts parts(const StageConfig& stage);           // opens its sources
  uint64_t stage_seed(const StageConfig& stage) const;  // differs between stages
  std::vector<std::string> all_captions();              // of the sources of all text stages
};

// The loader of a stage, as the run file configures it.
std::unique_ptr<Loader> make_loader(const RunContext& run, const StageConfig& stage, const StageParts& parts,
                                    std::shared_ptr<const data::SampleOrder> order, Loader::Read read);

struct Pictures {
  std::vector<Image> images;
  std::vector<std::string> captions;  // one per image
};

struct StageModel {
  std::unique_ptr<nn::StateDict> state;    // trained weights
  std::unique_ptr<nn::StateDict> average;  // same architecture; the trainer binds it to the averaged weights
  std::unique_ptr<Objective> objective;
  std::unique_ptr<Objective> average_objective;  // the same of the average, for held-out samples
  std::unique_ptr<Loader> loader;
  std::optional<HeldOut> held_out = {};
  StageFacts facts = {};
  int64_t quarantined = 0;                              // samples that are not used
  std::shared_ptr<const DamagedFeatures> damaged = {};  // and those that are found while features are read
  std::map<std::string, std::string> data = {};   // fingerprint of each source, as a checkpoint keeps it
  std::function<formats::Metadata()> initialize;  // weights of step 0; returns where they come from
  // With the averaged weights; on one rank. Fewer images than captions where its argument, called between
  // pieces of the work, says that a stop was asked for.
  std::function<Pictures(const std::function<bool()>& asked_to_stop)> draw;
  std::function<void()> finish = [] {};  // after the last step; on one rank
};

StageModel make_stage_model(RunContext& run, const StageConfig& stage);

// Weights of step 0, as `stage.init` says: random, an earlier stage's averaged weights, a file or a folder.
// Each returns the metadata of the stage's weight files. Throws UserError.
formats::Metadata initialize_vae(const RunContext& run, const StageConfig& stage,
                                 const models::VaeConfig& config, nn::StateDict& state);
formats::Metadata initialize_transformer(const RunContext& run, const StageConfig& stage,
                                         const models::Transformer& model, nn::StateDict& state);

// One function for each kind of model; see registry.cpp.
StageModel make_autoencoder_stage(RunContext& run, const StageConfig& stage);
StageModel make_diffusion_stage(RunContext& run, const StageConfig& stage);

}  // namespace pixart::train

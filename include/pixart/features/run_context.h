// What the stages of one run share.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pixart/distributed/communicator.h"
#include "pixart/features/caption_encoder.h"
#include "pixart/features/stage_data.h"
#include "pixart/run/run_folder.h"

namespace pixart::features {

// Sources are opened when they are first used.
struct RunContext {
  const run::RunConfig& config;
  run::RunFolder folder;
  at::Device device;
  distributed::Communicator& ranks;
  std::map<std::string, std::unique_ptr<data::Dataset>> sources;
  std::shared_ptr<const CaptionEncoder> opened_encoder = {};  // of the stage that is made ready
  bool lists_anew = false;                                    // sources, also those that have an index

  data::Dataset& source(const std::string& name);
  // Opened when it is first used. A stage lets go of it (opened_encoder.reset()) when it is ready.
  std::shared_ptr<const CaptionEncoder> caption_encoder();
  StageParts parts(const run::StageConfig& stage);           // opens its sources
  uint64_t stage_seed(const run::StageConfig& stage) const;  // differs between stages
  std::vector<std::string> all_captions();                   // of the sources of all text stages
};

}  // namespace pixart::features

// What a run folder says about the weights of a stage, for the model card of an export.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "pixart/convert/model_card.h"
#include "pixart/run/run_config.h"

namespace pixart::train {

struct CheckpointPlace {
  std::filesystem::path run;
  std::string stage;
  int64_t step = 0;
  bool is_ema = false;  // of the two sets of weights of a checkpoint the EMA
};

// Settings of the stages from which the weights come, their data with what was rejected, the newest scores and sample
// images of the stage up to the step; of those that are of the other set of weights, or may be, it says so. What is
// missing or damaged is left out; names of files have no folders.
convert::CardFacts card_of(const CheckpointPlace& place, const run::RunConfig& config);

// A card of `pixart score`, called by its file, or by the folder and the file if that is score.json. Throws UserError if
// the file is not one.
convert::CardScore card_score(const std::filesystem::path& file);

// The place of a checkpoint, a folder <run>/checkpoints/<stage>/step-<N> or a file in it; nothing for another path.
std::optional<CheckpointPlace> checkpoint_place(const std::filesystem::path& weights);

}  // namespace pixart::train

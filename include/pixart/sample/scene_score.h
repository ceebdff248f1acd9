// `pixart demo score`: how well a run's generated scenes match their captions. A judge reads each image
// (demo/scenes.h); captions with shape-colour pairs that were never trained on get a separate score.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "pixart/base/rule.h"

namespace pixart::sample {

// Metric -> percent, e.g. "judge_truth", "vae_read", "stage2.color", "stage2.all_heldout"; also "seconds".
using Scores = std::map<std::string, double>;

// Scores every text stage of the run and writes <run>/score.json. The count of stages leaves out the
// autoencoder, so the text stages of a three-stage run are stage2 and stage3. Throws UserError before any work if a
// file of that name is there that is not of this function.
Scores score_run(const std::filesystem::path& run, const std::string& device);

// The bars in the run's config that `scores` does not reach, as sentences.
std::vector<std::string> missed_bars(const std::filesystem::path& run, const Scores& scores);

// Scores the text stages at every existing checkpoint and writes <run>/curve.json, with the same care:
// {"stages": {"<name>": [{"step": 200, "all": 35.0, "all_heldout": 30.0}, ...]}}.
void score_checkpoints(const std::filesystem::path& run, const std::string& device);

}  // namespace pixart::sample

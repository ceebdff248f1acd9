// `pixart evaluate`: how well a run's pictures of drawn scenes say what their captions say. A judge reads
// each picture (data/scenes.h); captions with shape-colour pairs that were never trained on are scored apart.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "pixart/base/rule.h"

namespace pixart::train {

// Metric -> percent, e.g. "judge_truth", "vae_read", "stage2.color", "stage2.all_heldout"; also "seconds".
using Scores = std::map<std::string, double>;

// Scores every text stage of the run and writes <run>/score.json. Stages are counted without the autoencoder,
// so in a three-stage run the text stages are stage2 and stage3.
Scores evaluate_run(const std::filesystem::path& run, const std::string& device);

// Bars of the run's config that `scores` misses, as sentences.
std::vector<std::string> missed_bars(const std::filesystem::path& run, const Scores& scores);

// Scores the text stages at every checkpoint that is there and writes <run>/curve.json:
// {"stages": {"<name>": [{"step": 200, "all": 35.0, "all_heldout": 30.0}, ...]}}.
void evaluate_curve(const std::filesystem::path& run, const std::string& device);

}  // namespace pixart::train

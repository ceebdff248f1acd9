// What extracting features and checking them have in common.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

#include "pixart/base/progress.h"
#include "pixart/train/extract.h"

namespace pixart::train {

// The stages whose features are asked for, each followed by itself on its held-out samples.
std::vector<StageConfig> stages_with_features(const RunConfig& config, const ExtractOptions& options);

// Of a complete set that is being checked; throws UserError(kRequeue) on a request to stop.
class CheckProgress {
 public:
  explicit CheckProgress(const std::filesystem::path& folder);
  void operator()(uint64_t bytes);

 private:
  uint64_t done_ = 0;
  Progress bar_;
};

// Mends the set of `work`, with a progress bar, where it is complete; once in the life of the process.
void mend(const data::FeatureWork& work);

}  // namespace pixart::train

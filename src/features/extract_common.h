// Shared by extracting features and checking them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

#include "pixart/base/progress.h"
#include "pixart/features/extract.h"

namespace pixart::features {

// The stages that `options` select, each followed by the same stage on its held-out samples.
std::vector<run::StageConfig> stages_with_features(const run::RunConfig& config,
                                                   const ExtractOptions& options);

// Progress of checking a complete set. Throws UserError(kRequeue) on a request to stop.
class CheckProgress {
 public:
  explicit CheckProgress(const std::filesystem::path& folder);
  void operator()(uint64_t bytes);

 private:
  uint64_t done_ = 0;
  Progress bar_;
};

// Whether an image has this checksum (LatentSet::image_checksum()). False for one that cannot be used.
bool is_same_image(const data::Dataset& dataset, int64_t row, uint32_t checksum);

// The advice where the samples of a set differ.
inline constexpr const char* kHowToUpdate =
    "`pixart extract RUN.yaml --update` makes the set anew and takes over the features of unchanged samples";

// Mends the set of `work` if it is complete, with a progress bar. Does so only once per set and process.
void mend(const data::FeatureWork& work);

}  // namespace pixart::features

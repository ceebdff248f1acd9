// Whether the disks have room for what the stages will write.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "pixart/base/error.h"
#include "pixart/features/run_context.h"

namespace pixart::features {

// Sums what is still to be written, for each file system. Features count as estimated from the number of rows
// and the length of captions.
class DiskSpace {
 public:
  explicit DiskSpace(const run::RunConfig& config) : folder_{config.run} {}

  // A stage's model of `elements` values, `trained` of which are trained.
  void add_checkpoints(const run::StageConfig& stage, int64_t elements, int64_t trained);
  void add_features(RunContext& run, const run::StageConfig& stage);  // that do not exist yet
  // `bytes` that are still to be written below `folder`, for `what`.
  void add(const std::filesystem::path& folder, const std::string& what, double bytes);
  // One problem for each file system with too little room; a warning if it is only just enough.
  void add_problems(Problems& problems) const;

 private:
  struct Disk {
    std::filesystem::path folder = {};
    double needed = 0, available = 0;
    std::map<std::string, double> parts = {};  // bytes by purpose
  };

  run::RunFolder folder_;
  std::map<uint64_t, Disk> disks_ = {};                // by device
  std::set<std::filesystem::path> feature_sets_ = {};  // that are counted already
};

}  // namespace pixart::features

// The pages of `pixart report`: one self-contained file each.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "pixart/report/run_cost.h"
#include "pixart/report/run_record.h"

namespace pixart::report {

struct ConfigDifference {
  std::string path, was, is;  // as YAML
};

// The run's config and another one.
struct ConfigComparison {
  std::string with;  // "the defaults", a file, another run
  std::vector<ConfigDifference> differences = {};
  std::string problem = {};  // why it could not be made
};

// What the loss of well-trained models is known to be from one step to another.
struct LossBand {
  double first_step = 0, last_step = 0, low = 0, high = 0;
};

struct UsualLoss {
  std::vector<LossBand> bands = {};  // none: not known
  std::string source = {};
  std::string verdict = {};  // a sentence about this run's loss
};

// What the run file says of a stage.
struct StagePlan {
  std::string name, objective;
  int64_t steps = 0, batch_size = 0;
  double gradient_clip = 0;
  std::vector<std::string> prompts = {};
  UsualLoss usual_loss = {};
};

// A run with what only a reader of run files can say.
struct ReportedRun {
  RunRecord record;
  std::vector<StagePlan> plan = {};  // empty: run.yaml is missing or damaged
  std::vector<ConfigComparison> comparisons = {};
};

struct PageOptions {
  CostRates rates = {};
  std::string made = {};                       // time and program, for the foot of the page
  uint64_t picture_bytes = uint64_t{8} << 20;  // most for all pictures, as they stand in the page
};

std::string run_page(const ReportedRun& run, const PageOptions& options);

// The mean of the loss over the last `count` steps on record; nothing without a finite one.
std::optional<double> last_mean_loss(const StageRecord& stage, double count);

// Two or more runs: the first is what the others are compared with.
std::string comparison_page(const std::vector<ReportedRun>& runs, const PageOptions& options);

}  // namespace pixart::report

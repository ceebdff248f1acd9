// The pages of `pixart report`: one self-contained file each.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pixart/report/run_cost.h"
#include "pixart/report/run_record.h"

namespace pixart::report {

struct ConfigDifference {
  std::string path, was, is;  // as YAML
};

// The differences between the run's config and another one.
struct ConfigComparison {
  std::string with;  // "the defaults", a file, another run
  std::vector<ConfigDifference> differences = {};
  std::string problem = {};  // why the comparison could not be made
};

// The known range of the loss of well-trained models between two steps.
struct UsualRange {
  double first_step = 0, last_step = 0, low = 0, high = 0;
};

struct UsualLoss {
  std::vector<UsualRange> bands = {};  // empty: not known
  std::string source = {};
  std::string verdict = {};  // a sentence about this run's loss
};

// The values of a stage in the run file.
struct StagePlan {
  std::string name, objective;
  int64_t steps = 0, batch_size = 0;
  double gradient_clip = 0;
  std::vector<std::string> prompts = {};
  // What a diffusion stage predicts, and the settings of its loss that are not the published ones: "flow,
  // shift: 3". Losses can be compared only where these are equal, validation losses where the second are.
  std::string loss = {}, validation_loss = {};
  UsualLoss usual_loss = {};
  // What the scores of drawn images depend on: "clean resize, dpm_solver_pp, 20 steps, guidance 4.5".
  std::string metrics = {};
};

// A run, with the facts that only a reader of run files knows.
struct ReportedRun {
  RunRecord record;
  std::vector<StagePlan> plan = {};  // empty: run.yaml is missing or damaged
  std::vector<ConfigComparison> comparisons = {};
};

struct PageOptions {
  CostRates rates = {};
  std::string made = {};                     // time and program, for the foot of the page
  uint64_t image_bytes = uint64_t{8} << 20;  // limit for all images together, as encoded in the page
};

std::string run_page(const ReportedRun& run, const PageOptions& options);

// Before the work for a page: throws UserError if `file` is a folder, or a file that is not a page of `pixart report`, of
// this version or an earlier one. Such a file is not replaced.
void check_page_file(const std::filesystem::path& file);

// The mean of the loss over the last `count` recorded steps; nothing if no loss is finite.
std::optional<double> last_mean_loss(const StageRecord& stage, double count);

// The page of two or more runs: the others are compared with the first one.
std::string comparison_page(const std::vector<ReportedRun>& runs, const PageOptions& options);

}  // namespace pixart::report

#include "blame.h"

#include <algorithm>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/words.h"

namespace pixart::train {

namespace {

// By row, so that the number of ranks does not matter.
std::set<int64_t> rows_to_blame(const std::vector<Suspect>& suspects) {
  std::set<int64_t> alone, all;
  for (const auto& suspect : suspects) {
    all.insert(suspect.row);
    if (suspect.is_bad_alone) alone.insert(suspect.row);
  }
  return alone.empty() ? all : alone;
}

// Some samples are bad whatever the others are, and some are good: the weights are not the cause.
bool is_of_data(const std::vector<Suspect>& suspects) {
  const auto is_bad_alone = [](const Suspect& suspect) { return suspect.is_bad_alone; };
  return std::any_of(suspects.begin(), suspects.end(), is_bad_alone) &&
         !std::all_of(suspects.begin(), suspects.end(), is_bad_alone);
}

}  // namespace

std::string name_samples(const std::vector<features::ExcludedSample>& samples) {
  std::vector<std::string> names;
  for (const auto& sample : samples) names.push_back(sample.source + ": " + sample.key);
  return name_some(names);
}

std::vector<features::ExcludedSample> samples_to_blame(const run::StageConfig& stage, const StepResult& bad,
                                                       const std::vector<Suspect>& suspects,
                                                       const features::ExcludedSamples& known) {
  int64_t roll_backs = 0;
  bool was_bad_before = false;
  for (const auto& sample : known.found()) {
    roll_backs = std::max(roll_backs, sample.roll_back);
    was_bad_before = was_bad_before || sample.step == bad.step;
  }
  std::vector<features::ExcludedSample> blamed;
  for (const int64_t row : rows_to_blame(suspects)) {
    auto sample = known.sample(row);
    sample.step = bad.step;
    sample.roll_back = roll_backs + 1;
    sample.reason = bad.fault;
    blamed.push_back(std::move(sample));
  }
  const std::string what = fmt::format("stage {}, step {}: {}", stage.name, bad.step, bad.fault);
  if (was_bad_before && !is_of_data(suspects))
    throw UserError(
        fmt::format(
            "{}, as it was before other samples took the place of those that were left out. So the data "
            "are not the cause. Lower optimizer.lr or increase lr_schedule.warmup_steps (with "
            "--allow-change); the last checkpoint is good. The samples of the step now: {}",
            what, name_samples(blamed)),
        ExitCode::kNumerics);
  if (roll_backs >= stage.bad_steps.most_roll_backs)
    throw UserError(
        fmt::format(
            "{}, after {} roll-backs; bad_steps.most_roll_backs allows {}. Look at these samples and at "
            "those in the run's folder `excluded`: {}. If they are bad, raise "
            "bad_steps.most_roll_backs and start the same command again; if they are good, lower "
            "optimizer.lr. The last checkpoint is good.",
            what, roll_backs, stage.bad_steps.most_roll_backs, name_samples(blamed)),
        ExitCode::kNumerics);
  return blamed;
}

}  // namespace pixart::train

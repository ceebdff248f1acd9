// The values of a run folder for other programs: tables, W&B. Values are those of events.jsonl, whose lines are read
// one after the other; lines that cannot be read are left out, as are stages and values beyond 100 stages, 1,000 names of
// values of a stage and 10,000 of the run. Both throw UserError if `run` is not a folder, if it has no line of a stage, or
// if something else is at the place of a file.
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace pixart::report {

struct Exported {
  std::vector<std::filesystem::path> files = {};
  std::vector<std::string> remarks = {};  // what was left out, in sentences
};

// Writes <out>/<stage>.csv for each stage: the column step, and one for each value. A value that is not finite
// is nan; a cell without a value is empty. Replaces only such tables.
Exported export_csv(const std::filesystem::path& run, const std::filesystem::path& out);

struct WandbOptions {
  std::string project = "pixart";
  // The keys of the run file with their values as JSON.
  std::vector<std::pair<std::string, std::string>> config = {};
};

// Writes <out>/offline-run-<date>_<time>-<id>, which `wandb sync` sends. The same run makes the same bytes: the id is
// a hash of the first start (of run.yaml without telemetry; also of the folder's name and its first line where these say
// nothing), and the times are those of telemetry.jsonl, between whose lines they rise evenly with the steps. Values are
// called <stage>/<key>, with <stage>/step as their x axis. _step counts on over the stages. Replaces an earlier export of
// the run.
Exported export_wandb(const std::filesystem::path& run, const std::filesystem::path& out,
                      const WandbOptions& options = {});

}  // namespace pixart::report

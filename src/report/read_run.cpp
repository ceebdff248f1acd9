#include <algorithm>
#include <cmath>
#include <limits>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/file_lock.h"
#include "pixart/base/words.h"
#include "reading.h"

namespace pixart::report {
namespace fs = std::filesystem;

namespace {

constexpr uint64_t kLargestSmallFile = uint64_t{4} << 20;  // run.yaml, score.json, .owner

// Reads a small file; "" and a remark if it cannot be read.
std::string small_file(RunRecord& run, const std::string& name) {
  if (!fs::exists(run.folder / name)) {
    run.remarks.push_back(fmt::format("There is no {}.", name));
    return "";
  }
  try {
    return read_file(run.folder / name, kLargestSmallFile);
  } catch (const UserError& error) {
    run.remarks.push_back(error.what());
    return "";
  }
}

void require_folder(const fs::path& folder) {
  if (!fs::is_directory(folder))
    throw UserError(fmt::format("{} is not a run folder. Give the folder that `run:` of the run file names.",
                                folder.string()));
}

// The numbers of a JSON object and of nested objects, named "a.b".
void flatten(const nlohmann::json& json, const std::string& path, int levels,
             std::map<std::string, double>& out) {
  if (json.is_number()) {
    out[path] = json.get<double>();
  } else if (json.is_object() && levels > 0) {
    for (const auto& [key, value] : json.items())
      flatten(value, path.empty() ? key : path + "." + key, levels - 1, out);
  }
}

}  // namespace

int64_t SourceRecord::num_rejected() const {
  int64_t sum = 0;
  for (const auto& [reason, count] : rejected) sum += count;
  return sum;
}

StageRecord* stage_of(RunRecord& run, const std::string& name) {
  for (auto& stage : run.stages)
    if (stage.name == name) return &stage;
  if (run.stages.size() >= kMostStages) return nullptr;
  return &run.stages.emplace_back(StageRecord{.name = name});
}

void remark_on_left_out(RunRecord& run, const std::string& file, const LeftOut& left_out) {
  for (const auto& remark : remarks_on(left_out, file)) run.remarks.push_back(remark);
}

void append(Series& series, double x, double y) {
  constexpr double kAbsurd = 1e150;  // larger values cannot be drawn
  while (!series.empty() && series.back().x >= x) series.pop_back();
  series.push_back({x, std::abs(y) < kAbsurd ? y : std::numeric_limits<double>::quiet_NaN()});
}

void remark_on_lines(RunRecord& run, const std::string& file, const LineCount& count) {
  if (!count.exists) {
    run.remarks.push_back(fmt::format("There is no {}.", file));
    return;
  }
  if (count.unreadable > 0)
    run.remarks.push_back(fmt::format("{} line{} of {} cannot be read and {} left out.", count.unreadable,
                                      count.unreadable == 1 ? "" : "s", file,
                                      count.unreadable == 1 ? "is" : "are"));
  if (count.is_cut)
    run.remarks.push_back(fmt::format("The last line of {} is cut off, perhaps by a kill.", file));
  if (count.read == 0) run.remarks.push_back(fmt::format("{} is empty.", file));
}

void read_scores(RunRecord& run) {
  if (!fs::exists(run.folder / "score.json")) return;
  const auto json = nlohmann::json::parse(small_file(run, "score.json"), nullptr, false);
  constexpr int kLevels = 4;
  flatten(json, "", kLevels, run.scores);
  if (run.scores.empty()) run.remarks.push_back("score.json has no scores.");
}

// Only the lock shows whether a process works or was killed. For processes of other machines this is not
// known.
void read_owner(RunRecord& run) {
  if (!fs::exists(run.folder / ".owner")) return;
  const auto owner = nlohmann::json::parse(small_file(run, ".owner"), nullptr, false);
  if (!owner.is_object()) return;
  const int64_t process = integer_in(owner, "process", -1);
  if (is_locked_by(run.folder / ".lock", process))
    run.owner =
        fmt::format("process {} on {} since {}", process, text_in(owner, "host"), text_in(owner, "since"));
}

void require_run_folder(const fs::path& folder) {
  require_folder(folder);
  const std::vector<std::string> parts = {"run.yaml", "events.jsonl", "telemetry.jsonl", "checkpoints"};
  std::error_code error;
  if (std::ranges::none_of(parts, [&](const auto& name) { return fs::exists(folder / name, error); }))
    throw UserError(fmt::format(
        "{} is not a run folder: it has none of {}. Give the folder that `run:` of the run file names.",
        folder.string(), join(parts, ", ")));
}

RunRecord read_run(const fs::path& folder, const ReadOptions& options) {
  require_folder(folder);
  const fs::path whole = fs::weakly_canonical(folder);
  RunRecord run{.folder = folder, .name = whole.filename().string()};
  for (const auto& name : options.stages)
    if (std::ranges::none_of(run.stages, [&](const auto& stage) { return stage.name == name; }))
      run.stages.push_back({.name = name});
  run.yaml = small_file(run, "run.yaml");
  if (options.curves) {
    read_events(run);
    read_telemetry(run);
  }
  read_samples(run);
  read_checkpoints(run, options.hash_weights);
  read_quarantine(run);
  read_excluded(run);
  read_features(run, options.features.empty() ? folder / "features" : options.features);
  read_scores(run);
  read_score_cards(run);
  read_studies(run);
  read_judgements(run);
  read_owner(run);
  return run;
}

namespace {

// A stop may have step 0 because it does not know its step.
std::string place_of(const RunRecord& run) {
  for (auto event = run.events.rbegin(); event != run.events.rend(); ++event)
    if (!event->stage.empty() && event->step >= 0 && (event->kind != "stop" || event->step > 0))
      return fmt::format(" at step {} of stage {}", event->step, event->stage);
  return "";
}

bool is_complete(const RunRecord& run, const std::map<std::string, int64_t>& steps) {
  return !run.stages.empty() && std::all_of(run.stages.begin(), run.stages.end(), [&](const auto& stage) {
    const auto planned = steps.find(stage.name);
    return planned == steps.end() ? stage.last_step > 0 : stage.last_step >= double(planned->second);
  });
}

}  // namespace

std::string state_of(const RunRecord& run, const std::map<std::string, int64_t>& steps) {
  if (!run.owner.empty()) return "in progress: " + run.owner;
  if (run.processes.empty())
    return is_complete(run, steps) ? "all steps are done (telemetry.jsonl is missing)"
                                   : "unknown: telemetry.jsonl is missing";
  const auto& last = run.processes.back();
  if (last.reason == "done")
    return is_complete(run, steps) ? "finished" : "stopped" + place_of(run) + ", with steps left to do";
  if (last.reason == "requested") return "stopped on request" + place_of(run);
  if (last.reason == "error") return "ended by an error" + place_of(run);
  if (!last.reason.empty()) return fmt::format("stopped ({}){}", last.reason, place_of(run));
  return "no end is recorded" + place_of(run) + ": it was killed, or runs on another machine";
}

}  // namespace pixart::report

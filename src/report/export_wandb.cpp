#include <algorithm>
#include <cmath>

#include "event_rows.h"
#include "export_parts.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/wandb_file.h"
#include "pixart/report/export.h"
#include "reading.h"

namespace pixart::report {
namespace fs = std::filesystem;
using formats::WandbItems;

namespace {

const std::string kNoTimes = "telemetry.jsonl tells no times: those of the export are of 1970";

constexpr const char* kRunFile = "run.yaml";

// When a stage was at a step, by the lines of telemetry.jsonl.
class StageClock {
 public:
  StageClock(const RunRecord& run, const std::string& stage) {
    for (const auto& event : run.events)
      if (event.stage == stage && event.step >= 0) append(times_, double(event.step), event.time);
  }

  // Between two lines it rises evenly; 0 if the stage has no line.
  double at(int64_t step) const {
    if (times_.empty()) return 0;
    const auto after = std::lower_bound(times_.begin(), times_.end(), double(step),
                                        [](const Point& point, double x) { return point.x < x; });
    if (after == times_.end()) return times_.back().y;
    if (after == times_.begin() || after->x == double(step)) return after->y;
    const Point &left = *std::prev(after), &right = *after;
    return left.y + (right.y - left.y) * (double(step) - left.x) / (right.x - left.x);
  }

 private:
  Series times_;
};

std::string json_of(double number) { return nlohmann::json(number).dump(); }
std::string json_of(const nlohmann::json& value) { return value.is_null() ? "NaN" : value.dump(); }

std::string text_of(const fs::path& file) {
  constexpr uint64_t kLargest = uint64_t{4} << 20;
  std::error_code error;
  return fs::is_regular_file(file, error) ? read_file(file, kLargest) : "";
}

// The history of all stages, one after the other.
class History {
 public:
  History(const RunRecord& run, double begin, formats::WandbFile& file)
      : run_(run), begin_(begin), file_(file) {}

  void add(const EventIndex& index, const EventStage& stage) {
    const StageClock clock(run_, stage.name);
    int64_t last = -1;
    for_each_row(index, stage, [&](int64_t step, const EventRow& row) {
      // A process that continues may be given an earlier time by its clock.
      time_ = std::max(time_, clock.at(step));
      const WandbItems items = items_of(stage.name, step, row);
      for (const auto& [name, json] : items) summary_[name] = json;
      file_.history(first_ + step, items);
      last = step;
    });
    summary_["_step"] = std::to_string(first_ + last);
    first_ += last + 1;
  }

  WandbItems summary() const { return {summary_.begin(), summary_.end()}; }
  double seconds() const { return std::max(0.0, time_ - begin_); }

 private:
  WandbItems items_of(const std::string& stage, int64_t step, const EventRow& row) const {
    WandbItems items = {{stage + "/step", std::to_string(step)}};
    for (const auto& [key, value] : row) items.emplace_back(stage + "/" + key, json_of(value));
    items.emplace_back("_timestamp", json_of(time_));
    items.emplace_back("_runtime", json_of(seconds()));
    return items;
  }

  const RunRecord& run_;
  const double begin_;
  formats::WandbFile& file_;
  double time_ = 0;
  int64_t first_ = 0;  // _step of the stage's step 0
  std::map<std::string, std::string> summary_;
};

// Eight characters, as W&B makes them. They belong to the first start, because run.yaml may change when a run continues.
// Where neither says which run it is, the folder and its first line do, so that two such runs do not become one.
std::string id_of(const RunRecord& run, const std::string& yaml, const std::string& first_line) {
  constexpr size_t kLength = 8;
  std::string first = yaml;
  bool is_told = !yaml.empty();
  if (!run.processes.empty()) {
    const auto& process = run.processes.front();
    first = fmt::format("{}\n{}\n{}", time_text(process.begin), process.host, process.pid);
    is_told = !process.host.empty() || process.pid != 0;
  }
  if (!is_told) first += fmt::format("\n{}\n{}", run.name, first_line);
  return formats::sha256(first).substr(0, kLength);
}

// "20260302_081500"
std::string compact_time(double seconds) {
  std::string text = time_text(seconds), compact;
  for (const char c : text) {
    if (c >= '0' && c <= '9') compact += c;
    if (c == ' ') compact += '_';
  }
  return compact;
}

// Also the mark that `wandb sync` leaves, so that it sends a replaced folder again.
ForeignEntries all_but_an_export(const std::string& id) {
  return all_but({"run-" + id + "\\.wandb(\\.synced)?", "files/run\\.yaml"});
}

int exit_code_of(const RunRecord& run) {
  const std::string reason = run.processes.empty() ? "" : run.processes.back().reason;
  return reason == "done" || reason == "requested" ? 0 : 1;
}

void write_run_file(const fs::path& folder, const std::string& yaml, formats::WandbFile& file) {
  create_folders(folder / "files");
  if (yaml.empty()) return;
  write_file_atomically(folder / "files" / kRunFile, yaml);
  file.file(kRunFile);
}

}  // namespace

Exported export_wandb(const fs::path& folder, const fs::path& out, const WandbOptions& options) {
  const EventIndex index = events_to_export(folder);
  Exported exported{.remarks = remarks_on(index)};
  RunRecord run{.folder = folder, .name = fs::weakly_canonical(folder).filename().string()};
  read_telemetry(run);
  exported.remarks.insert(exported.remarks.end(), run.remarks.begin(), run.remarks.end());
  if (run.processes.empty()) exported.remarks.push_back(kNoTimes);
  const std::string yaml = text_of(folder / kRunFile), id = id_of(run, yaml, index.first);
  const double begin = run.processes.empty() ? 0 : run.processes.front().begin;
  const fs::path target = out / fmt::format("offline-run-{}-{}", compact_time(begin), id);
  const fs::path name = "run-" + id + ".wandb";
  create_folders(out);
  require_no_foreign(target, all_but_an_export(id));
  StagedFolder staged(target, all_but_an_export(id));
  formats::WandbFile file(staged.path() / name,
                          {.id = id,
                           .project = options.project,
                           .display_name = run.name,
                           .host = run.processes.empty() ? "" : run.processes.front().host,
                           .begin = begin,
                           .config = options.config});
  write_run_file(staged.path(), yaml, file);
  for (const auto& stage : index.stages) file.axis(stage.name + "/", stage.name + "/step");
  History history(run, begin, file);
  for (const auto& stage : index.stages) history.add(index, stage);
  file.summary(history.summary());
  file.exit(exit_code_of(run), std::llround(history.seconds()));
  staged.commit();
  exported.files = {target / name};
  return exported;
}

}  // namespace pixart::report

// What a run folder says about its run. Nothing in it is trusted: what is missing, cut off or of another form
// becomes a remark, and the rest is used.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pixart::report {

struct Point {
  double x = 0, y = 0;  // y that is not finite: the value was not finite, a gap of the curve
};
using Series = std::vector<Point>;  // by rising x

struct SampleGrid {
  int64_t step = 0;
  std::filesystem::path file;
};

struct WeightFile {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256 = {};  // of the file, where it was asked for
};

struct CheckpointRecord {
  int64_t step = 0;
  std::string folder = {};   // relative to the run folder
  std::string sha256 = {};   // that manifest.json gives of itself; it covers every tensor
  std::string problem = {};  // why the rest is missing
  std::vector<WeightFile> files = {};
  std::map<std::string, std::string> metadata = {};  // of the weights: producer, licence, parents
};

struct StageRecord {
  std::string name;
  double last_step = 0;                             // of any line
  std::map<std::string, Series> metrics = {};       // events.jsonl, by key, over the steps
  std::map<std::string, Series> machine = {};       // telemetry.jsonl's intervals, by key, over the steps
  std::map<std::string, double> facts = {};         // telemetry's line "stage": parameters, batch_size, ...
  std::vector<SampleGrid> samples = {};             // by rising step
  std::optional<CheckpointRecord> checkpoint = {};  // the newest
};

// From one line "start" of telemetry.jsonl to the next. Times are seconds since 1970.
struct ProcessRecord {
  double begin = 0, end = 0;  // end: its last line
  std::string host = {}, device = {}, version = {}, torch = {};
  int64_t ranks = 1, devices = 1, threads = 0;
  std::string reason = {}, message = {};  // of its "stop"; empty: it was killed, or runs
  double training_seconds = 0;            // sum of its intervals
  std::optional<double> energy_joules = {};
};

struct TelemetryEvent {
  double time = 0;
  size_t process = 0;  // index
  std::string kind, stage;
  int64_t step = -1;  // -1: not given
};

struct SourceRecord {
  std::string name;
  std::map<std::string, int64_t> rejected = {};         // by reason
  std::vector<std::vector<std::string>> examples = {};  // key, reason, detail of the first
  int64_t num_rejected() const;
};

struct FeatureRecord {
  std::string folder, kind, source;
  int64_t rows = 0, rejected = 0;
  uint64_t bytes = 0;
  std::vector<std::pair<std::string, std::string>> inputs = {};
};

struct RunRecord {
  std::filesystem::path folder;
  std::string name;
  std::string yaml = {};                      // run.yaml, as it stands
  std::vector<StageRecord> stages = {};       // in the order in which they ran
  std::vector<ProcessRecord> processes = {};  // in the order in which they ran
  std::vector<TelemetryEvent> events = {};
  std::vector<SourceRecord> sources = {};
  std::vector<FeatureRecord> features = {};
  std::map<std::string, double> scores = {};  // score.json, "stage2.all"
  std::string owner = {};                     // who works in the folder at this moment
  std::vector<std::string> remarks = {};      // sentences
};

struct ReadOptions {
  std::vector<std::string> stages = {};  // names in order; others come behind
  std::filesystem::path features = {};   // folder of feature sets; empty: in the run folder
  bool hash_weights = false;             // reads the newest weights of each stage whole
};

// Throws UserError if `folder` is no folder.
RunRecord read_run(const std::filesystem::path& folder, const ReadOptions& options = {});

// "finished", "stopped on request at step 200 of stage text", "in progress: ..." or what else can be said.
// `steps`: planned steps of each stage, where they are known.
std::string state_of(const RunRecord& run, const std::map<std::string, int64_t>& steps);

}  // namespace pixart::report

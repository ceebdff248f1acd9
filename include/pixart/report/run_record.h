// The contents of a run folder. None of it is trusted: a part that is missing, cut off or of another form
// becomes a remark, and the rest is used.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pixart/report/study_scores.h"

namespace pixart::report {

struct Point {
  double x = 0, y = 0;  // y that is not finite: a gap of the curve, because the value was not finite
};
using Series = std::vector<Point>;  // ordered by x

struct SampleGrid {
  int64_t step = 0;
  std::filesystem::path file;
};

struct WeightFile {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256 = {};  // of the file, if requested
};

struct CheckpointRecord {
  int64_t step = 0;
  std::string folder = {};   // relative to the run folder
  std::string sha256 = {};   // the hash in manifest.json, which covers every tensor
  std::string problem = {};  // why the rest is missing
  std::vector<WeightFile> files = {};
  std::map<std::string, std::string> metadata = {};  // metadata of the weights: producer, licence, parents
};

struct StageRecord {
  std::string name;
  double last_step = 0;                             // last step of any line
  std::map<std::string, Series> metrics = {};       // events.jsonl, by key, over the steps
  std::map<std::string, Series> machine = {};       // telemetry.jsonl's intervals, by key, over the steps
  std::map<std::string, double> facts = {};         // telemetry's line "stage": parameters, batch_size, ...
  std::vector<SampleGrid> samples = {};             // ordered by step
  std::optional<CheckpointRecord> checkpoint = {};  // the newest checkpoint
};

// The time from one line "start" of telemetry.jsonl to the next. Times are seconds since 1970.
struct ProcessRecord {
  double begin = 0, end = 0;  // end: the time of its last line
  std::string host = {}, device = {}, version = {}, torch = {};
  int64_t ranks = 1, devices = 1, threads = 0, pid = 0;
  std::string reason = {}, message = {};  // of its "stop"; empty: it was killed, or is running
  double training_seconds = 0;            // sum over its intervals
  std::optional<double> energy_joules = {};
};

struct TelemetryEvent {
  double time = 0;
  size_t process = 0;  // index of the process
  std::string kind, stage;
  int64_t step = -1;  // -1: not given
};

struct SourceRecord {
  std::string name;
  std::map<std::string, int64_t> rejected = {};         // counts by reason
  std::vector<std::vector<std::string>> examples = {};  // key, reason, detail of the first rejections
  int64_t num_rejected() const;
};

struct FeatureRecord {
  std::string folder, kind, source;
  int64_t rows = 0, rejected = 0;
  uint64_t bytes = 0;
  std::vector<std::pair<std::string, std::string>> inputs = {};
};

// A card of `pixart score` in the run folder.
struct ScoreCard {
  std::string file;                                         // relative to the run folder
  std::string stage = {};                                   // "": not known
  int64_t step = -1;                                        // -1: not known
  std::vector<std::pair<std::string, double>> values = {};  // by name, in their order
  // What the values depend on, by path ("reference/sha256"), as text. `settings` is of single metrics:
  // "kid/seed".
  std::map<std::string, std::string> protocol = {}, settings = {};
};

// The card in `text`, its values and its protocol; nothing if it is not a card.
std::optional<ScoreCard> parse_score_card(const std::string& text);

// The names of what differs in the protocols of two cards; of settings only those of metrics that both have.
std::vector<std::string> protocol_differences(const ScoreCard& a, const ScoreCard& b);

// The summary that `pixart judge` wrote: what a vision-language model answered about a set of images.
struct JudgeSummary {
  struct Value {
    std::string name;
    double percent = 0;
    std::optional<double> margin = {};  // half of the 95 % interval
  };
  std::string file = {}, name = {};  // its path in the run folder; of the protocol and the model
  std::vector<Value> values = {};
  int64_t images = 0, questions = 0, unanswered = 0;
  std::map<std::string, std::string> protocol = {};  // as text, without the images themselves
};

// The summary in `text`; nothing if it is not one.
std::optional<JudgeSummary> parse_judge_summary(const std::string& text);

struct RunRecord {
  std::filesystem::path folder;
  std::string name;
  std::string yaml = {};                      // the text of run.yaml
  std::vector<StageRecord> stages = {};       // in the order in which they ran
  std::vector<ProcessRecord> processes = {};  // in the order in which they ran
  std::vector<TelemetryEvent> events = {};
  std::vector<SourceRecord> sources = {};
  std::vector<FeatureRecord> features = {};
  std::map<std::string, double> scores = {};  // score.json, "stage2.all"
  std::vector<ScoreCard> cards = {};          // below metrics/ and scores/
  std::vector<StudyScores> studies = {};      // below scores/
  std::vector<JudgeSummary> judgements = {};  // below scores/
  std::string owner = {};                     // the process that works in the folder now
  std::vector<std::string> remarks = {};      // sentences
};

struct ReadOptions {
  std::vector<std::string> stages = {};  // names in order; other stages follow
  std::filesystem::path features = {};   // folder of feature sets; empty: the one in the run folder
  bool hash_weights = false;             // reads the newest weights of each stage completely
  bool curves = true;                    // false: events.jsonl and telemetry.jsonl are not read
};

// Throws UserError if `folder` is not a folder, or has nothing of a run: neither run.yaml, events.jsonl or
// telemetry.jsonl nor checkpoints.
void require_run_folder(const std::filesystem::path& folder);

// Throws UserError if `folder` is not a folder.
RunRecord read_run(const std::filesystem::path& folder, const ReadOptions& options = {});

// "finished", "stopped on request at step 200 of stage text", "in progress: ..." or another state. `steps`:
// planned steps of each stage, if known.
std::string state_of(const RunRecord& run, const std::map<std::string, int64_t>& steps);

}  // namespace pixart::report

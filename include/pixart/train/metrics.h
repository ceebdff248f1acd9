// Where numbers go: one JSON object a line in events.jsonl (what training computed) and telemetry.jsonl (what
// the machine did), and all of it to TensorBoard.
#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "pixart/train/telemetry.h"

namespace pixart::train {

// The last steps of a stage that have a line of any kind, and one of validation; -1: none.
struct StageLines {
  int64_t last_step = -1, last_validation = -1;
};

// For one thread of one process of the run. TensorBoard has a run for each stage, `tensorboard`/<stage>; what
// cannot be written there is missing there, with a warning, while an error in the other two ends the run with
// UserError(kStorage).
class MetricSink {
 public:
  // An empty path: not written. Files that are there are continued.
  explicit MetricSink(std::filesystem::path events, const std::filesystem::path& telemetry = {},
                      const std::filesystem::path& tensorboard = {});
  ~MetricSink();

  // {"stage": "text", "step": 20, "loss": 0.31, ...}; a line per call, flushed. To TensorBoard as train/loss,
  // a name that begins with validation_ as validation/..., with step as its step.
  void write(const std::string& stage, int64_t step, const std::map<std::string, double>& values);

  // A line of telemetry.jsonl, flushed. To TensorBoard the numbers of "interval" as machine/..., those of
  // other kinds as machine/save_seconds and so on; "stage" and "stop" as text.
  void report(const TelemetryLine& line);

  // A PNG file inside the run folder: a line of kind "samples", and the picture to TensorBoard.
  void image(const std::string& stage, int64_t step, const std::string& tag,
             const std::filesystem::path& file);

  // Markdown, to TensorBoard only.
  void text(const std::string& stage, int64_t step, const std::string& tag, const std::string& markdown);

  void sync();  // what was written survives a power cut

  StageLines lines_of(const std::string& stage) const;  // in events.jsonl

  // Forgets what events.jsonl and TensorBoard hold of `stage` after `step`: a resumed run writes it again.
  // Telemetry stays.
  void rewind(const std::string& stage, int64_t step);

 private:
  std::filesystem::path events_;
  std::ofstream stream_;
  std::filesystem::path telemetry_;
  std::ofstream telemetry_stream_;
  std::unique_ptr<class TensorBoardFolder> tensorboard_;
};

}  // namespace pixart::train

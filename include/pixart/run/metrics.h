// Writes all metrics: events.jsonl (values that training computed) and telemetry.jsonl (what the machine did)
// with one JSON object per line, and both to TensorBoard.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "pixart/run/telemetry.h"

namespace pixart::run {

// In every line of scores of drawn images: their number.
inline constexpr const char* kMetricImages = "metric_images";

// The last step of a stage with a line of any kind, with a line of validation, and with one of scores; -1: none.
struct StageLines {
  int64_t last_step = -1, last_validation = -1, last_metrics = -1;
};

StageLines lines_of(const std::filesystem::path& events, const std::string& stage);

// One thread of one process of the run may use it. TensorBoard has a run for each stage,
// `tensorboard`/<stage>. What cannot be written at the moment, for example because the disk is full, waits in
// memory and is written later, with one warning. Of telemetry and TensorBoard the oldest parts are dropped when
// too much waits; of events.jsonl nothing is dropped.
class MetricSink {
 public:
  // A file with an empty path is not written. Existing files are continued. Throws UserError(kStorage) if
  // events.jsonl cannot be opened.
  explicit MetricSink(std::filesystem::path events, const std::filesystem::path& telemetry = {},
                      const std::filesystem::path& tensorboard = {});
  ~MetricSink();

  // Writes the line {"stage": "text", "step": 20, "loss": 0.31, ...}. TensorBoard gets
  // train/loss, or validation/... for names that begin with validation_, and metrics/... for those with metric_,
  // at this step.
  void write(const std::string& stage, int64_t step, const std::map<std::string, double>& values);

  // Writes a line of telemetry.jsonl and flushes. TensorBoard gets the values of "interval" as machine/...,
  // those of other kinds as machine/save_seconds and so on, and "stage" and "stop" as text.
  void report(const TelemetryLine& line);

  // Reports a PNG file in the run folder: a line of kind "samples", and the image in TensorBoard.
  void image(const std::string& stage, int64_t step, const std::string& tag,
             const std::filesystem::path& file);

  // Writes Markdown to TensorBoard only.
  void text(const std::string& stage, int64_t step, const std::string& tag, const std::string& markdown);

  // Makes all lines so far durable: they survive a power cut. Returns "", or why that failed for events.jsonl;
  // then a checkpoint of these steps must not be kept. Throws UserError(kStorage) if events.jsonl was removed
  // or replaced.
  std::string sync();

  // More of events.jsonl waits than $PIXART_EVENT_BYTES (16 MiB): the run should save and end.
  bool is_full() const;

  StageLines lines_of(const std::string& stage) const;  // in events.jsonl

  // Removes the lines of `stage` after `step` from events.jsonl and TensorBoard: a resumed run writes them
  // again. Telemetry stays.
  void rewind(const std::string& stage, int64_t step);

 private:
  std::unique_ptr<class LineFile> events_, telemetry_;
  std::unique_ptr<class TensorBoardFolder> tensorboard_;
};

}  // namespace pixart::run

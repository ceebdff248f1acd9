// What the machine did: the lines of telemetry.jsonl. They differ from run to run and are never taken back,
// unlike events.jsonl, which tells what training computed.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace pixart::train {

using TelemetryValue = std::variant<int64_t, double, std::string>;

// {"time": now, "kind": ..., "stage": ..., "step": ..., values in their order}. MetricSink::report() writes
// it.
struct TelemetryLine {
  std::string kind;
  std::string stage = {};            // "": not of one stage
  std::optional<int64_t> step = {};  // steps done
  std::vector<std::pair<std::string, TelemetryValue>> values = {};
};

// "start": a process took the run up. Host, process and version of ours are added.
struct ProcessFacts {
  int64_t processes = 1;    // ranks
  std::string device = {};  // in words
  int64_t devices = 1;      // of all ranks
  int64_t threads = 0;
  std::string torch = {};  // its version
};
TelemetryLine start_line(const ProcessFacts& facts);

// "stage": a stage begins or continues.
struct StageFacts {
  int64_t parameters = 0;          // of the model, without adapters
  int64_t trained_parameters = 0;  // with lora those of the adapters
  int64_t tokens_per_sample = 0;   // of the picture
  double flops_per_sample = 0;     // of a training step, as train/flops.h counts; 0: not known
  int64_t batch_size = 0;          // global
};
TelemetryLine stage_line(const std::string& stage, int64_t step, const StageFacts& facts);

TelemetryLine save_line(const std::string& stage, int64_t step, double seconds, int64_t bytes);
TelemetryLine validation_line(const std::string& stage, int64_t step, double seconds);

// "stop": `reason` is requested, error or done; where it was: no stage, or no step, if none had begun.
TelemetryLine stop_line(const std::string& stage, std::optional<int64_t> step, const std::string& reason,
                        const std::string& message);

// What devices hold, draw and have drawn; of one rank, or of all together.
struct DeviceReading {
  uint64_t memory_bytes = 0;  // peak of one device's tensors; of the process on a CPU
  std::optional<double> power_watts = {}, energy_joules = {};  // sums; energy since the processes began
};
DeviceReading together(const DeviceReading& a, const DeviceReading& b);

struct MeasuredStep {
  double seconds = 0;
  int64_t samples = 0;  // of all ranks
  int64_t tokens = 0;   // of their pictures
  bool clipped = false;
};

// Collects the steps between two lines of kind "interval".
class IntervalMeter {
 public:
  // `peak_flops`: of all devices together, a second; nothing where it is not known.
  IntervalMeter(StageFacts facts, std::optional<double> peak_flops) : facts_(facts), peak_(peak_flops) {}

  void add(const MeasuredStep& step);

  struct Moment {
    std::string stage = {};
    int64_t step = 0;
    double data_wait_seconds = 0;  // of the interval
    DeviceReading devices = {};
    std::optional<int64_t> quarantined = {};  // samples, so far
  };
  // The line, and a new interval begins. Rates are those of the steps alone, without saving and drawing, and
  // absent where no time went by.
  TelemetryLine take(const Moment& moment);

 private:
  StageFacts facts_;
  std::optional<double> peak_;
  double seconds_ = 0;
  int64_t steps_ = 0, samples_ = 0, tokens_ = 0, clipped_ = 0;
};

}  // namespace pixart::train

// The lines of telemetry.jsonl, which tell what the machine did. They differ from run to run and are never
// removed, unlike those of events.jsonl, which tell what training computed.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace pixart::run {

using TelemetryValue = std::variant<int64_t, double, std::string>;

// MetricSink::report() writes it as {"time": now, "kind": ..., "stage": ..., "step": ..., values in their
// order}.
struct TelemetryLine {
  std::string kind;
  std::string stage = {};            // "": of no stage
  std::optional<int64_t> step = {};  // steps done
  std::vector<std::pair<std::string, TelemetryValue>> values = {};
};

// "start": a process starts or continues the run. The line also has host, process and version of pixart.
struct ProcessFacts {
  int64_t processes = 1;    // ranks
  std::string device = {};  // for people
  int64_t devices = 1;      // of all ranks
  int64_t threads = 0;
  std::string torch = {};  // its version
};
TelemetryLine start_line(const ProcessFacts& facts);

// "stage": a stage begins or continues.
struct StageFacts {
  int64_t parameters = 0;          // of the model, without adapters
  int64_t trained_parameters = 0;  // with lora those of the adapters
  int64_t tokens_per_sample = 0;   // of the image
  double flops_per_sample = 0;     // of training, counted as in plan/flops.h; 0: unknown
  int64_t batch_size = 0;          // global
};
TelemetryLine stage_line(const std::string& stage, int64_t step, const StageFacts& facts);

TelemetryLine save_line(const std::string& stage, int64_t step, double seconds, int64_t bytes);
TelemetryLine validation_line(const std::string& stage, int64_t step, double seconds);
TelemetryLine metrics_line(const std::string& stage, int64_t step, double seconds, int64_t images);

// A bad step was undone: the stage is at the step of a checkpoint again.
struct RollBack {
  int64_t bad_step = 0;    // counted from 0
  std::string fault = {};  // of the step
  int64_t number = 0;      // within the stage, from 1
  int64_t samples = 0;     // that are left out from now on
  double seconds = 0;      // until training can go on
};
TelemetryLine roll_back_line(const std::string& stage, int64_t step, const RollBack& roll_back);

// "stop": `reason` is requested, error or done. `stage` is "" and `step` is empty if none had begun.
TelemetryLine stop_line(const std::string& stage, std::optional<int64_t> step, const std::string& reason,
                        const std::string& message);

// Memory, power and energy of the device of one rank, or of all devices together.
struct DeviceReading {
  uint64_t memory_bytes = 0;  // peak of one device's tensors; on a CPU, of the process
  std::optional<double> power_watts = {}, energy_joules = {};  // sums; energy since the processes began
};
DeviceReading together(const DeviceReading& a, const DeviceReading& b);

// What the samples of a step cost where they have several resolutions.
struct StepWork {
  int64_t tokens = 0;
  double flops = 0;
};

struct MeasuredStep {
  double seconds = 0;
  int64_t samples = 0;               // of all ranks
  int64_t tokens = 0;                // of their images
  std::optional<double> flops = {};  // for all samples; unset: those of the facts for each
  bool clipped = false;
};

// Collects the steps between two lines of kind "interval".
class IntervalMeter {
 public:
  // `peak_flops`: FLOP/s of all devices together; empty if unknown.
  IntervalMeter(StageFacts facts, std::optional<double> peak_flops) : facts_(facts), peak_(peak_flops) {}

  void add(const MeasuredStep& step);

  struct Moment {
    std::string stage = {};
    int64_t step = 0;
    double data_wait_seconds = 0;  // of the interval
    DeviceReading devices = {};
    std::optional<int64_t> quarantined = {};  // samples, so far
  };
  // Returns the line and begins a new interval. Rates count only the time of the steps, without saving and
  // drawing; they are missing if that time is 0.
  TelemetryLine take(const Moment& moment);

 private:
  StageFacts facts_;
  std::optional<double> peak_;
  double seconds_ = 0, flops_ = 0;
  int64_t steps_ = 0, samples_ = 0, tokens_ = 0, clipped_ = 0;
};

}  // namespace pixart::run

// Estimates what a run needs before it starts: memory, time, money, energy. Uses only the run file: data,
// weights and devices may be missing.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pixart/plan/gpus.h"
#include "pixart/plan/memory_plan.h"
#include "pixart/run/run_config.h"

namespace pixart::plan {

struct PlanOptions {
  Gpu gpu;
  int64_t gpus = 1;
  bool shard_optimizer = false;  // divides moments and EMA among the GPUs
  // Share of the peak rate that all executed operations reach together (matrix products, attention and all
  // between them). A measured MFU (of model FLOPs) replaces it: by stage, "" for all others.
  double efficiency = 0.35;
  std::map<std::string, double> mfu = {};
  std::map<std::string, double> images_per_second = {};  // of one GPU, measured; by stage, "" for all others
  std::string measured_from = {};                        // where these come from, for messages
  double price_per_gpu_hour = 0, kg_co2_per_kwh = 0;
  std::optional<int64_t> num_classes = {};
  std::optional<int64_t> caption_tokens = {};  // mean length of a caption; unset: text_encoder.max_tokens
};

struct Consumption {
  double seconds = 0, gpu_days = 0, cost = 0, kwh = 0, kg_co2 = 0;
  void operator+=(const Consumption& other);
};

// The metrics of a stage (stages[].metrics), without the features of their reference, which are made once.
struct MetricsPlan {
  int64_t looks = 0;  // 0: the stage has none
  int64_t images = 0;
  double seconds_each = 0;
  double seconds() const { return double(looks) * seconds_each; }
};

// Images and captions that a stage encodes in its steps (stages[].encode), for one sample on one GPU.
struct EncodingPlan {
  double flops = 0;    // 0: the features are stored
  double seconds = 0;  // 0 with a measured rate, which has it
};

// One of several resolutions of a stage (stages[].resolutions).
struct ResolutionPlan {
  int64_t side = 0;
  double share = 0;  // of the samples, as it is assumed
  int64_t micro_batch = 0, largest_micro_batch = 0;
  double flops = 0;  // of training, for one sample
  double bytes = 0;  // of one rank, in total
  bool fits = false;
  double images_per_second = 0;  // of all GPUs, if all samples had this resolution
};

struct StagePlan {
  std::string name = {}, objective = {}, precision = {};
  int64_t resolution = 0, steps = 0, batch_size = 0;
  int64_t samples_per_gpu = 0, micro_batch = 0;  // per step and GPU; per pass
  int64_t parameters = 0, trained = 0;
  Flops flops = {};                           // for one sample
  MemoryParts memory = {};                    // of one rank, as configured
  double bytes_plain = 0, bytes_sharded = 0;  // without and with optimizer sharding
  int64_t largest_micro_batch = 0;            // that fits, at most samples_per_gpu; 0: none fits
  bool fits = false;
  std::string rate = {};  // the basis of the time, for messages
  double mfu = 0;
  double images_per_second = 0, step_seconds = 0;  // of all GPUs
  EncodingPlan encoding = {};
  MetricsPlan metrics = {};
  Consumption consumption = {};  // of the steps and the metrics
  // Empty: one resolution. Otherwise FLOPs and times above are means over the samples, the memory is that of the
  // resolution that needs most, and micro-batches are those of `resolution`.
  std::vector<ResolutionPlan> resolutions = {};
};

struct RunPlan {
  std::vector<StagePlan> stages;
  Consumption sum;
  std::vector<std::string> assumptions, warnings;  // sentences; one warning for each stage that does not fit
  bool fits = true;
};

RunPlan plan_run(const run::RunConfig& config, const PlanOptions& options);

// The peak memory of one rank, which plan_run() compares with the GPU's memory, less its reserve.
MemoryParts plan_memory(const run::RunConfig& config, const run::StageConfig& stage,
                        const PlanOptions& options);

// Median MFU of each stage in a run's telemetry.jsonl, and of all stages under "". If the run did not know
// its device's peak, the peak of `planned` is used, provided it is the same kind. Throws UserError if nothing
// was measured.
std::map<std::string, double> measured_mfu(const std::filesystem::path& run_folder, const Gpu& planned,
                                           run::Precision precision);

}  // namespace pixart::plan

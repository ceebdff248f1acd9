// What a run needs before it starts: memory, time, money, energy. A function of the run file alone: data,
// weights and devices need not be there.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pixart/train/gpus.h"
#include "pixart/train/memory_plan.h"
#include "pixart/train/run_config.h"

namespace pixart::train {

struct PlanOptions {
  Gpu gpu;
  int64_t gpus = 1;
  bool shard_optimizer = false;  // moments and average divided among the GPUs
  // Share of the peak rate that matrix products, attention and everything between them reach together, of the
  // operations that are executed. A measured MFU (of model FLOPs) takes its place where it is given: by
  // stage,
  // "" for all others.
  double efficiency = 0.35;
  std::map<std::string, double> mfu = {};
  std::map<std::string, double> images_per_second = {};  // of one GPU, measured; by stage, "" for all others
  std::string measured_from = {};                        // where these come from, for people
  double price_per_gpu_hour = 0, kg_co2_per_kwh = 0;
  std::optional<int64_t> num_classes = {};
  std::optional<int64_t> caption_tokens = {};  // mean length of a caption; unset: text_encoder.max_tokens
};

struct Consumption {
  double seconds = 0, gpu_days = 0, cost = 0, kwh = 0, kg_co2 = 0;
  void operator+=(const Consumption& other);
};

struct StagePlan {
  std::string name = {}, objective = {}, precision = {};
  int64_t resolution = 0, steps = 0, batch_size = 0;
  int64_t samples_per_gpu = 0, micro_batch = 0;  // per step and GPU; per pass
  int64_t parameters = 0, trained = 0;
  Flops flops = {};                           // of a sample
  MemoryParts memory = {};                    // of one rank, as configured
  double bytes_plain = 0, bytes_sharded = 0;  // without and with optimizer sharding
  int64_t largest_micro_batch = 0;            // that fits; 0: none; never more than samples_per_gpu
  bool fits = false;
  std::string rate = {};  // what the time rests on, for people
  double mfu = 0;
  double images_per_second = 0, step_seconds = 0;  // of all GPUs
  Consumption consumption = {};
};

struct RunPlan {
  std::vector<StagePlan> stages;
  Consumption sum;
  std::vector<std::string> assumptions, warnings;  // sentences; a stage that does not fit is among the latter
  bool fits = true;
};

RunPlan plan_run(const RunConfig& config, const PlanOptions& options);

// The peak of tensors of one rank in bytes; what plan_run() compares with the GPU, its reserve aside.
MemoryParts plan_memory(const RunConfig& config, const StageConfig& stage, const PlanOptions& options);

// Median MFU of each stage in a run's telemetry.jsonl, and under "" of all of them. Where the run did not
// know its device's peak, that of `planned` counts if it is the same kind. Throws UserError if nothing was
// measured.
std::map<std::string, double> measured_mfu(const std::filesystem::path& run_folder, const Gpu& planned,
                                           bool bfloat16);

}  // namespace pixart::train

#include "pixart/plan/plan.h"

#include <algorithm>
#include <cmath>

#include "metrics_costs.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "stage_costs.h"

namespace pixart::plan {

namespace {

constexpr double kSecondsPerDay = 86400, kSecondsPerHour = 3600;
// Context, kernel modules, cuBLAS workspaces and the allocator's gaps on a GPU.
constexpr double kGpuReserve = 2.5e9;

const double* measured(const std::map<std::string, double>& values, const std::string& stage) {
  auto found = values.find(stage);
  if (found == values.end()) found = values.find("");
  return found == values.end() ? nullptr : &found->second;
}

RankLayout layout_of(const run::StageConfig& stage, const PlanOptions& options) {
  const int64_t samples = (stage.batch_size + options.gpus - 1) / options.gpus;
  return {.micro_batch = stage.micro_batch_size > 0 ? std::min(stage.micro_batch_size, samples) : samples,
          .ranks = options.gpus,
          .shard = options.shard_optimizer || stage.optimizer.shard,
          .is_cpu = options.gpu.is_cpu,
          .reserve = options.gpu.is_cpu ? 0 : kGpuReserve};
}

// The largest micro-batch that fits, by bisection: memory grows with the micro-batch.
int64_t largest_micro_batch(const StageCosts& costs, int64_t most, RankLayout layout, const Gpu& gpu) {
  const auto fits = [&](int64_t micro) {
    layout.micro_batch = micro;
    return memory_of(costs, layout).total() <= gpu.memory_bytes;
  };
  int64_t low = 0, high = most + 1;  // low fits (or is 0), high does not
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

void set_time(StagePlan& stage, const StageCosts& costs, const PlanOptions& options) {
  const double peak = options.gpu.peak(costs.precision);
  double per_gpu = 0;
  if (const double* rate = measured(options.images_per_second, stage.name)) {
    per_gpu = *rate;
    stage.rate = fmt::format("{:.4g} images/s per GPU, {}", per_gpu, options.measured_from);
  } else if (const double* mfu = measured(options.mfu, stage.name)) {
    per_gpu = *mfu * peak / stage.flops.training;
    stage.rate = fmt::format("MFU {:.1f} %, {}", 100 * *mfu, options.measured_from);
  } else {
    stage.encoding.seconds = costs.encoding.seconds(options.gpu, options.efficiency);
    const double trained_only = options.efficiency * peak / stage.flops.executed;
    per_gpu = trained_only / (1 + trained_only * stage.encoding.seconds);
    stage.rate = fmt::format("assumed: {:.0f} % of {:.4g} TFLOP/s", 100 * options.efficiency, peak / 1e12);
  }
  stage.mfu = per_gpu * stage.flops.training / peak;
  // The slowest rank has samples_per_gpu samples; GPUs beyond the batch size have none.
  stage.step_seconds = double(stage.samples_per_gpu) / per_gpu;
  stage.images_per_second = double(stage.batch_size) / stage.step_seconds;
}

// Images are drawn at the rate at which a GPU trains.
void set_metrics(StagePlan& plan, const run::StageConfig& stage, const StageCosts& costs,
                 const PlanOptions& options) {
  std::vector<std::string> said_already;
  const double samples = double(plan.samples_per_gpu),
               gpu_samples = samples / (plan.step_seconds - samples * plan.encoding.seconds);
  plan.metrics = metrics_plan(stage, metrics_costs(stage, costs, said_already),
                              gpu_samples * plan.flops.executed, options);
}

Consumption consumption_of(const StagePlan& stage, const PlanOptions& options) {
  Consumption result;
  result.seconds = double(stage.steps) * stage.step_seconds + stage.metrics.seconds();
  const double gpu_hours = result.seconds / kSecondsPerHour * double(options.gpus);
  result.gpu_days = result.seconds / kSecondsPerDay * double(options.gpus);
  result.cost = gpu_hours * options.price_per_gpu_hour;
  result.kwh = gpu_hours * options.gpu.watts / 1000;
  result.kg_co2 = result.kwh * options.kg_co2_per_kwh;
  return result;
}

std::string bytes_text(double bytes) {
  constexpr double kMost = 1e18;  // fits into 64 bits, and no machine has it
  return human_bytes(uint64_t(std::min(bytes, kMost)));
}

// `place`: "", or the resolution and where its keys are.
std::string does_not_fit(const StagePlan& stage, const PlanOptions& options, const std::string& place) {
  std::string remedy;
  if (stage.largest_micro_batch > 0)
    remedy = fmt::format("set micro_batch_size: {} or less", stage.largest_micro_batch);
  else
    remedy =
        "even one sample does not fit: try optimizer sharding, activation_checkpointing: 1, or a larger GPU";
  return fmt::format(
      "stage {}{} does not fit: it needs {} per GPU with micro-batches of {}, but {} has {}; {}.", stage.name,
      place, bytes_text(stage.memory.total()), stage.micro_batch, options.gpu.name,
      bytes_text(options.gpu.memory_bytes), remedy);
}

// A stage of one resolution.
StagePlan plan_alone(const run::RunConfig& config, const run::StageConfig& stage, const PlanOptions& options,
                     RunPlan& run) {
  const StageCosts costs = stage_costs(config, stage, options, run.assumptions);
  StagePlan plan{.name = stage.name, .objective = stage.objective, .precision = word_of(stage.precision)};
  plan.resolution = stage.resolution;
  plan.steps = stage.steps;
  plan.batch_size = stage.batch_size;
  plan.samples_per_gpu = (stage.batch_size + options.gpus - 1) / options.gpus;
  RankLayout layout = layout_of(stage, options);
  plan.micro_batch = layout.micro_batch;
  plan.parameters = costs.parameters;
  plan.trained = costs.trained;
  plan.flops = costs.flops;
  plan.encoding.flops = costs.encoding.flops();
  plan.memory = memory_of(costs, layout);
  plan.largest_micro_batch = largest_micro_batch(costs, plan.samples_per_gpu, layout, options.gpu);
  layout.shard = false;
  plan.bytes_plain = memory_of(costs, layout).total();
  layout.shard = true;
  plan.bytes_sharded = memory_of(costs, layout).total();
  plan.fits = plan.memory.total() <= options.gpu.memory_bytes;
  set_time(plan, costs, options);
  set_metrics(plan, stage, costs, options);
  plan.consumption = consumption_of(plan, options);
  return plan;
}

void add_warnings(const run::StageConfig& stage, const PlanOptions& options, RunPlan& run) {
  const bool is_bfloat16 = stage.precision == run::Precision::kBFloat16;
  if (stage.batch_size % options.gpus != 0)
    run.warnings.push_back(
        fmt::format("stage {}: batch_size {} is not a multiple of {} GPUs; some GPUs wait for the others.",
                    stage.name, stage.batch_size, options.gpus));
  if (is_bfloat16 && !options.gpu.has_bfloat16)
    run.warnings.push_back(fmt::format("stage {}: {} has no bfloat16; its float16 rate is used for the time.",
                                       stage.name, options.gpu.name));
  if (is_bfloat16 && options.gpu.is_cpu && options.gpu.half < options.gpu.single)
    run.warnings.push_back(
        fmt::format("stage {}: bfloat16 is slower than float32 on this processor, which has neither AMX nor "
                    "AVX512-BF16.",
                    stage.name));
}

// The share of the samples that each resolution has. Which images there are is not known here.
std::vector<double> assumed_shares(const run::StageConfig& stage, RunPlan& run) {
  const bool reads_shares = stage.resolution_rule == data::ResolutionRule::kShare;
  double sum = 0;
  for (const auto& one : stage.resolutions) sum += one.share;
  std::vector<double> shares;
  std::vector<std::string> words;
  for (const auto& one : stage.resolutions) {
    shares.push_back(one.share / sum);
    words.push_back(fmt::format("{:.0f} % have {} pixels", 100 * shares.back(), one.side));
  }
  run.assumptions.push_back(fmt::format(
      "of the samples of stage {} {}{}; the log of the stage says what they have.", stage.name,
      join(words, ", "),
      reads_shares ? ", as if each image filled all resolutions" : ", as many of each resolution"));
  return shares;
}

// Adds the means over the samples to `plan`, that of the stage's own resolution.
void set_means(const std::vector<StagePlan>& alone, const std::vector<double>& shares,
               const PlanOptions& options, StagePlan& plan) {
  plan.flops = {}, plan.encoding = {};
  plan.step_seconds = 0;
  double mfu_seconds = 0;
  for (size_t i = 0; i < alone.size(); ++i) {
    const StagePlan& one = alone[i];
    plan.flops.forward += shares[i] * one.flops.forward;
    plan.flops.training += shares[i] * one.flops.training;
    plan.flops.executed += shares[i] * one.flops.executed;
    plan.encoding.flops += shares[i] * one.encoding.flops;
    plan.encoding.seconds += shares[i] * one.encoding.seconds;
    plan.step_seconds += shares[i] * one.step_seconds;
    mfu_seconds += shares[i] * one.step_seconds * one.mfu;
    if (one.memory.total() > plan.memory.total()) plan.memory = one.memory;
    plan.bytes_plain = std::max(plan.bytes_plain, one.bytes_plain);
    plan.bytes_sharded = std::max(plan.bytes_sharded, one.bytes_sharded);
    plan.fits = plan.fits && one.fits;
  }
  plan.mfu = mfu_seconds / plan.step_seconds;
  plan.images_per_second = double(plan.batch_size) / plan.step_seconds;
  plan.consumption = consumption_of(plan, options);
}

// A step has mostly one resolution, so its time is that of the resolution; the plan has the mean.
StagePlan plan_resolutions(const run::RunConfig& config, const run::StageConfig& stage,
                           const PlanOptions& options, RunPlan& run) {
  std::vector<StagePlan> alone;
  for (const auto& one : stage.at_each_resolution()) alone.push_back(plan_alone(config, one, options, run));
  const auto shares = assumed_shares(stage, run);
  StagePlan plan;
  for (const auto& one : alone)
    if (one.resolution == stage.resolution) plan = one;
  for (size_t i = 0; i < alone.size(); ++i) {
    const StagePlan& one = alone[i];
    plan.resolutions.push_back({.side = one.resolution,
                                .share = shares[i],
                                .micro_batch = one.micro_batch,
                                .largest_micro_batch = one.largest_micro_batch,
                                .flops = one.flops.training,
                                .bytes = one.memory.total(),
                                .fits = one.fits,
                                .images_per_second = one.images_per_second});
    if (!one.fits)
      run.warnings.push_back(
          does_not_fit(one, options, fmt::format(" at {} pixels (resolutions)", one.resolution)));
  }
  set_means(alone, shares, options, plan);
  return plan;
}

StagePlan plan_stage(const run::RunConfig& config, const run::StageConfig& stage, const PlanOptions& options,
                     RunPlan& run) {
  const bool is_alone = stage.resolutions.empty();
  StagePlan plan =
      is_alone ? plan_alone(config, stage, options, run) : plan_resolutions(config, stage, options, run);
  if (is_alone && !plan.fits) run.warnings.push_back(does_not_fit(plan, options, ""));
  add_warnings(stage, options, run);
  return plan;
}

}  // namespace

void Consumption::operator+=(const Consumption& other) {
  seconds += other.seconds;
  gpu_days += other.gpu_days;
  cost += other.cost;
  kwh += other.kwh;
  kg_co2 += other.kg_co2;
}

RunPlan plan_run(const run::RunConfig& config, const PlanOptions& options) {
  PIXART_CHECK(options.gpus > 0 && options.efficiency > 0, "{} GPUs, efficiency {}", options.gpus,
               options.efficiency);
  RunPlan plan;
  for (const auto& stage : config.stages) {
    plan.stages.push_back(plan_stage(config, stage, options, plan));
    plan.sum += plan.stages.back().consumption;
    plan.fits = plan.fits && plan.stages.back().fits;
  }
  return plan;
}

MemoryParts plan_memory(const run::RunConfig& config, const run::StageConfig& stage,
                        const PlanOptions& options) {
  std::vector<std::string> assumptions;
  MemoryParts most;
  for (const auto& one : stage.at_each_resolution()) {
    const MemoryParts parts =
        memory_of(stage_costs(config, one, options, assumptions), layout_of(one, options));
    if (parts.total() > most.total()) most = parts;
  }
  return most;
}

}  // namespace pixart::plan

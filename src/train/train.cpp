#include "pixart/train/train.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <unordered_set>

#include "inputs.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/names.h"
#include "pixart/base/own_kernels.h"
#include "pixart/base/random.h"
#include "pixart/base/words.h"
#include "pixart/distributed/agreement.h"
#include "pixart/nn/device.h"
#include "pixart/nn/kernel_problem.h"
#include "pixart/optim/adamw.h"
#include "pixart/run/checkpoint_folder.h"
#include "pixart/run/metrics.h"
#include "pixart/run/run_lock.h"
#include "pixart/run/stopped.h"
#include "stage_model.h"
#include "stage_run.h"

namespace pixart::train {
namespace fs = std::filesystem;

namespace {

void check_options(const run::RunConfig& config, const TrainOptions& options) {
  if (!options.only_stage.empty()) config.stage(options.only_stage);
  for (const auto& name : options.restart_stages) {
    config.stage(name);
    if (!options.only_stage.empty() && name != options.only_stage)
      throw UserError(fmt::format("--restart-stage {} has no effect with --stage {}: remove one of them.",
                                  name, options.only_stage));
  }
}

bool is_finished(const features::RunContext& run, const run::StageConfig& stage,
                 const run::MetricSink& metrics) {
  const auto listed = run::list_checkpoints(run.folder.checkpoints(stage.name));
  if (listed.empty() || listed.back().step < stage.steps) return false;  // nothing need be hashed
  const auto checkpoint = run::newest_good_checkpoint(run.folder.checkpoints(stage.name));
  const bool exported =
      (!stage.info().trains_autoencoder() || fs::exists(run.folder.autoencoder() / "config.json")) &&
      (stage.lora.rank == 0 || fs::exists(run.folder.lora(stage.name)));
  return checkpoint && checkpoint->step == stage.steps && exported &&
         !missing_looks(run.folder, stage, stage.steps, metrics).any();
}

// Rank 0 decides for all ranks.
bool all_finished(const features::RunContext& run, const run::StageConfig& stage,
                  const run::MetricSink* metrics) {
  bool finished = false;
  distributed::on_first_rank(run.ranks, "looking for checkpoints of stage " + stage.name,
                             [&] { finished = is_finished(run, stage, *metrics); });
  return distributed::any_rank(run.ranks, finished, "looking for checkpoints of stage " + stage.name);
}

void open_log(const run::RunFolder& folder, int rank) {
  create_folders(folder.log(rank).parent_path());
  log::add_file(folder.log(rank));
  if (rank != 0) log::set_terminal_level(log::Level::kWarning);
}

run::ProcessFacts facts_of(const distributed::Launch& launch, const at::Device& device,
                           const std::string& name) {
  return {.processes = launch.world_size,
          .device = !name.empty()     ? name
                    : device.is_cpu() ? "CPU"
                                      : device.str(),
          .devices = launch.world_size,
          .threads = at::get_num_threads(),
          .torch = TORCH_VERSION};
}

void say_ranks(const distributed::Launch& launch, const at::Device& device) {
  if (launch.world_size == 1) return;
  log::info("rank {} of {} ({}), process {} on {}, device {}", launch.rank, launch.world_size, launch.how,
            process_id(), host_name(), device.str());
}

// Sets `step` to the stage's step, also if the stage ends with an error.
void run_stage(features::RunContext& run, const run::StageConfig& stage, const RunTools& tools,
               std::optional<int64_t>& step) {
  StageRun stage_run(run, stage, tools);
  try {
    stage_run.execute();
  } catch (...) {
    step = stage_run.step();
    throw;
  }
  step = stage_run.step();
}

// Rank 0 reads the run folder, so that all ranks have the same order.
int64_t agree_on_sample_order(distributed::Communicator& ranks, const run::RunFolder& folder,
                              const run::RunConfig& config) {
  constexpr const char* kPhase = "reading the order of samples";
  int64_t order = 0;
  distributed::on_first_rank(ranks, kPhase, [&] { order = run::sample_order_of(folder, config); });
  return distributed::sum_over_ranks(ranks, order, kPhase);
}

// Several ranks and bfloat16 are for GPUs.
bool needs_gpu(const run::RunConfig& config, int world_size) {
  const auto& stages = config.stages;
  return world_size > 1 || std::any_of(stages.begin(), stages.end(), [](const auto& stage) {
           return stage.precision == run::Precision::kBFloat16;
         });
}

at::Device device_of(const run::RunConfig& config, const distributed::Launch& launch) {
  const at::Device device =
      nn::select_device(config.device, launch.local_rank, needs_gpu(config, launch.world_size));
  use_own_kernels(config.kernels == run::Kernels::kFused);
  if (!own_kernels()) return device;
  if (const std::string& problem = optim::adamw_kernel_problem(device); !problem.empty())
    log::warning("{}: the kernel of AdamW cannot run: {}. LibTorch's is used, which is slower.", device.str(),
                 problem);
  if (const std::string& problem = nn::fused_kernel_problem(device); !problem.empty())
    log::warning(
        "{}: the fused kernels of layers cannot run: {}. LibTorch's operations are used, which are slower.",
        device.str(), problem);
  return device;
}

std::unique_ptr<distributed::Communicator> connect(const distributed::Launch& launch,
                                                   const at::Device& device) {
  auto options = distributed::communicator_options_from_environment();
  options.gpu = nn::gpu_name(device);
  return distributed::make_communicator(launch, device, options);
}

}  // namespace

void check(const run::RunConfig& config, const TrainOptions& options) {
  check_options(config, options);
  const at::Device device = at::kCPU;
  const auto alone = distributed::make_communicator({}, device, {});
  features::RunContext run{
      .config = config, .folder = {config.run}, .device = device, .ranks = *alone, .sources = {}};
  const auto stages = stages_to_train(run.folder, config, options.only_stage);
  const auto moved = compare_config(run, stages, options.allowed_changes);
  open_stages(run, stages);
  compare_contents(run, stages, moved, options.allowed_changes);
  int64_t rows = 0;
  for (const auto& [name, dataset] : run.sources) rows += dataset->size();
  log::info("{} stages are ready to train: {} sources with {} samples were listed", stages.size(),
            run.sources.size(), with_thousands(rows));
}

void train(const run::RunConfig& given, const TrainOptions& options) {
  check_options(given, options);
  run::RunConfig config = given;
  const auto launch = distributed::launch_from_environment();
  // Several ranks agree on a stop later, when they communicate.
  if (launch.world_size == 1 && stop_requested()) throw run::stopped("no work had begun");
  const at::Device device = device_of(config, launch);
  nn::set_num_threads(config.threads, launch.local_world_size);
  nn::keep_freed_memory();
  const auto ranks = connect(launch, device);
  if (config.numerics == run::Numerics::kExact)
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  features::RunContext run{
      .config = config, .folder = {config.run}, .device = device, .ranks = *ranks, .sources = {}};
  std::unique_ptr<run::RunLock> lock;  // on rank 0
  std::unique_ptr<run::MetricSink> metrics;
  std::vector<config::Change> moved;
  distributed::on_first_rank(*ranks, "opening the run folder", [&] {
    lock = std::make_unique<run::RunLock>(run.folder.root);
    const auto stages = stages_to_train(run.folder, config, options.only_stage);
    moved = compare_config(run, stages, options.allowed_changes);
  });
  config.sample_order = agree_on_sample_order(*ranks, run.folder, config);
  const auto stages = stages_to_train(run.folder, config, options.only_stage);
  distributed::all_together(*ranks, "opening data and weights", [&] { open_stages(run, stages); });
  distributed::on_first_rank(*ranks, "comparing data and weights", [&] {
    compare_contents(run, stages, moved, options.allowed_changes);
    run::open_run_folder(run.folder, config);
    metrics = std::make_unique<run::MetricSink>(run.folder.events(), run.folder.telemetry(),
                                                run.folder.tensorboard());
  });
  distributed::all_together(*ranks, "opening the log", [&] { open_log(run.folder, launch.rank); });
  say_ranks(launch, device);
  run::DeviceMeter meter(device);
  if (metrics) metrics->report(run::start_line(facts_of(launch, device, meter.name())));
  std::string current;  // stage
  std::optional<int64_t> step;
  try {
    for (const auto& stage : config.stages) {
      if (!options.only_stage.empty() && stage.name != options.only_stage) continue;
      current = stage.name;
      step.reset();
      if (all_finished(run, stage, metrics.get())) {
        step = stage.steps;
        log::info("stage {}: already finished", stage.name);
        continue;
      }
      run_stage(run, stage,
                {.metrics = metrics.get(),
                 .lock = lock.get(),
                 .device = &meter,
                 .may_restart = contains(options.restart_stages, stage.name),
                 .stop_at_step = options.stop_at_step},
                step);
      log::info("stage {}: finished; images in {}", stage.name, run.folder.samples(stage.name).string());
    }
  } catch (const UserError& error) {
    if (metrics && error.code() != ExitCode::kFolderOwned && error.code() != ExitCode::kStorage)
      metrics->report(run::stop_line(
          current, step, error.code() == ExitCode::kRequeue ? "requested" : "error", error.what()));
    throw;
  }
  if (!metrics) return;
  if (const std::string problem = metrics->sync(); !problem.empty())
    throw UserError(problem + " Free space and start the same command again.", ExitCode::kStorage);
  metrics->report(run::stop_line(current, step, "done", ""));
}

}  // namespace pixart::train

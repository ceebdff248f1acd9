#include "pixart/train/train.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <unordered_set>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/random.h"
#include "pixart/dist/agreement.h"
#include "pixart/nn/device.h"
#include "pixart/train/checkpoint_folder.h"
#include "pixart/train/metrics.h"
#include "pixart/train/run_lock.h"
#include "stage_model.h"
#include "stage_run.h"
#include "stopped.h"

namespace pixart::train {
namespace fs = std::filesystem;

data::Dataset& RunContext::source(const std::string& name) {
  auto& dataset = sources[name];
  if (!dataset) dataset = data::open_dataset(config.source(name));
  return *dataset;
}

StageParts RunContext::parts(const StageConfig& stage) {
  StageParts result;
  int64_t first_row = 0;
  for (const auto& part : stage.parts()) {
    const auto& dataset = source(part.source);
    result.push_back({.source = &config.source(part.source),
                      .dataset = &dataset,
                      .passes = part.passes,
                      .first_row = first_row});
    first_row += dataset.size();
    const bool same = dataset.class_names() == result.front().dataset->class_names();
    if (stage.info().reads_labels && !same)
      throw UserError(
          fmt::format("stage {}: the sources {} and {} have different classes; one model cannot learn both.",
                      stage.name, result.front().source->name, part.source));
  }
  return result;
}

uint64_t RunContext::stage_seed(const StageConfig& stage) const {
  uint64_t hash = 14695981039346656037ull;  // FNV-1a of the name: stages draw different numbers
  for (const char letter : stage.name) hash = (hash ^ uint8_t(letter)) * 1099511628211ull;
  return hash ^ philox({uint64_t(config.seed), 0, Purpose::kInit}, 0)[0];
}

std::vector<std::string> RunContext::all_captions() {
  std::unordered_set<std::string> seen;
  std::vector<std::string> captions;
  for (const auto& stage : config.stages) {
    if (!stage.info().reads_captions) continue;
    for (const auto& part : stage.parts()) {
      const auto& dataset = source(part.source);
      for (int64_t row = 0; row < dataset.size(); ++row)
        for (const auto& caption : dataset.row(row).captions)
          if (seen.insert(caption.text).second) captions.push_back(caption.text);
    }
  }
  return captions;
}

std::unique_ptr<Loader> make_loader(const RunContext& run, const StageConfig& stage, const StageParts& parts,
                                    std::shared_ptr<const data::SampleOrder> order, Loader::Read read) {
  std::vector<std::string> names;
  for (const auto& part : parts) names.push_back(part.source->name);
  return std::make_unique<Loader>(std::move(order),
                                  data::BatchPlan{.batch_size = stage.batch_size,
                                                  .micro_batch_size = stage.micro_batch_size,
                                                  .rank = run.ranks.rank(),
                                                  .world_size = run.ranks.world_size(),
                                                  .one_by_one = run.config.numerics == Numerics::kExact},
                                  run.config.loader, std::move(read), std::move(names));
}

namespace {

bool contains(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

void check_options(const RunConfig& config, const TrainOptions& options) {
  if (!options.only_stage.empty()) config.stage(options.only_stage);
  for (const auto& name : options.restart_stages) {
    config.stage(name);
    if (!options.only_stage.empty() && name != options.only_stage)
      throw UserError(fmt::format("--restart-stage {} has no effect with --stage {}: leave one of them out.",
                                  name, options.only_stage));
  }
}

// Before run.yaml says so.
void check_steps(const RunFolder& folder, const RunConfig& config) {
  Problems problems;
  for (const auto& stage : config.stages) {
    const auto all = list_checkpoints(folder.checkpoints(stage.name));
    if (!all.empty() && all.back().step > stage.steps)
      problems.add(
          fmt::format("stages.{0}.steps is {1}, but stage {0} is at step {2} already: at least {2} is needed",
                      stage.name, stage.steps, all.back().step));
  }
  problems.throw_if_any(folder.root.string());
}

bool is_finished(const RunContext& run, const StageConfig& stage, const MetricSink& metrics) {
  const auto checkpoint = newest_good_checkpoint(run.folder.checkpoints(stage.name));
  const bool exported =
      (!stage.info().trains_autoencoder() || fs::exists(run.folder.autoencoder() / "config.json")) &&
      (stage.lora.rank == 0 || fs::exists(run.folder.lora(stage.name)));
  return checkpoint && checkpoint->step == stage.steps && exported &&
         !missing_looks(run.folder, stage, stage.steps, metrics).any();
}

// Rank 0 looks.
bool all_finished(const RunContext& run, const StageConfig& stage, const MetricSink* metrics) {
  bool finished = false;
  dist::on_first_rank(run.ranks, "looking for checkpoints of stage " + stage.name,
                      [&] { finished = is_finished(run, stage, *metrics); });
  return dist::any_rank(run.ranks, finished, "looking for checkpoints of stage " + stage.name);
}

void open_log(const RunFolder& folder, int rank) {
  create_folders(folder.log(rank).parent_path());
  log::add_file(folder.log(rank));
  if (rank != 0) log::set_terminal_level(log::Level::kWarning);
}

ProcessFacts facts_of(const dist::Launch& launch, const at::Device& device, const std::string& name) {
  return {.processes = launch.world_size,
          .device = !name.empty()     ? name
                    : device.is_cpu() ? "CPU"
                                      : device.str(),
          .devices = launch.world_size,
          .threads = at::get_num_threads(),
          .torch = TORCH_VERSION};
}

void say_ranks(const dist::Launch& launch, const at::Device& device) {
  if (launch.world_size == 1) return;
  log::info("rank {} of {} ({}), process {} on {}, device {}", launch.rank, launch.world_size, launch.how,
            process_id(), host_name(), device.str());
}

// `step`: where the stage is, also when it ends by an error.
void run_stage(RunContext& run, const StageConfig& stage, const RunTools& tools,
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

}  // namespace

void train(const RunConfig& config, const TrainOptions& options) {
  check_options(config, options);
  const auto launch = dist::launch_from_environment();
  // Several ranks agree on it where they meet.
  if (launch.world_size == 1 && stop_requested()) throw stopped("nothing had begun yet");
  const at::Device device = nn::select_device(config.device, launch.local_rank);
  nn::set_num_threads(config.threads, launch.local_world_size);
  nn::keep_freed_memory();
  const auto ranks = dist::make_communicator(launch, device, dist::communicator_options_from_environment());
  if (config.numerics == Numerics::kExact)
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  RunContext run{.config = config, .folder = {config.run}, .device = device, .ranks = *ranks, .sources = {}};
  std::unique_ptr<RunLock> lock;  // rank 0's
  std::unique_ptr<MetricSink> metrics;
  dist::on_first_rank(*ranks, "opening the run folder", [&] {
    lock = std::make_unique<RunLock>(run.folder.root);
    check_steps(run.folder, config);
    open_run_folder(run.folder, config, options.allowed_changes);
    metrics =
        std::make_unique<MetricSink>(run.folder.events(), run.folder.telemetry(), run.folder.tensorboard());
  });
  dist::all_together(*ranks, "opening the log", [&] { open_log(run.folder, launch.rank); });
  say_ranks(launch, device);
  DeviceMeter meter(device);
  if (metrics) metrics->report(start_line(facts_of(launch, device, meter.name())));
  std::string current;  // stage
  std::optional<int64_t> step;
  try {
    for (const auto& stage : config.stages) {
      if (!options.only_stage.empty() && stage.name != options.only_stage) continue;
      current = stage.name;
      step.reset();
      if (all_finished(run, stage, metrics.get())) {
        step = stage.steps;
        log::info("stage {}: finished already", stage.name);
        continue;
      }
      run_stage(run, stage,
                {.metrics = metrics.get(),
                 .lock = lock.get(),
                 .device = &meter,
                 .may_restart = contains(options.restart_stages, stage.name)},
                step);
      log::info("stage {}: finished; pictures in {}", stage.name, run.folder.samples(stage.name).string());
    }
  } catch (const UserError& error) {
    if (metrics && error.code() != ExitCode::kFolderOwned && error.code() != ExitCode::kStorage)
      metrics->report(
          stop_line(current, step, error.code() == ExitCode::kRequeue ? "requested" : "error", error.what()));
    throw;
  }
  if (metrics) metrics->report(stop_line(current, step, "done", ""));
}

}  // namespace pixart::train

#include "stage_run.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "bad_step.h"
#include "drawn_images.h"
#include "initial_weights.h"
#include "pixart/base/deletion.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/distributed/agreement.h"
#include "pixart/features/damaged_features.h"
#include "pixart/plan/gpus.h"
#include "pixart/run/stopped.h"
#include "stage_prompts.h"

namespace pixart::train {
namespace fs = std::filesystem;

namespace {

run::TrainerConfig trainer_config(const run::RunConfig& run, const run::StageConfig& stage,
                                  const StageModel& model) {
  run::TrainerConfig config = stage;
  config.numerics = run.numerics;
  config.rates = model.rates;
  return config;
}

run::CheckpointShares shares(const features::RunContext& run, const run::StageConfig& stage,
                             const run::RunLock* lock) {
  run::CheckpointShares result{
      .rank = run.ranks.rank(),
      .count = stage.optimizer.shard ? run.ranks.world_size() : 1,
      .timeout_seconds = distributed::communicator_options_from_environment().timeout_seconds};
  if (lock != nullptr) result.before_commit = [lock] { lock->check(); };
  return result;
}

int64_t bytes_of(const run::CheckpointContent& content) {
  int64_t bytes = 0;
  for (const auto& file : content.files)
    for (const auto& tensor : file.tensors) bytes += int64_t(tensor.tensor.nbytes());
  return bytes;
}

// FLOP/s of all ranks together, if the peak of the device in this precision is known.
std::optional<double> peak_of(const features::RunContext& run, const run::StageConfig& stage,
                              const std::string& device) {
  const plan::Gpu* gpu = plan::recognize_gpu(device);
  const bool bfloat16 = stage.precision == run::Precision::kBFloat16;
  if (gpu == nullptr || gpu->is_cpu || (bfloat16 && !gpu->has_bfloat16)) return std::nullopt;
  return gpu->peak(stage.precision) * run.ranks.world_size();
}

UserError none_usable(const fs::path& folder, const std::string& stage, const run::CheckpointSearch& search,
                      int64_t trained) {
  std::string message =
      search.damaged.empty()
          ? fmt::format("stage {} was trained to step {} (events.jsonl), but {} has no checkpoint", stage,
                        trained, folder.string())
          : fmt::format("stage {}: none of the {} checkpoints in {} can be used", stage,
                        search.damaged.size(), folder.string());
  for (const auto& damaged : search.damaged) message += "\n  - " + damaged;
  message += fmt::format(
      "\nRestore a good checkpoint, for example from a backup, and start the same command again. To begin "
      "the stage again at step 0, add --restart-stage {}: damaged checkpoints are renamed, not deleted.",
      stage);
  return UserError(message, ExitCode::kStorage);
}

// All ranks make missing features together. If one rank is asked to stop meanwhile, all stop.
StageModel make_ready(features::RunContext& run, const run::StageConfig& stage) {
  store_prompts(run, stage);
  draw_missing_images(run, stage);
  store_metric_prompts(run, stage);
  StageModel model;
  distributed::all_together(run.ranks, "making stage " + stage.name + " ready",
                            [&] { model = make_stage_model(run, stage); });
  run.opened_encoder.reset();  // training needs it only where it encodes captions, and then holds it
  if (model.metrics) model.metrics->prepare(run.ranks);
  return model;
}

}  // namespace

StageRun::StageRun(features::RunContext& run, const run::StageConfig& stage, const RunTools& tools)
    : run_(run),
      stage_(stage),
      metrics_(tools.metrics),
      lock_(tools.lock),
      may_restart_(tools.may_restart),
      stop_at_step_(tools.stop_at_step),
      model_(make_ready(run, stage)),
      tf32_(stage.precision == run::Precision::kTf32, run.device),
      trainer_(trainer_config(run.config, stage, model_), *model_.state, *model_.objective, *model_.loader,
               run.ranks),
      writer_(run.folder.checkpoints(stage.name), stage.checkpoints, stage.checkpoints.on_error,
              shares(run, stage, tools.lock)),
      device_(*tools.device),
      meter_(model_.facts, peak_of(run, stage, device_.name())) {
  if (stage_.precision == run::Precision::kBFloat16 && !stage_.info().trains_autoencoder())
    trainer_.keep_rounded_weights();
  trainer_.on_bad_step([this](const BadStep& bad) {
    write_bad_step(run_.folder.bad_steps(), {stage_.name, run_.stage_seed(stage_), run_.ranks.rank()}, bad,
                   *model_.state);
  });
}

std::string StageRun::phase(const char* what) const {
  return fmt::format("stage {}, step {}: {}", stage_.name, trainer_.step(), what);
}

void StageRun::execute() {
  begin();
  if (is_first())
    progress_ = std::make_unique<Progress>("stage " + stage_.name, stage_.steps, "step", trainer_.step());
  look(missing_);
  double last = monotonic_seconds();
  while (trainer_.step() < stage_.steps) {
    pending_.push_back(trainer_.train_step(is_asked_to_stop()));
    const bool stop = pending_.back().stop_requested;
    writer_.check();
    if (pending_.back().skipped && stage_.bad_steps.roll_back) {
      roll_back(pending_.back());
      if (stop) end_on_request();
      last = monotonic_seconds();
      continue;
    }
    const double now = monotonic_seconds();
    facts_.seconds += now - last;
    interval_seconds_ += now - last;
    measure(now - last);
    const int64_t step = trainer_.step();
    if (progress_) progress_->update(step);
    if (step % stage_.log_every == 0 || step == stage_.steps) show_progress(step);
    if (stage_.power_ema.stores(step, stage_.steps))
      store_power_emas(run_.folder.power_ema(stage_.name), trainer_, *model_.state, facts_);
    if (is_save_step(step)) save();
    if (stop) end_on_request();
    if (step == stage_.steps) finish_save();
    look(planned_looks(stage_, step));
    last = monotonic_seconds();
  }
  distributed::on_first_rank(run_.ranks, phase("what comes after the last step"),
                             [this] { model_.finish(); });
}

// The step that was made last, which took this time.
void StageRun::measure(double seconds) {
  run::MeasuredStep step{.seconds = seconds,
                         .samples = stage_.batch_size,
                         .tokens = stage_.batch_size * model_.facts.tokens_per_sample,
                         .clipped = pending_.back().clipped};
  if (model_.work_of) {
    const run::StepWork work = model_.work_of(pending_.back().step);
    step.tokens = work.tokens, step.flops = work.flops;
  }
  meter_.add(step);
}

void StageRun::begin() {
  if (!load_newest()) {
    start_at_zero();
  } else {
    log::info("stage {}: continues at step {} of {}", stage_.name, trainer_.step(), stage_.steps);
    warn_of_threads();
  }
  restore_excluded();
  renew_facts();
  Looks missing;
  distributed::on_first_rank(run_.ranks, phase("continuing the metrics"), [&] {
    if (metrics_ == nullptr) return;
    metrics_->rewind(stage_.name, trainer_.step());
    metrics_->report(run::stage_line(stage_.name, trainer_.step(), model_.facts));
    missing = missing_looks(run_.folder, stage_, trainer_.step(), *metrics_);
  });
  missing_ = share_looks(missing);
  trainer_.bind_ema(*model_.ema);
}

// The ranks compare what they load with the manifest. Only if that fails are checkpoints read to find a good one;
// and before a stage may begin again, because then nothing of a damaged one may be left in the trainer.
bool StageRun::load_newest() {
  const std::string newest = agree_on_checkpoint(may_restart_);
  if (newest.empty()) return false;
  if (!load(newest)) load_good(agree_on_checkpoint(true));
  return true;
}

// The name of a step folder, or "".
std::string StageRun::agree_on_checkpoint(bool reads_whole) {
  const fs::path folder = run_.folder.checkpoints(stage_.name);
  std::string newest;
  distributed::on_first_rank(run_.ranks, phase("looking for a checkpoint"), [&] {
    create_folders(folder);
    newest =
        choose_checkpoint(reads_whole ? run::find_checkpoint(folder) : run::find_unread_checkpoint(folder));
    run::remove_checkpoint_leftovers(folder);
  });
  return distributed::broadcast_string(run_.ranks, newest, 0, phase("which checkpoint"));
}

// False: it is damaged.
bool StageRun::load(const std::string& checkpoint) {
  const fs::path folder = run_.folder.checkpoints(stage_.name) / checkpoint;
  bool is_damaged = false;
  distributed::all_together(run_.ranks, phase("loading a checkpoint"), [&] {
    try {
      facts_ = load_checkpoint(folder, trainer_, *model_.state, model_.data, model_.inputs);
    } catch (const DamagedCheckpoint& error) {
      is_damaged = true;
      log::warning("{}", error.what());
    }
  });
  saved_step_ = trainer_.step();
  return !distributed::any_rank(run_.ranks, is_damaged, phase("whether the checkpoint is good"));
}

void StageRun::load_good(const std::string& checkpoint) {
  if (load(checkpoint)) return;
  throw UserError(
      fmt::format(
          "checkpoint {} is good when rank 0 reads it as a whole, and differs when it is loaded. Suspect the "
          "disk, the file server or the memory of a machine; start the same command again.",
          (run_.folder.checkpoints(stage_.name) / checkpoint).string()),
      ExitCode::kStorage);
}

void StageRun::renew_facts() {
  facts_.data = model_.data;
  facts_.inputs.insert(model_.inputs.begin(), model_.inputs.end());
  facts_.threads = at::get_num_threads();
  facts_.excluded = model_.excluded->found();
}

// LibTorch divides sums among its threads, and floating-point sums depend on their order.
void StageRun::warn_of_threads() {
  const int64_t now = at::get_num_threads(), before = facts_.threads;
  if (!run_.device.is_cpu() || before == 0 || before == now) return;
  log::warning(
      "stage {}: the checkpoint of step {} was made with threads: {}; this process has {}. The run continues, "
      "but not bit for bit as without the stop; threads: {} would do that.",
      stage_.name, trainer_.step(), before, now, before);
}

// Never begins at step 0 if earlier training may be left in the folder: that decision is the user's.
std::string StageRun::choose_checkpoint(const run::CheckpointSearch& search) {
  const fs::path folder = run_.folder.checkpoints(stage_.name);
  if (search.newest) {
    for (const auto& name : search.unnamed)
      log::warning("{} is not in the checkpoint's manifest.json and is not read",
                   (search.newest->folder / name).string());
    if (may_restart_)
      log::warning(
          "stage {}: --restart-stage has no effect: the checkpoint of step {} is good, and the stage "
          "continues there",
          stage_.name, search.newest->step);
    return search.newest->folder.filename();
  }
  const int64_t trained = metrics_->lines_of(stage_.name).last_step;
  if (search.damaged.empty() && trained < 0) return "";
  if (!may_restart_) throw none_usable(folder, stage_.name, search, trained);
  for (const auto& checkpoint : run::list_checkpoints(folder))
    log::warning("stage {} begins again: renamed {} to {}", stage_.name, checkpoint.folder.string(),
                 run::set_aside(checkpoint.folder).string());
  return "";
}

Looks StageRun::share_looks(Looks looks) {
  const std::string what = phase("what to look at");
  looks.validation = distributed::any_rank(run_.ranks, looks.validation, what);
  looks.images = distributed::any_rank(run_.ranks, looks.images, what);
  looks.metrics = distributed::any_rank(run_.ranks, looks.metrics, what);
  return looks;
}

void StageRun::start_at_zero() {
  distributed::all_together(run_.ranks, phase("initialising"), [this] {
    facts_.metadata = model_.initialize();
    facts_.inputs = initial_hashes(run_, stage_);
  });
  at::Tensor values = trainer_.state().values;
  run_.ranks.broadcast(values, 0, phase("weights of rank 0"));
  trainer_.state().ema.copy_(trainer_.share().values());
  renew_facts();
  save();  // proves that saving works before hours of training
  finish_save();
}

bool StageRun::is_save_step(int64_t step) const {
  return step == stage_.steps || step % stage_.checkpoints.every == 0 || stage_.checkpoints.forever(step);
}

bool StageRun::is_asked_to_stop() const {
  return stop_requested() || trainer_.step() + 1 == stop_at_step_ || metrics_are_full();
}

bool StageRun::metrics_are_full() const { return metrics_ != nullptr && metrics_->is_full(); }

double StageRun::write_metrics() {
  if (lock_ != nullptr) lock_->check();
  double sum = 0;
  for (const auto& result : pending_) {
    sum += result.loss;
    if (metrics_ == nullptr) continue;
    std::map<std::string, double> values = {
        {"loss", result.loss}, {"gradient_norm", result.gradient_norm}, {"lr", result.lr}};
    const auto names = model_.objective->recorded_names();
    for (size_t i = 0; i < names.size(); ++i)
      if (!std::isnan(result.recorded[i])) values[names[i]] = result.recorded[i];
    metrics_->write(stage_.name, result.step + 1, values);
  }
  const double mean = pending_.empty() ? 0 : sum / double(pending_.size());
  pending_.clear();
  return mean;
}

void StageRun::show_progress(int64_t step) {
  const double loss = write_metrics();
  const data::DataWait wait = model_.loader->take_wait();
  const double share = interval_seconds_ > 0 ? wait.seconds / interval_seconds_ : 0;
  warn_of_wait(share, wait);
  report_interval(wait.seconds);
  interval_seconds_ = 0;
  if (progress_) progress_->update(step, fmt::format("loss {:.4f}, {:.0f} % data wait", loss, 100 * share));
}

run::DeviceReading StageRun::read_devices() {
  const double nothing = std::nan("");
  const run::DeviceReading own = device_.read();
  const at::Tensor numbers = at::tensor(
      {double(own.memory_bytes), own.power_watts.value_or(nothing), own.energy_joules.value_or(nothing)},
      at::kDouble);
  at::Tensor all = at::empty({run_.ranks.world_size() * numbers.numel()}, at::kDouble);
  run_.ranks.all_gather(numbers, all, phase("reading devices"));
  const auto optional = [](double number) {
    return std::isnan(number) ? std::nullopt : std::optional(number);
  };
  run::DeviceReading sum;
  for (int64_t rank = 0; rank < run_.ranks.world_size(); ++rank) {
    const double* at = all.const_data_ptr<double>() + rank * numbers.numel();
    const run::DeviceReading one{
        .memory_bytes = uint64_t(at[0]), .power_watts = optional(at[1]), .energy_joules = optional(at[2])};
    sum = rank == 0 ? one : run::together(sum, one);
  }
  return sum;
}

// Times and devices are not written to events.jsonl, which is the same for every run with the same seed.
void StageRun::report_interval(double data_wait_seconds) {
  const run::DeviceReading devices = read_devices();
  if (metrics_ == nullptr) return;
  const int64_t damaged = model_.damaged ? model_.damaged->size() : 0,
                excluded = int64_t(model_.excluded->found().size());
  metrics_->report(meter_.take({.stage = stage_.name,
                                .step = trainer_.step(),
                                .data_wait_seconds = data_wait_seconds,
                                .devices = devices,
                                .quarantined = model_.quarantined + damaged + excluded}));
}

void StageRun::warn_of_wait(double share, const data::DataWait& wait) {
  constexpr double kMuch = 0.1, kLeastSeconds = 5;
  if (share < kMuch || interval_seconds_ < kLeastSeconds || warned_of_wait_) return;
  warned_of_wait_ = true;
  log::warning(
      "stage {}: {:.0f} % of the time is spent waiting for data{}. More loader.threads, a faster disk, or "
      "features extracted beforehand help.",
      stage_.name, 100 * share, slowest_source(wait));
}

std::string StageRun::slowest_source(const data::DataWait& wait) const {
  const auto slowest = std::max_element(wait.read_seconds.begin(), wait.read_seconds.end());
  if (slowest == wait.read_seconds.end()) return {};
  return fmt::format("; the slowest source is {}",
                     model_.loader->part_names()[size_t(slowest - wait.read_seconds.begin())]);
}

void StageRun::save() {
  write_metrics();
  require_finite(trainer_);
  model_.before_save();
  auto content = checkpoint_content(trainer_, *model_.state, facts_);
  if (metrics_ != nullptr) content.refusal = metrics_->sync();  // they hold the steps of the checkpoint
  // If the run continues at this step, an existing image of the step must come from these weights.
  if (is_first() && planned_looks(stage_, trainer_.step()).images)
    delete_file(sample_file(run_.folder, stage_, trainer_.step()));
  write_waiting_images([] {});
  const double begun = monotonic_seconds();
  writer_.start(content);
  saved_step_ = trainer_.step();
  if (metrics_ != nullptr)
    metrics_->report(
        run::save_line(stage_.name, trainer_.step(), monotonic_seconds() - begun, bytes_of(content)));
}

void StageRun::finish_save() {
  distributed::all_together(run_.ranks, phase("saving"), [this] { writer_.finish(); });
}

void StageRun::end_on_request() {
  const bool were_full = distributed::any_rank(run_.ranks, metrics_are_full(), phase("why to stop"));
  if (saved_step_ != trainer_.step()) save();
  finish_save();
  if (were_full)
    throw UserError(fmt::format("{} could not be written for too long. Stage {} was saved at step {}; start "
                                "the same command again when its disk is well.",
                                run_.folder.events().string(), stage_.name, trainer_.step()),
                    ExitCode::kStorage);
  throw run::stopped(fmt::format("stage {} was saved at step {}", stage_.name, trainer_.step()));
}

}  // namespace pixart::train

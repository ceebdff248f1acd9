#include "stage_run.h"

#include <ATen/ATen.h>

#include "bad_step.h"
#include "drawn_images.h"
#include "pixart/base/deletion.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/distributed/agreement.h"
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

bool StageRun::is_save_step(int64_t step) const {
  return step == stage_.steps || step % stage_.checkpoints.every == 0 || stage_.checkpoints.forever(step);
}

bool StageRun::is_asked_to_stop() const {
  return stop_requested() || trainer_.step() + 1 == stop_at_step_ || metrics_are_full();
}

bool StageRun::metrics_are_full() const { return metrics_ != nullptr && metrics_->is_full(); }

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

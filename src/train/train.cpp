#include "pixart/train/train.h"

#include <ATen/ATen.h>

#include <unordered_set>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/progress.h"
#include "pixart/base/random.h"
#include "pixart/base/words.h"
#include "pixart/data/transform.h"
#include "pixart/nn/device.h"
#include "pixart/train/checkpoint.h"
#include "pixart/train/metrics.h"
#include "pixart/train/trainer.h"
#include "stage_model.h"

namespace pixart::train {
namespace fs = std::filesystem;

data::Dataset& RunContext::source(const std::string& name) {
  auto& dataset = sources[name];
  if (!dataset) dataset = data::open_dataset(config.source(name));
  return *dataset;
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
    if (stage.objective != "text_conditional") continue;
    const auto& dataset = source(stage.source);
    for (int64_t row = 0; row < dataset.size(); ++row) {
      const std::string caption = dataset.caption(row);
      if (seen.insert(caption).second) captions.push_back(caption);
    }
  }
  return captions;
}

namespace {

TrainerConfig trainer_config(const RunContext& run, const StageConfig& stage) {
  return {.steps = stage.steps,
          .batch_size = stage.batch_size,
          .micro_batch_size = stage.micro_batch_size,
          .optimizer = stage.optimizer,
          .lr_schedule = stage.lr_schedule,
          .gradient_clip = stage.gradient_clip,
          .ema_decay = stage.ema_decay,
          .ema_warmup = stage.ema_warmup,
          .order_seed = run.stage_seed(stage)};
}

// One stage in progress: trainer, metrics, samples, checkpoints.
class StageRun {
 public:
  StageRun(RunContext& run, const StageConfig& stage, MetricSink& metrics)
      : run_(run),
        stage_(stage),
        metrics_(metrics),
        model_(make_stage_model(run, stage)),
        trainer_(trainer_config(run, stage), *model_.state, *model_.objective) {}

  void execute() {
    begin();
    Progress progress("stage " + stage_.name, stage_.steps, "step", trainer_.step());
    double last = monotonic_seconds();
    while (trainer_.step() < stage_.steps) {
      pending_.push_back(trainer_.train_step());
      const double now = monotonic_seconds();
      seconds_ += now - last;
      last = now;
      const int64_t step = trainer_.step();
      if (step % stage_.log_every == 0 || step == stage_.steps)
        progress.update(step, fmt::format("loss {:.4f}", write_metrics()));
      const bool stop = stop_requested();
      if (!stop && is_sample_step(step)) draw();
      if (stop || is_save_step(step)) save();
      if (stop && step < stage_.steps) {
        throw UserError(
            fmt::format("stopped on request; stage {} was saved at step {}. The same command continues.",
                        stage_.name, step),
            ExitCode::kRequeue);
      }
      last = monotonic_seconds();
    }
    model_.finish();
  }

 private:
  fs::path checkpoints() const { return run_.folder.checkpoints(stage_.name); }

  void begin() {
    create_folders(checkpoints());
    remove_leftovers(checkpoints());
    if (const auto checkpoint = newest_good_checkpoint(checkpoints())) {
      auto loaded = load_checkpoint(checkpoint->folder, trainer_, *model_.state);
      seconds_ = loaded.seconds;
      metadata_ = std::move(loaded.metadata);
      log::info("stage {}: continues at step {} of {}", stage_.name, trainer_.step(), stage_.steps);
    } else {
      metadata_ = model_.initialize();
      trainer_.state().ema.copy_(trainer_.state().values);
      save();  // proves that saving works before hours are spent
    }
    metrics_.rewind(stage_.name, trainer_.step());
    trainer_.bind_average(*model_.average);
  }

  bool is_save_step(int64_t step) const {
    const auto& keep = stage_.checkpoints.keep_steps;
    return step == stage_.steps || step % stage_.checkpoints.every == 0 ||
           std::find(keep.begin(), keep.end(), step) != keep.end();
  }
  bool is_sample_step(int64_t step) const {
    return step == stage_.steps || (stage_.samples.every > 0 && step % stage_.samples.every == 0);
  }

  // Reads the losses of the steps since the last call, in one go, and returns their mean.
  double write_metrics() {
    double sum = 0;
    for (const auto& result : pending_) {
      const double loss = result.loss.item<double>();
      sum += loss;
      metrics_.write(stage_.name, result.step + 1,
                     {{"loss", loss}, {"gradient_norm", result.gradient_norm}, {"lr", result.lr}});
    }
    const double mean = pending_.empty() ? 0 : sum / double(pending_.size());
    pending_.clear();
    return mean;
  }

  void save() {
    write_metrics();
    save_checkpoint(checkpoints(), trainer_, *model_.state, metadata_, seconds_);
    prune_checkpoints(checkpoints(), stage_.checkpoints.keep_last, stage_.checkpoints.keep_steps);
  }

  void draw() {
    const Pictures pictures = model_.draw();
    const fs::path path = run_.folder.samples(stage_.name) / fmt::format("step-{:08d}.png", trainer_.step());
    create_folders(path.parent_path());
    const int scale = std::max<int>(1, int(128 / std::max(1, pictures.images.front().width)));
    formats::save_png(path, data::make_captioned_grid(pictures.images, pictures.captions,
                                                      int(stage_.samples.columns), scale));
  }

  RunContext& run_;
  const StageConfig& stage_;
  MetricSink& metrics_;
  StageModel model_;
  std::map<std::string, std::string> metadata_;  // of the weight files
  Trainer trainer_;
  std::vector<StepResult> pending_;  // not yet written
  double seconds_ = 0;
};

bool is_finished(const RunContext& run, const StageConfig& stage) {
  const auto checkpoint = newest_good_checkpoint(run.folder.checkpoints(stage.name));
  const bool exported =
      stage.objective != "autoencoder" || fs::exists(run.folder.autoencoder() / "config.json");
  return checkpoint && checkpoint->step == stage.steps && exported;
}

}  // namespace

void train(const RunConfig& config, const TrainOptions& options) {
  if (!options.only_stage.empty()) config.stage(options.only_stage);
  const at::Device device = nn::select_device(config.device);
  nn::set_num_threads(config.threads);
  RunContext run{.config = config, .folder = {config.run}, .device = device, .sources = {}};
  const RunLock lock(run.folder);
  open_run_folder(run.folder, config, options.allowed_changes);
  create_folders(run.folder.log().parent_path());
  log::add_file(run.folder.log());
  MetricSink metrics(run.folder.events());
  for (const auto& stage : config.stages) {
    if (!options.only_stage.empty() && stage.name != options.only_stage) continue;
    if (is_finished(run, stage)) {
      log::info("stage {}: finished already", stage.name);
      continue;
    }
    StageRun(run, stage, metrics).execute();
    log::info("stage {}: finished; pictures in {}", stage.name, run.folder.samples(stage.name).string());
  }
}

}  // namespace pixart::train

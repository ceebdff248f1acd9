#include "pixart/train/train.h"

#include <ATen/ATen.h>

#include <algorithm>
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
#include "pixart/train/checkpoint_writer.h"
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
    if (stage.objective == "class_conditional" && !same)
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
    if (stage.objective != "text_conditional") continue;
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
  return std::make_unique<Loader>(
      std::move(order),
      data::BatchPlan{.batch_size = stage.batch_size, .micro_batch_size = stage.micro_batch_size},
      LoaderOptions{.threads = int(run.config.loader.threads), .depth = run.config.loader.depth},
      std::move(read), std::move(names));
}

namespace {

TrainerConfig trainer_config(const StageConfig& stage) {
  return {.steps = stage.steps,
          .batch_size = stage.batch_size,
          .optimizer = stage.optimizer,
          .lr_schedule = stage.lr_schedule,
          .gradient_clip = stage.gradient_clip,
          .ema_decay = stage.ema_decay,
          .ema_warmup = stage.ema_warmup};
}

CheckpointKeeping keeping(const CheckpointConfig& config) {
  return {.last = config.keep_last, .every = config.keep_every, .steps = config.keep_steps};
}

// One stage in progress: trainer, metrics, samples, checkpoints.
class StageRun {
 public:
  StageRun(RunContext& run, const StageConfig& stage, MetricSink& metrics)
      : run_(run),
        stage_(stage),
        metrics_(metrics),
        model_(make_stage_model(run, stage)),
        trainer_(trainer_config(stage), *model_.state, *model_.objective, *model_.loader),
        writer_(run.folder.checkpoints(stage.name), keeping(stage.checkpoints),
                stage.checkpoints.on_error == "stop" ? OnSaveError::kStop : OnSaveError::kContinue) {}

  void execute() {
    begin();
    Progress progress("stage " + stage_.name, stage_.steps, "step", trainer_.step());
    double last = monotonic_seconds();
    while (trainer_.step() < stage_.steps) {
      pending_.push_back(trainer_.train_step());
      writer_.check();
      const double now = monotonic_seconds();
      seconds_ += now - last;
      last = now;
      const int64_t step = trainer_.step();
      if (step % stage_.log_every == 0 || step == stage_.steps)
        progress.update(
            step, fmt::format("loss {:.4f}, {:.0f} % data wait", write_metrics(), 100 * data_wait_share()));
      const bool stop = stop_requested();
      if (!stop && is_sample_step(step)) draw();
      if (stop || is_save_step(step)) save();
      if (stop || step == stage_.steps) writer_.finish();
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
      writer_.finish();
    }
    metrics_.rewind(stage_.name, trainer_.step());
    trainer_.bind_average(*model_.average);
  }

  bool is_save_step(int64_t step) const {
    return step == stage_.steps || step % stage_.checkpoints.every == 0 ||
           keeping(stage_.checkpoints).forever(step);
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

  // The share of time since the last call that the training waited for data. Not a line of events.jsonl,
  // which is the same for every run of the same seed.
  double data_wait_share() {
    const DataWait wait = model_.loader->take_wait();
    const double elapsed = seconds_ - waited_until_;
    waited_until_ = seconds_;
    if (elapsed <= 0) return 0;
    const double share = wait.seconds / elapsed;
    warn_of_wait(share, elapsed, wait);
    return share;
  }

  void warn_of_wait(double share, double elapsed, const DataWait& wait) {
    constexpr double kMuch = 0.1, kLeastSeconds = 5;
    if (share < kMuch || elapsed < kLeastSeconds || warned_of_wait_) return;
    warned_of_wait_ = true;
    log::warning(
        "stage {}: {:.0f} % of the time goes by waiting for data{}. More loader.threads, a faster disk, or "
        "features that are extracted beforehand help.",
        stage_.name, 100 * share, slowest_source(wait));
  }

  std::string slowest_source(const DataWait& wait) const {
    const auto slowest = std::max_element(wait.read_seconds.begin(), wait.read_seconds.end());
    if (slowest == wait.read_seconds.end()) return {};
    return fmt::format("; the slowest source is {}",
                       model_.loader->part_names()[size_t(slowest - wait.read_seconds.begin())]);
  }

  void save() {
    write_metrics();
    writer_.start(checkpoint_content(trainer_, *model_.state, metadata_, seconds_));
  }

  void draw() {
    const Pictures pictures = model_.draw();
    const fs::path path = run_.folder.samples(stage_.name) / fmt::format("step-{:08d}.png", trainer_.step());
    const int scale = std::max<int>(1, int(128 / std::max(1, pictures.images.front().width)));
    try {
      create_folders(path.parent_path());
      formats::save_png(path, data::make_captioned_grid(pictures.images, pictures.captions,
                                                        int(stage_.samples.columns), scale));
    } catch (const UserError& error) {  // as harmless as a checkpoint that was not saved
      if (error.code() != ExitCode::kStorage || stage_.checkpoints.on_error == "stop") throw;
      log::error("the pictures of step {} were not saved: {}", trainer_.step(), error.what());
    }
  }

  RunContext& run_;
  const StageConfig& stage_;
  MetricSink& metrics_;
  StageModel model_;
  std::map<std::string, std::string> metadata_;  // of the weight files
  Trainer trainer_;
  CheckpointWriter writer_;
  std::vector<StepResult> pending_;  // not yet written
  double seconds_ = 0, waited_until_ = 0;
  bool warned_of_wait_ = false;
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

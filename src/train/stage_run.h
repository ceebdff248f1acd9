// Runs one stage: trainer, metrics, sample images, checkpoints.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint.h"
#include "pixart/base/progress.h"
#include "pixart/nn/device.h"
#include "pixart/run/checkpoint_writer.h"
#include "pixart/run/device_meter.h"
#include "pixart/run/metrics.h"
#include "pixart/run/run_lock.h"
#include "pixart/train/trainer.h"
#include "stage_looks.h"
#include "stage_model.h"

namespace pixart::train {

// Shared by the stages of a run.
struct RunTools {
  run::MetricSink* metrics;  // on rank 0; null on others, as the lock
  const run::RunLock* lock;
  run::DeviceMeter* device;  // of this rank
  // Whether the stage begins again if none of its checkpoints can be used. These are then set aside.
  bool may_restart = false;
  int64_t stop_at_step = 0;  // after which the run ends as on a signal; 0: none
};

class StageRun {
 public:
  StageRun(features::RunContext& run, const run::StageConfig& stage, const RunTools& tools);

  // Trains to the last step. Throws UserError(kRequeue) if a rank was asked to stop; then the state is saved.
  void execute();
  int64_t step() const { return trainer_.step(); }  // steps done

 private:
  bool is_first() const { return run_.ranks.rank() == 0; }
  std::string phase(const char* what) const;
  void begin();
  void measure(double seconds);
  bool load_newest();
  std::string agree_on_checkpoint(bool reads_whole);
  std::string choose_checkpoint(const run::CheckpointSearch& search);  // its folder's name, or ""; on rank 0
  bool load(const std::string& checkpoint);       // the name of its folder; false: it is damaged
  void load_good(const std::string& checkpoint);  // one that was read as a whole; throws if it is damaged
  void renew_facts();
  void restore_excluded();  // by roll-backs so far
  void record_excluded();
  void roll_back(const StepResult& bad);  // throws UserError(kNumerics) where that cannot help
  std::string newest_checkpoint(const StepResult& bad, bool reads_whole);
  void start_at_zero();
  void warn_of_threads();          // of another number than that of the checkpoint
  Looks share_looks(Looks looks);  // rank 0's, on all ranks
  bool is_save_step(int64_t step) const;
  bool is_asked_to_stop() const;      // after the next step
  bool metrics_are_full() const;      // on rank 0: too many lines wait for their disk
  double write_metrics();             // of the steps since the last call; returns their mean loss
  run::DeviceReading read_devices();  // of all ranks
  void report_interval(double data_wait_seconds);
  void warn_of_wait(double share, const data::DataWait& wait);
  std::string slowest_source(const data::DataWait& wait) const;
  void show_progress(int64_t step);
  void save();
  void finish_save();
  [[noreturn]] void end_on_request();  // saves first
  void look(const Looks& looks);
  bool validate();  // false: asked to stop meanwhile, so nothing was written
  bool draw();      // false: asked to stop meanwhile
  bool measure();   // the metrics; false: asked to stop meanwhile, so nothing was written
  void save_card(const score::DrawnValues& values, const score::DrawnRows& rows);
  void write_scores(const score::DrawnValues& values, double seconds);
  void save_images(const std::vector<Image>& images, const std::function<void()>& progress);
  void write_waiting_images(const std::function<void()>& progress);

  features::RunContext& run_;
  const run::StageConfig& stage_;
  run::MetricSink* metrics_;
  const run::RunLock* lock_;
  const bool may_restart_;
  const int64_t stop_at_step_;
  StageModel model_;
  const nn::AllowTf32 tf32_;  // not yet while the features are made
  Trainer trainer_;
  run::CheckpointWriter writer_;
  CheckpointFacts facts_;
  int64_t saved_step_ = -1;             // the last one saved or loaded; its save may be in progress
  Looks missing_;                       // of the step at which the run continues
  std::unique_ptr<Progress> progress_;  // on rank 0
  std::vector<StepResult> pending_;     // not yet written
  run::DeviceMeter& device_;
  run::IntervalMeter meter_;
  double interval_seconds_ = 0;  // of training since the last interval
  bool warned_of_wait_ = false;
  std::deque<std::pair<int64_t, Image>> waiting_images_;  // by step; on rank 0
};

}  // namespace pixart::train

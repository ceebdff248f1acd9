// One stage in progress: trainer, metrics, samples, checkpoints.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pixart/base/progress.h"
#include "pixart/train/checkpoint.h"
#include "pixart/train/checkpoint_writer.h"
#include "pixart/train/device_meter.h"
#include "pixart/train/metrics.h"
#include "pixart/train/run_lock.h"
#include "pixart/train/trainer.h"
#include "stage_model.h"

namespace pixart::train {

// What the stages of a run have in common beside their model.
struct RunTools {
  MetricSink* metrics;  // of rank 0, else null, as the lock
  const RunLock* lock;
  DeviceMeter* device;  // of this rank
};

class StageRun {
 public:
  StageRun(RunContext& run, const StageConfig& stage, const RunTools& tools);

  // To the last step. Throws UserError(kRequeue) if a rank was asked to stop; then the state is saved.
  void execute();
  int64_t step() const { return trainer_.step(); }  // steps done

 private:
  bool is_first() const { return run_.ranks.rank() == 0; }
  std::string phase(const char* what) const;
  void begin();
  void start_at_zero();
  bool is_save_step(int64_t step) const;
  bool is_sample_step(int64_t step) const;
  bool is_validation_step(int64_t step) const;
  double write_metrics();        // of the steps since the last call; their mean loss
  DeviceReading read_devices();  // of all ranks
  void report_interval(double data_wait_seconds);
  void warn_of_wait(double share, const DataWait& wait);
  std::string slowest_source(const DataWait& wait) const;
  void show_progress(int64_t step);
  void save();
  void finish_save();
  void validate();
  void draw();
  void save_pictures(const Pictures& pictures);

  RunContext& run_;
  const StageConfig& stage_;
  MetricSink* metrics_;
  const RunLock* lock_;
  StageModel model_;
  Trainer trainer_;
  CheckpointWriter writer_;
  CheckpointFacts facts_;
  std::unique_ptr<Progress> progress_;  // of rank 0
  std::vector<StepResult> pending_;     // not yet written
  DeviceMeter& device_;
  IntervalMeter meter_;
  double interval_seconds_ = 0;  // trained since the last interval
  bool warned_of_wait_ = false;
};

}  // namespace pixart::train

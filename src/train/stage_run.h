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
#include "stage_looks.h"
#include "stage_model.h"

namespace pixart::train {

// What the stages of a run have in common beside their model.
struct RunTools {
  MetricSink* metrics;  // of rank 0, else null, as the lock
  const RunLock* lock;
  DeviceMeter* device;  // of this rank
  // Whether the stage begins again where none of its checkpoints can be used. Those are set aside.
  bool may_restart = false;
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
  std::string choose_checkpoint();  // its folder's name, "" for none; on rank 0
  void start_at_zero();
  Looks share_looks(Looks looks);  // those of rank 0
  bool is_save_step(int64_t step) const;
  double write_metrics();        // of the steps since the last call; their mean loss
  DeviceReading read_devices();  // of all ranks
  void report_interval(double data_wait_seconds);
  void warn_of_wait(double share, const DataWait& wait);
  std::string slowest_source(const DataWait& wait) const;
  void show_progress(int64_t step);
  void save();
  void finish_save();
  [[noreturn]] void end_on_request();  // saves first
  void look(const Looks& looks);
  bool validate();  // false: asked to stop meanwhile, so nothing was written
  bool draw();      // false: asked to stop meanwhile
  void save_pictures(const Pictures& pictures);

  RunContext& run_;
  const StageConfig& stage_;
  MetricSink* metrics_;
  const RunLock* lock_;
  const bool may_restart_;
  StageModel model_;
  Trainer trainer_;
  CheckpointWriter writer_;
  CheckpointFacts facts_;
  int64_t saved_step_ = -1;             // that was saved or loaded last; its save may be under way
  Looks missing_;                       // of the step that it continues at
  std::unique_ptr<Progress> progress_;  // of rank 0
  std::vector<StepResult> pending_;     // not yet written
  DeviceMeter& device_;
  IntervalMeter meter_;
  double interval_seconds_ = 0;  // trained since the last interval
  bool warned_of_wait_ = false;
};

}  // namespace pixart::train

// Checkpoints saved while training goes on: the training waits for a copy into host memory, a thread writes.
#pragma once
#include <future>
#include <optional>
#include <set>

#include "pixart/train/checkpoint_folder.h"

namespace pixart::train {

// One save at a time. A save that fails is an error in the log; check(), start() or finish(), whichever is
// called first, ends the run or not. The checkpoints that were there stay.
class CheckpointWriter {
 public:
  CheckpointWriter(std::filesystem::path stage_folder, CheckpointKeeping keeping, OnSaveError on_error,
                   CheckpointShares shares = {});
  ~CheckpointWriter();  // waits
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Waits for the save before, copies the tensors of `live`, and returns: they may change from here on.
  void start(const CheckpointContent& live);

  // To be called often. Throws UserError(kStorage) if a save failed and `on_error` is kStop.
  void check();

  // Waits, and is otherwise as check().
  void settle();

  // Waits. Throws UserError(kStorage) if the last save failed, whatever `on_error` says.
  void finish();

  std::optional<int64_t> last_durable_step() const { return durable_; }  // of those saved here and awaited

 private:
  std::optional<std::string> wait();  // for the save under way; what went wrong
  void copy_to_host(const CheckpointContent& live);
  void write();

  const std::filesystem::path stage_folder_;
  const CheckpointKeeping keeping_;
  const OnSaveError on_error_;
  const CheckpointShares shares_;
  CheckpointContent host_;  // the writing thread's while `saving_` is valid; its memory is used again
  std::set<int64_t> good_;  // the writing thread's
  std::optional<int64_t> durable_;
  std::string failure_;  // of the last save
  std::future<void> saving_;
};

}  // namespace pixart::train

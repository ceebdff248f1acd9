// Saves checkpoints while training goes on: training waits only for a copy into host memory; a thread writes
// it.
#pragma once
#include <future>
#include <memory>
#include <optional>
#include <set>

#include "pixart/base/error.h"
#include "pixart/run/checkpoint_folder.h"

namespace pixart::run {

class HostCopies;  // src/run/host_copies.h

// Runs one save at a time. A save that fails is logged as an error; the next call of check(), start() or
// finish() may then end the run. Earlier checkpoints stay.
class CheckpointWriter {
 public:
  CheckpointWriter(std::filesystem::path stage_folder, CheckpointKeeping keeping, OnSaveError on_error,
                   CheckpointShares shares = {});
  ~CheckpointWriter();  // waits
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Waits for the previous save, copies the tensors of `live`, and returns: they may change from then on.
  void start(const CheckpointContent& live);

  // Must be called often. Throws UserError (kStorage, or kDevice for a shortage of memory, threads or files)
  // if a save failed and `on_error` is kStop.
  void check();

  // Waits, then does the same as check().
  void settle();

  // Waits. Throws like check() if the last save failed, independent of `on_error`.
  void finish();

  std::optional<int64_t> last_durable_step() const { return durable_; }  // by this object

 private:
  std::optional<std::string> wait();  // for the save in progress; returns its error
  void copy_to_host(const CheckpointContent& live);
  void write();

  const std::filesystem::path stage_folder_;
  const CheckpointKeeping keeping_;
  const OnSaveError on_error_;
  const CheckpointShares shares_;
  std::unique_ptr<HostCopies> from_gpu_;
  CheckpointContent host_;  // belongs to the writing thread while `saving_` is valid; its memory is reused
  std::set<int64_t> good_;  // belongs to the writing thread
  std::optional<int64_t> durable_;
  std::string failure_;  // of the last save
  ExitCode failure_code_ = ExitCode::kStorage;
  std::future<void> saving_;
};

}  // namespace pixart::run

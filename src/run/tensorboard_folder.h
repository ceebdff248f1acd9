// The TensorBoard event files of a run, with one TensorBoard run per stage. They are a copy that may be
// incomplete; an error in them never ends the run.
#pragma once
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "pixart/formats/tensorboard_events.h"

namespace pixart::run {

class TensorBoardFolder {
 public:
  // It may be called long after write() has returned.
  using Work = std::function<void(formats::TensorBoardEvents&)>;

  explicit TensorBoardFolder(std::filesystem::path folder, double retry_seconds = 30)
      : folder_(std::move(folder)), retry_seconds_(retry_seconds) {}

  // Calls work(file) with the stage's file of this process; the first call makes the file. After a storage
  // error the work waits, with one warning, and a new file is tried every `retry_seconds`; of more than 10,000
  // calls the oldest are dropped. Other errors in the data only give warnings.
  void write(const std::string& stage, Work work);
  void sync();

 private:
  struct Stage {
    std::unique_ptr<formats::TensorBoardEvents> file =
        {};  // null: none yet, or the end of the last one is torn
    std::deque<Work> waiting = {};
    int64_t dropped = 0;
    double not_before = 0;  // by monotonic_seconds()
    bool has_failed = false;
  };
  void work_on(const std::string& name, Stage& stage);
  void fail(const std::string& name, Stage& stage, const char* reason);

  const std::filesystem::path folder_;
  const double retry_seconds_;
  std::map<std::string, Stage> stages_;
};

}  // namespace pixart::run

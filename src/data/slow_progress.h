#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "pixart/base/progress.h"

namespace pixart::data {

// A progress bar for work that takes more than some seconds; several threads move it.
class SlowProgress {
 public:
  SlowProgress(std::string what, int64_t total, std::string unit)
      : what_(std::move(what)), unit_(std::move(unit)), total_(total) {}
  void advance(int64_t by = 1) {
    if (by == 0) return;
    constexpr std::chrono::seconds kPatience{3};
    const std::scoped_lock lock(mutex_);
    done_ += by;
    if (!bar_ && done_ < total_ && std::chrono::steady_clock::now() - start_ > kPatience)
      bar_ = std::make_unique<Progress>(what_, total_, unit_, done_);
    if (bar_) bar_->update(done_);
  }

 private:
  std::mutex mutex_;
  std::string what_, unit_;
  int64_t total_, done_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::unique_ptr<Progress> bar_;
};

}  // namespace pixart::data

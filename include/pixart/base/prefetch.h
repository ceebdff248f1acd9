// Work done before its result is needed: several threads, results in order, a bounded number of results.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "pixart/base/env.h"

namespace pixart {

// Results of work(job) for each job that `next_job` returns, until it returns nullopt. One thread at a time
// calls `next_job`, in order; several threads call `work`. The results depend on neither threads nor `depth`.
template <class Job, class Result>
class Prefetch {
 public:
  using NextJob = std::function<std::optional<Job>()>;
  using Work = std::function<Result(const Job&)>;

  // `depth`: the largest number of results that are finished or in work. With 0 threads next() does the work.
  // Throws std::system_error if a thread cannot be started.
  Prefetch(int threads, int64_t depth, NextJob next_job, Work work)
      : depth_(std::max<int64_t>(depth, std::max(threads, 1))),
        next_job_(std::move(next_job)),
        work_(std::move(work)) {
    try {
      for (int t = 0; t < threads; ++t) threads_.emplace_back([this] { loop(); });
    } catch (...) {  // one of them cannot be started
      end();
      throw;
    }
  }
  ~Prefetch() { end(); }
  Prefetch(const Prefetch&) = delete;
  Prefetch& operator=(const Prefetch&) = delete;

  // The next result; nullopt after the last one. Throws the exception that the work of this job threw.
  std::optional<Result> next() {
    const double begun = monotonic_seconds();
    std::shared_ptr<Slot> slot = threads_.empty() ? work_here() : take();
    waited_ += monotonic_seconds() - begun;
    if (!slot) return std::nullopt;
    if (slot->failure) std::rethrow_exception(slot->failure);
    return std::move(slot->result);
  }

  double waited_seconds() const { return waited_; }  // time spent in next() so far

 private:
  struct Slot {
    std::optional<Result> result;
    std::exception_ptr failure;
    bool is_done = false;
  };

  void end() {
    {
      const std::scoped_lock lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_all();
    for (auto& thread : threads_) thread.join();
  }

  void fill(Slot& slot, const Job& job) const {
    try {
      slot.result = work_(job);
    } catch (...) {
      slot.failure = std::current_exception();
    }
  }

  std::shared_ptr<Slot> work_here() {
    const auto job = next_job_();
    if (!job) return nullptr;
    auto slot = std::make_shared<Slot>();
    fill(*slot, *job);
    return slot;
  }

  std::shared_ptr<Slot> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return slots_.empty() ? is_ended_ : slots_.front()->is_done; });
    if (slots_.empty() && failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    if (slots_.empty()) return nullptr;
    auto slot = std::move(slots_.front());
    slots_.pop_front();
    changed_.notify_all();
    return slot;
  }

  void loop() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stopped_ || is_ended_ || int64_t(slots_.size()) < depth_; });
      if (stopped_ || is_ended_) return;
      std::shared_ptr<Slot> slot;
      std::optional<Job> job;
      try {
        if ((job = next_job_())) slots_.push_back(slot = std::make_shared<Slot>());
      } catch (...) {  // next() throws it after the results before it, and ends there
        failure_ = std::current_exception();
        job.reset();
      }
      if (!job) {
        is_ended_ = true;
        changed_.notify_all();
        return;
      }
      lock.unlock();
      fill(*slot, *job);
      lock.lock();
      slot->is_done = true;
      changed_.notify_all();
    }
  }

  const int64_t depth_;
  const NextJob next_job_;
  const Work work_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Slot>> slots_;
  std::exception_ptr failure_;  // of next_job_, or no memory for a slot
  bool is_ended_ = false, stopped_ = false;
  double waited_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace pixart

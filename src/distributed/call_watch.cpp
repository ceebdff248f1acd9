#include "call_watch.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <utility>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"

namespace pixart::distributed {

CallWatch::CallWatch(int rank, const WatchLimits& limits, WatchedLibrary library)
    : rank_(rank), limits_(limits), library_(std::move(library)), watcher_([this] { watch(); }) {}

CallWatch::~CallWatch() { stop(); }

void CallWatch::call(std::string_view phase, const std::function<IsDone()>& start, IsDone is_reached) {
  const std::scoped_lock one_at_a_time(order_);
  begin_call({std::string(phase), monotonic_seconds(), limits_.call_seconds, true});
  IsDone is_done;
  try {
    is_done = start();
  } catch (...) {
    end_call();
    throw_failure();  // the library returned an error because of the abort or its cause
    throw;
  }
  queue_call({0, std::move(is_done), std::move(is_reached), std::string(phase), monotonic_seconds()});
  throw_failure();
}

void CallWatch::call_or_end(std::string_view phase, double seconds, const std::function<void()>& start) {
  const std::scoped_lock one_at_a_time(order_);
  begin_call({std::string(phase), monotonic_seconds(), seconds, false});
  try {
    start();
  } catch (...) {
    end_call();
    throw;
  }
  end_call();
}

void CallWatch::begin_call(OnHost call) {
  throw_failure();
  const std::scoped_lock lock(mutex_);
  if (call.can_be_freed) ++begun_;
  on_host_ = std::move(call);
}

void CallWatch::end_call() {
  const std::scoped_lock lock(mutex_);
  on_host_.reset();
}

void CallWatch::queue_call(OnDevice work) {
  const std::scoped_lock lock(mutex_);
  on_host_.reset();
  work.number = ++returned_;
  if (work.is_done) on_device_.push_back(std::move(work));
}

CallProgress CallWatch::progress() {
  const std::scoped_lock lock(mutex_);
  const int64_t done = on_device_.empty() ? returned_ : on_device_.front().number - 1;
  CallProgress progress{.begun = begun_, .returned = returned_, .reached = done, .done = done};
  try {
    for (const auto& work : on_device_) {
      if (work.is_reached && !work.is_reached()) break;
      progress.reached = work.number;
      if (progress.done == work.number - 1 && work.is_done()) progress.done = work.number;
    }
  } catch (const std::exception&) {  // the device has an error, which forget_done() reports
  }
  return progress;
}

void CallWatch::throw_failure() {
  const std::scoped_lock lock(mutex_);
  if (!failed_) return;
  told_ = true;
  changed_.notify_all();
  throw UserError(failure_, ExitCode::kDevice);
}

bool CallWatch::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (watcher_.joinable()) watcher_.join();
  return forget_done().text.empty() && on_device_.empty() && !failed_;
}

bool CallWatch::has_failed() {
  const std::scoped_lock lock(mutex_);
  return failed_;
}

void CallWatch::watch() {
  if (library_.begin) library_.begin();
  const auto pause = std::chrono::duration<double>(limits_.look_seconds);
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (changed_.wait_for(lock, pause, [this] { return stopped_; })) return;
    }
    const Problem problem = find_problem();
    if (!problem.text.empty()) return handle(problem);
  }
}

// is_done() throws if the device has an error.
CallWatch::Problem CallWatch::forget_done() {
  const std::scoped_lock lock(mutex_);
  try {
    while (!on_device_.empty() && on_device_.front().is_done()) {
      on_device_.pop_front();
      // The next call could not begin before this one was done.
      if (!on_device_.empty())
        on_device_.front().since = std::max(on_device_.front().since, monotonic_seconds());
    }
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return {fmt::format("rank {}: the device: {} in \"{}\"", rank_, text.substr(0, text.find('\n')),
                        on_device_.front().phase),
            true};
  }
  return {};
}

CallWatch::Problem CallWatch::find_problem() {
  if (Problem broken = forget_done(); !broken.text.empty()) return broken;
  std::optional<OnHost> host;
  std::string waits_in;
  std::optional<double> device_since;
  {
    const std::scoped_lock lock(mutex_);
    host = on_host_;
    if (!on_device_.empty()) device_since = on_device_.front().since;
    if (device_since || host) waits_in = device_since ? on_device_.front().phase : host->phase;
  }
  const auto lost =
      library_.lost_rank();  // asked also by a rank that waits for nobody: it answers the others
  if (!device_since && !host) return {};
  const double now = monotonic_seconds();
  if (lost) return {fmt::format("{}, while rank {} waited in \"{}\"", *lost, rank_, waits_in)};
  if (!host || host->can_be_freed)
    if (std::string error = library_.error(waits_in); !error.empty()) return {error, true};
  if (host && now - host->since > host->seconds)
    return {fmt::format("\"{}\" has not returned from the library after {:.4g} s on rank {}", host->phase,
                        host->seconds, rank_)};
  if (device_since && now - *device_since > limits_.call_seconds)
    return {
        fmt::format("\"{}\" is not done after {:.4g} s on rank {}", waits_in, limits_.call_seconds, rank_)};
  return {};
}

void CallWatch::handle(const Problem& found) {
  std::string problem = found.text;
  bool can_be_freed = true;
  {
    const std::scoped_lock lock(mutex_);
    can_be_freed = !on_host_ || on_host_->can_be_freed;
    failed_ = can_be_freed;
    failure_ = problem;
  }
  library_.tell_others(problem, found.is_own);
  problem = library_.lost_rank().value_or(problem);  // the other ranks have answered by now
  if (!can_be_freed) end_process(problem);
  {
    const std::scoped_lock lock(mutex_);
    failure_ = problem;  // callers that the abort frees throw it
  }
  if (!returns_within(limits_.abort_seconds, library_.abort)) end_process(problem);
  std::unique_lock lock(mutex_);
  const auto limit = std::chrono::duration<double>(limits_.last_word_seconds);
  if (!changed_.wait_for(lock, limit, [this] { return stopped_ || told_; })) end_process(problem);
}

bool returns_within(double seconds, std::function<void()> work) {
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    bool has_returned = false;
  };
  const auto shared = std::make_shared<Shared>();  // the thread may outlive this call
  std::thread([shared, work = std::move(work)] {
    work();
    const std::scoped_lock lock(shared->mutex);
    shared->has_returned = true;
    shared->changed.notify_all();
  }).detach();
  std::unique_lock lock(shared->mutex);
  return shared->changed.wait_for(lock, std::chrono::duration<double>(seconds),
                                  [&] { return shared->has_returned; });
}

void end_process(const std::string& problem) {
  log::error("{}. This process cannot be interrupted in another way and ends now.", problem);
  std::_Exit(int(ExitCode::kDevice));
}

}  // namespace pixart::distributed

// Watches calls of a library that may wait for other ranks for ever: in the call itself, or in the work that
// the call has queued on the device. The watching thread needs no lock that is held during a call of the
// library.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "call_progress.h"

namespace pixart::distributed {

// The functions that the watching thread calls, without a lock. All except `abort` return soon.
struct WatchedLibrary {
  std::function<void()> begin;                                 // called first in that thread
  std::function<std::string(const std::string& phase)> error;  // error of a call that has begun; "": none
  std::function<std::optional<std::string>()> lost_rank;
  // is_own: this rank's device or library has an error; otherwise it waits for another rank.
  std::function<void(const std::string& problem, bool is_own)> tell_others;
  std::function<void()> abort;  // frees callers that wait in a call or for the device; may never return
};

// From the time-out of a call to the end of the process it takes less than 10 s: one look, `tell_others`, the
// abort and the last word.
struct WatchLimits {
  double call_seconds = 600;     // of one call, on the host and then on the device
  double abort_seconds = 4;      // the library's abort
  double last_word_seconds = 3;  // from the abort to the end of a process whose call does not return
  double look_seconds = 0.1;     // between two checks
  double end_seconds = 10;       // the library's end, after all work is done
};

class CallWatch {
 public:
  using IsDone = std::function<bool()>;  // never waits; an exception is a problem

  CallWatch(int rank, const WatchLimits& limits, WatchedLibrary library);
  ~CallWatch();  // stop()
  CallWatch(const CallWatch&) = delete;
  CallWatch& operator=(const CallWatch&) = delete;

  // Calls `start`, one caller at a time, and then watches until the returned function says that the device is
  // done; `is_reached` says whether the device has done what was queued before the call. Throws
  // UserError(kDevice) if this call or an earlier one had a problem; otherwise passes on exceptions of `start`.
  void call(std::string_view phase, const std::function<IsDone()>& start, IsDone is_reached = {});

  // The same for a call that abort cannot free: after `seconds` the process ends with 76.
  void call_or_end(std::string_view phase, double seconds, const std::function<void()>& start);

  // Stops watching. True: no call is in progress and there was no problem.
  bool stop();
  bool has_failed();  // the library was aborted

  // Of the calls of call().
  CallProgress progress();

 private:
  struct OnHost {
    std::string phase;
    double since, seconds;
    bool can_be_freed;
  };
  struct OnDevice {
    int64_t number;  // of the call
    IsDone is_done, is_reached;
    std::string phase;
    double since;
  };

  struct Problem {
    std::string text;  // "": none
    bool is_own = false;
  };

  void begin_call(OnHost call);
  void end_call();
  void queue_call(OnDevice work);
  void throw_failure();
  void watch();
  Problem forget_done();
  Problem find_problem();
  void handle(const Problem& found);

  const int rank_;
  const WatchLimits limits_;
  const WatchedLibrary library_;
  std::mutex order_;  // held by the caller inside the library; never taken by the watching thread
  std::mutex mutex_;  // guards the members below; never held during a call of the library
  std::condition_variable changed_;
  std::optional<OnHost> on_host_;
  std::deque<OnDevice> on_device_;
  int64_t begun_ = 0, returned_ = 0;  // calls
  bool stopped_ = false, failed_ = false, told_ = false;
  std::string failure_;
  std::thread watcher_;
};

// Runs `work` in its own thread, and abandons the thread after `seconds`. True: `work` has returned.
bool returns_within(double seconds, std::function<void()> work);

// Logs `problem` and ends the process with 76, if it cannot be freed in another way.
[[noreturn]] void end_process(const std::string& problem);

}  // namespace pixart::distributed

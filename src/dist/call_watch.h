// Watches over calls of a library that may wait for other ranks for ever: in the call itself, or on the
// device with what the call has put there. The watching thread needs no lock that is held while the library
// is called.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace pixart::dist {

// What the watching thread calls, without a lock. All but `abort` return soon.
struct WatchedLibrary {
  std::function<void()> begin;                                 // first in that thread
  std::function<std::string(const std::string& phase)> error;  // of a call that has begun; "": none
  std::function<std::optional<std::string>()> lost_rank;
  std::function<void(const std::string& problem)> tell_others;
  std::function<void()> abort;  // frees those who wait in a call or for the device; may itself never return
};

struct WatchLimits {
  double call_seconds = 600;      // one call, on the host and then on the device
  double abort_seconds = 10;      // the library's abort
  double last_word_seconds = 10;  // from the abort to the end of a process that does not come back
  double look_seconds = 0.1;      // between two looks
};

class CallWatch {
 public:
  using IsDone = std::function<bool()>;  // never waits; what it throws is a problem

  CallWatch(int rank, const WatchLimits& limits, WatchedLibrary library);
  ~CallWatch();  // stop()
  CallWatch(const CallWatch&) = delete;
  CallWatch& operator=(const CallWatch&) = delete;

  // Calls `start`, one caller at a time, and then watches until what it returns says that the device is done.
  // Throws UserError(kDevice) if there was a problem, this call's or an earlier one's; else what `start`
  // throws.
  void call(std::string_view phase, const std::function<IsDone()>& start);

  // The same for a call that no abort can free: after `seconds` the process ends with 76.
  void call_or_end(std::string_view phase, double seconds, const std::function<void()>& start);

  // Watches no more. True: nothing is under way and there was no problem.
  bool stop();
  bool has_failed();  // the library was aborted

 private:
  struct OnHost {
    std::string phase;
    double since, seconds;
    bool can_be_freed;
  };
  struct OnDevice {
    IsDone is_done;
    std::string phase;
    double since;
  };

  void begin_call(OnHost call);
  void end_call(IsDone is_done, const std::string& phase);
  void throw_failure();
  void watch();
  void forget_done(std::string& problem);
  std::string find_problem();
  void handle(std::string problem);

  const int rank_;
  const WatchLimits limits_;
  const WatchedLibrary library_;
  std::mutex order_;  // held by the caller inside the library; never taken by the watching thread
  std::mutex mutex_;  // what follows; never held during a call of the library
  std::condition_variable changed_;
  std::optional<OnHost> on_host_;
  std::deque<OnDevice> on_device_;
  bool stopped_ = false, failed_ = false, told_ = false;
  std::string failure_;
  std::thread watcher_;
};

// Runs `work` in a thread of its own, which is left alone after `seconds`. True: it has returned.
bool returns_within(double seconds, std::function<void()> work);

// For a process that cannot be freed otherwise: says `problem` and ends with 76.
[[noreturn]] void end_process(const std::string& problem);

}  // namespace pixart::dist

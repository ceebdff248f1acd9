// Calls that never return, devices that are never done, aborts that do not help: nobody waits for ever.
#include "call_watch.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <future>

#include "device_error.h"
#include "pixart/base/error.h"

namespace pixart::distributed {
namespace {

using ::testing::HasSubstr;

constexpr WatchLimits kShort = {
    .call_seconds = 0.2, .abort_seconds = 0.2, .last_word_seconds = 0.2, .look_seconds = 0.01};

// A library of one call that waits until it is aborted.
struct Waiting {
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<int> aborts = 0;
  std::string told;  // to the other ranks
  bool is_own = false;
  std::optional<std::string> lost;

  WatchedLibrary library() {
    return {.begin = {},
            .error = [](const std::string&) { return ""; },
            .lost_rank = [this] { return lost; },
            .tell_others = [this](const std::string& problem, bool own) { told = problem, is_own = own; },
            .abort =
                [this] {
                  ++aborts;
                  release.set_value();
                }};
  }
};

constexpr unsigned kMostSeconds = 60;

[[noreturn]] void wait_for_ever() {
  for (;;) ::pause();
}

class CallWatchTest : public ::testing::Test {
 protected:
  // What hangs is killed.
  CallWatchTest() { ::alarm(kMostSeconds); }
  ~CallWatchTest() override { ::alarm(0); }
};

TEST_F(CallWatchTest, ACallThatDoesNotReturnIsFoundWhileItsCallerIsInside) {
  Waiting waiting;
  CallWatch watch(3, kShort, waiting.library());
  const std::string message = device_error_of([&] {
    watch.call("step 1: gradients", [&]() -> CallWatch::IsDone {
      waiting.released.wait();
      throw InternalError("the library was aborted");
    });
  });
  EXPECT_THAT(message,
              HasSubstr("\"step 1: gradients\" has not returned from the library after 0.2 s on rank 3"));
  EXPECT_EQ(waiting.told, message);
  EXPECT_FALSE(waiting.is_own);
  EXPECT_EQ(waiting.aborts, 1);
  EXPECT_TRUE(watch.has_failed());
  EXPECT_EQ(device_error_of([&] { watch.call("later", [] { return CallWatch::IsDone(); }); }), message);
  EXPECT_FALSE(watch.stop());
}

TEST_F(CallWatchTest, ALostRankIsFoundWhileTheCallerIsInside) {
  Waiting waiting;
  waiting.lost = "rank 1 has ended";
  WatchLimits limits = kShort;
  limits.call_seconds = 1000;
  CallWatch watch(0, limits, waiting.library());
  const std::string message = device_error_of([&] {
    watch.call("step 1", [&] {
      waiting.released.wait();
      return CallWatch::IsDone();
    });
  });
  EXPECT_THAT(message, HasSubstr("rank 1 has ended"));
}

TEST_F(CallWatchTest, ADeviceThatIsNotDoneIsFound) {
  Waiting waiting;
  CallWatch watch(0, kShort, waiting.library());
  watch.call("step 2", [] { return [] { return false; }; });
  waiting.released.wait();
  EXPECT_THAT(device_error_of([&] { watch.call("step 3", [] { return CallWatch::IsDone(); }); }),
              HasSubstr("\"step 2\" is not done after 0.2 s on rank 0"));
}

TEST_F(CallWatchTest, ABrokenDeviceIsAProblemAndNotTheEndOfTheProcess) {
  Waiting waiting;
  CallWatch watch(0, kShort, waiting.library());
  watch.call("step 2", [] { return []() -> bool { throw std::runtime_error("illegal access\nframe 0"); }; });
  waiting.released.wait();
  EXPECT_THAT(device_error_of([&] { watch.call("step 3", [] { return CallWatch::IsDone(); }); }),
              HasSubstr("rank 0: the device: illegal access in \"step 2\""));
  EXPECT_TRUE(waiting.is_own);
  EXPECT_FALSE(watch.stop());
}

TEST_F(CallWatchTest, StoppingAsksABrokenDeviceWithoutHarm) {
  WatchLimits limits = kShort;
  limits.look_seconds = 1000;  // it is asked by stop() alone
  Waiting waiting;
  CallWatch watch(0, limits, waiting.library());
  watch.call("step 2", [] { return []() -> bool { throw std::runtime_error("illegal access"); }; });
  EXPECT_FALSE(watch.stop());
}

TEST_F(CallWatchTest, CallsThatAreDoneAreNoProblem) {
  Waiting waiting;
  CallWatch watch(0, kShort, waiting.library());
  for (int step = 0; step < 100; ++step) watch.call("step", [] { return [] { return true; }; });
  EXPECT_TRUE(watch.stop());
  EXPECT_EQ(waiting.aborts, 0);
}

TEST_F(CallWatchTest, ProgressIsCountedCallByCall) {
  WatchLimits limits = kShort;
  limits.call_seconds = 1000;
  Waiting waiting;
  CallWatch watch(0, limits, waiting.library());
  std::atomic<bool> reached = false, done = false;
  CallProgress inside;
  watch.call("first", [&] {
    inside = watch.progress();
    return [] { return true; };
  });
  EXPECT_EQ(inside.begun, 1);
  EXPECT_EQ(inside.returned, 0);
  watch.call(
      "second", [&] { return [&] { return done.load(); }; }, [&] { return reached.load(); });
  const auto expect_device = [&](int64_t of_reached, int64_t of_done) {
    const CallProgress now = watch.progress();
    EXPECT_EQ(now.begun, 2);
    EXPECT_EQ(now.returned, 2);
    EXPECT_EQ(now.reached, of_reached);
    EXPECT_EQ(now.done, of_done);
  };
  expect_device(1, 1);
  reached = true;
  expect_device(2, 1);
  done = true;
  expect_device(2, 2);
  EXPECT_TRUE(watch.stop());
  expect_device(2, 2);
}

TEST_F(CallWatchTest, OneCallerAtATime) {
  Waiting waiting;
  CallWatch watch(0, WatchLimits{}, waiting.library());
  std::atomic<int> inside = 0, most = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      for (int step = 0; step < 50; ++step)
        watch.call("step", [&] {
          most = std::max(most.load(), ++inside);
          std::this_thread::yield();
          --inside;
          return CallWatch::IsDone();
        });
    });
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(most, 1);
}

TEST_F(CallWatchTest, AnAbortThatDoesNotReturnEndsTheProcess) {
  const auto hang = [] {
    ::alarm(kMostSeconds);
    Waiting waiting;
    auto library = waiting.library();
    library.abort = wait_for_ever;
    CallWatch watch(1, kShort, library);
    watch.call("step 1", [] { return [] { return false; }; });
    wait_for_ever();
  };
  EXPECT_EXIT(hang(), ::testing::ExitedWithCode(76), "\"step 1\" is not done .* on rank 1.*ends now");
}

TEST_F(CallWatchTest, ACallerThatTheAbortDoesNotFreeEndsTheProcess) {
  const auto hang = [] {
    ::alarm(kMostSeconds);
    Waiting waiting;
    CallWatch watch(1, kShort, waiting.library());
    watch.call("step 1", []() -> CallWatch::IsDone { wait_for_ever(); });
  };
  EXPECT_EXIT(hang(), ::testing::ExitedWithCode(76), "\"step 1\" has not returned .* on rank 1.*ends now");
}

TEST_F(CallWatchTest, ACallThatCannotBeAbortedEndsTheProcess) {
  const auto hang = [] {
    ::alarm(kMostSeconds);
    Waiting waiting;
    CallWatch watch(1, WatchLimits{}, waiting.library());
    watch.call_or_end("starting", 0.2, [] { wait_for_ever(); });
  };
  EXPECT_EXIT(hang(), ::testing::ExitedWithCode(76), "\"starting\" has not returned .* after 0.2 s");
}

TEST_F(CallWatchTest, TheDestructorDoesNotWaitForAnAbort) {
  const auto hang = [] {
    ::alarm(kMostSeconds);
    Waiting waiting;
    std::promise<void> begun;
    auto library = waiting.library();
    library.abort = [&] {
      begun.set_value();
      wait_for_ever();
    };
    CallWatch watch(1, kShort, library);
    watch.call("step 1", [] { return [] { return false; }; });
    begun.get_future().wait();
  };
  EXPECT_EXIT(hang(), ::testing::ExitedWithCode(76), "ends now");
}

}  // namespace
}  // namespace pixart::distributed

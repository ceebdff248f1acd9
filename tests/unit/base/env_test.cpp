#include "pixart/base/env.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <regex>

namespace pixart {
namespace {

TEST(Env, Variables) {
  ::setenv("PIXART_TEST_VARIABLE", "value", 1);
  EXPECT_EQ(environment_variable("PIXART_TEST_VARIABLE"), "value");
  ::unsetenv("PIXART_TEST_VARIABLE");
  EXPECT_EQ(environment_variable("PIXART_TEST_VARIABLE"), std::nullopt);
}

TEST(Env, Clocks) {
  const double before = monotonic_seconds();
  ::usleep(2000);
  EXPECT_GE(monotonic_seconds() - before, 0.002);
  EXPECT_TRUE(std::regex_match(utc_time_now(), std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")));
}

TEST(Env, Machine) {
  cpu_set_t set;
  ASSERT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  EXPECT_GE(physical_cores(), 1);
  EXPECT_LE(physical_cores(), CPU_COUNT(&set));
  EXPECT_GT(peak_memory_bytes(), uint64_t{1} << 20);
  EXPECT_EQ(process_id(), ::getpid());
  EXPECT_FALSE(host_name().empty());
  EXPECT_TRUE(std::regex_match(machine_id(), std::regex("[0-9a-f-]{36}")));
}

void raise_while_caught(int signal) {
  catch_stop_signals();
  std::raise(signal);
  leave_stop_signals();
  std::_Exit(0);
}

TEST(Env, ASignalThatWasCaughtEarlyIsNotLost) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP})
    EXPECT_EXIT(raise_while_caught(signal), ::testing::KilledBySignal(signal), "");
}

TEST(Env, WhatWasIgnoredIsIgnoredAfterwards) {
  const auto work = [] {
    std::signal(SIGINT, SIG_IGN);
    raise_while_caught(SIGINT);
  };
  EXPECT_EXIT(work(), ::testing::ExitedWithCode(0), "");
}

TEST(Env, AHangUpAsksToStopUnlessItIsIgnored) {
  const auto has_hangup = [] {
    const auto signals = stop_signals();
    return std::find(signals.begin(), signals.end(), SIGHUP) != signals.end();
  };
  EXPECT_TRUE(has_hangup());
  std::signal(SIGHUP, SIG_IGN);
  EXPECT_FALSE(has_hangup());
  catch_stop_signals();
  std::raise(SIGHUP);
  EXPECT_FALSE(stop_requested());
  std::signal(SIGHUP, SIG_DFL);
}

TEST(Env, StopSignalsAreNoted) {
  EXPECT_FALSE(stop_requested());
  catch_stop_signals();
  EXPECT_FALSE(stop_requested());
  std::raise(SIGUSR1);
  EXPECT_TRUE(stop_requested());
  std::raise(SIGTERM);  // a second one does not end the process while it saves
  EXPECT_TRUE(stop_requested());
}

}  // namespace
}  // namespace pixart

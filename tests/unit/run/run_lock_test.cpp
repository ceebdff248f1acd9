#include "pixart/run/run_lock.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "scratch_folder.h"

namespace pixart::run {
namespace {

class RunLockTest : public testing::ScratchFolder {};

using nlohmann::json;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr LeaseTimes kQuick{.beat_seconds = 0.05, .patience_seconds = 1};

json owner_of(const fs::path& folder) { return json::parse(read_file(folder / ".owner")); }

json elsewhere(int64_t beat) {
  return {{"host", "node7"},  {"process", 4242}, {"since", "2026-01-31T12:00:00Z"},
          {"nonce", "abc"},   {"epoch", 5},      {"beat", beat},
          {"released", false}};
}

void expect_owned(const std::function<void()>& act, const std::string& who) {
  try {
    act();
    ADD_FAILURE() << "no error";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kFolderOwned);
    EXPECT_THAT(error.what(), HasSubstr(who));
  }
}

TEST_F(RunLockTest, ASecondOwnerIsToldWhoTheFirstIs) {
  const RunLock lock(folder_, kQuick);
  expect_owned([&] { RunLock second(folder_, kQuick); },
               fmt::format("process {} on {}", process_id(), host_name()));
  lock.check();
}

TEST_F(RunLockTest, EachOwnerHasANumberOfItsOwn) {
  for (int64_t epoch = 1; epoch <= 3; ++epoch) {
    const RunLock lock(folder_, kQuick);
    EXPECT_EQ(lock.epoch(), epoch);
    EXPECT_EQ(owner_of(folder_).at("epoch"), epoch);
  }
  EXPECT_TRUE(owner_of(folder_).at("released").get<bool>());
}

// The file system does not pass locks on, so that the signs of life are all that there is.
TEST_F(RunLockTest, AnOwnerOnAnotherMachineThatLivesKeepsTheFolder) {
  write_file_atomically(folder_ / ".owner", elsewhere(0).dump());
  std::atomic<bool> stop = false;
  std::thread other([&] {
    for (int64_t beat = 1; !stop; ++beat) write_file_atomically(folder_ / ".owner", elsewhere(beat).dump());
  });
  expect_owned([&] { RunLock lock(folder_, {.beat_seconds = 0.05, .patience_seconds = 60}); },
               "process 4242 on node7 since 2026-01-31T12:00:00Z");
  stop = true;
  other.join();
}

TEST_F(RunLockTest, WaitingForSignsOfLifeEndsOnARequestToStop) {
  write_file_atomically(folder_ / ".owner", elsewhere(0).dump());
  const auto wait = [&] {
    catch_stop_signals();
    ::alarm(30);
    std::raise(SIGTERM);
    try {
      RunLock lock(folder_, {.beat_seconds = 100, .patience_seconds = 1000});
    } catch (const UserError& error) {
      std::_Exit(int(error.code()));
    }
    std::_Exit(2);
  };
  EXPECT_EXIT(wait(), ::testing::ExitedWithCode(75), "");
}

TEST_F(RunLockTest, AnOwnerThatIsSilentLosesItAndIsTold) {
  write_file_atomically(folder_ / ".owner", elsewhere(8).dump());
  const RunLock lock(folder_, kQuick);
  EXPECT_EQ(lock.epoch(), 6);
  lock.check();
  write_file_atomically(folder_ / ".owner", elsewhere(9).dump());  // it wakes, and does not look first
  expect_owned([&] { lock.check(); }, "was taken over by process 4242 on node7");
}

TEST_F(RunLockTest, AnOwnerThatHasLeftIsNotWaitedFor) {
  json owner = elsewhere(8);
  owner["released"] = true;
  write_file_atomically(folder_ / ".owner", owner.dump());
  const RunLock lock(folder_, {.beat_seconds = 1000, .patience_seconds = 1e9});
  EXPECT_EQ(lock.epoch(), 6);
}

TEST_F(RunLockTest, TheOwnerShowsSignsOfLife) {
  const RunLock lock(folder_, kQuick);
  while (owner_of(folder_).at("beat") < 3) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

TEST_F(RunLockTest, AFolderThatCannotBeWrittenIsAnErrorOfStorage) {
  try {
    RunLock lock("/proc/pixart-run", kQuick);
    FAIL() << "no error";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kStorage);
  }
}

}  // namespace
}  // namespace pixart::run

// Files other than checkpoints on a disk that is full or has no locks: the run goes on, and what it writes is
// complete in the end. The real command with io_shim or process_shim preloaded.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "pixart/formats/hash.h"
#include "process.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string text_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class Storage : public ::testing::Test {
 protected:
  Storage() { write_text(folder_ / "run.yaml", tiny_run_yaml()); }
  static void SetUpTestSuite() {
    const TemporaryFolder folder;
    write_text(folder / "run.yaml", tiny_run_yaml());
    const auto result = train(folder.path(), {});
    ASSERT_EQ(result.code, 0) << result.output;
    events_ = text_of(folder / "run/events.jsonl");
    hash_ = hash_of_last(folder / "run");
  }
  // One stage of 8 steps, saved every second, with a line of events.jsonl after each.
  static ProcessResult train(const fs::path& folder, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"train",       "run.yaml", "--stage",
                                          "autoencoder", "--set",    "stages.autoencoder.log_every=1",
                                          "--set",       "threads=1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_pixart(arguments, folder);
  }
  ProcessResult train() const { return train(folder_.path(), {}); }
  // Operations on paths that contain `match` fail from the `at`-th on, `times` of them (0: all).
  ProcessResult train_under(const std::string& match, int at, int times) const {
    const Environment environment({{"LD_PRELOAD", PIXART_IO_SHIM},
                                   {"ASAN_OPTIONS", "verify_asan_link_order=0"},
                                   {"IO_SHIM_FOLDER", (fs::canonical(folder_.path()) / "run").string()},
                                   {"IO_SHIM_MATCH", match},
                                   {"IO_SHIM_MODE", "fail_from"},
                                   {"IO_SHIM_AT", std::to_string(at)},
                                   {"IO_SHIM_TIMES", std::to_string(times)},
                                   {"IO_SHIM_ERROR", std::to_string(ENOSPC)}});
    return train();
  }
  static std::string hash_of_last(const fs::path& run) {
    return formats::sha256_of_file(run / "checkpoints/autoencoder/step-00000008/optimizer.safetensors");
  }
  void expect_undisturbed() const {
    EXPECT_EQ(text_of(folder_ / "run/events.jsonl"), events_);
    EXPECT_EQ(hash_of_last(folder_ / "run"), hash_);
  }
  TemporaryFolder folder_;
  static std::string events_, hash_;
};
std::string Storage::events_, Storage::hash_;

TEST_F(Storage, EventsThatHadToWaitAreAllThere) {
  for (const int at : {5, 7, 9}) {
    const auto result = train_under("/events.jsonl", at, 4);
    EXPECT_EQ(result.code, 0) << result.output;
    EXPECT_THAT(result.output, AllOf(HasSubstr("events.jsonl: No space left on device. Its lines wait"),
                                     HasSubstr("events.jsonl is written again")));
    expect_undisturbed();
    fs::remove_all(folder_ / "run");
  }
}

TEST_F(Storage, ASaveMustHaveItsEvents) {
  const auto full = train_under("/events.jsonl", 5, 0);
  EXPECT_EQ(full.code, 74) << full.output;
  EXPECT_THAT(full.output, AllOf(HasSubstr("the checkpoint of step 8 was not saved: cannot"),
                                 HasSubstr("events.jsonl: No space left on device"), HasSubstr("in memory")));
  EXPECT_FALSE(fs::exists(folder_ / "run/checkpoints/autoencoder/step-00000008"));
  const auto continued = train();
  EXPECT_EQ(continued.code, 0) << continued.output;
  expect_undisturbed();
}

TEST_F(Storage, TooManyEventsThatWaitEndTheRun) {
  const Environment environment({std::pair<std::string, std::string>{"PIXART_EVENT_BYTES", "200"}});
  const auto full = train_under("/events.jsonl", 5, 0);
  EXPECT_EQ(full.code, 74) << full.output;
  EXPECT_THAT(full.output, Not(HasSubstr("the checkpoint of step 8")));
  const auto continued = train();
  EXPECT_EQ(continued.code, 0) << continued.output;
  expect_undisturbed();
}

TEST_F(Storage, WhatIsNoPartOfTheResultEndsNothing) {
  for (const std::string file : {"/telemetry.jsonl", "tfevents", "rank-0.log"}) {
    const auto result = train_under(file, 3, 0);
    EXPECT_EQ(result.code, 0) << file << ": " << result.output;
    EXPECT_THAT(result.output, AllOf(HasSubstr(file.substr(1)), HasSubstr("in memory"))) << file;
    expect_undisturbed();
    fs::remove_all(folder_ / "run");
  }
}

TEST_F(Storage, AQuarantineThatCannotBeOpenedAtStartIsWrittenLater) {
  for (const int times : {1, 2, 0}) {
    const auto result = train_under("/quarantine/", 1, times);
    EXPECT_EQ(result.code, 0) << result.output;
    EXPECT_THAT(result.output, HasSubstr("The lines of the quarantine wait in memory"));
    EXPECT_EQ(fs::exists(folder_ / "run/quarantine/scenes.jsonl"), times > 0);
    expect_undisturbed();
    fs::remove_all(folder_ / "run");
  }
}

TEST_F(Storage, LinesOfTheMachineAreWrittenLater) {
  const auto result = train_under("/telemetry.jsonl", 3, 5);
  EXPECT_EQ(result.code, 0) << result.output;
  const std::string lines = text_of(folder_ / "run/telemetry.jsonl");
  for (const char* part : {"\"start\"", "\"stage\"", "\"step\":1,", "\"step\":8,", "\"done\""})
    EXPECT_THAT(lines, HasSubstr(part));
}

TEST_F(Storage, ImagesThatCouldNotBeSavedAreMadeAgain) {
  const auto result = train_under("/samples/", 1, 0);
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("the images of step 8 were not saved"));
  const auto again = train();
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_TRUE(fs::exists(folder_ / "run/samples/autoencoder/step-00000008.png"));
  expect_undisturbed();
}

TEST_F(Storage, WithoutLocksOfTheFileSystemARunHasOneOwner) {
  const Environment environment({{"LD_PRELOAD", PIXART_PROCESS_SHIM},
                                 {"ASAN_OPTIONS", "verify_asan_link_order=0"},
                                 {"PIXART_LOCK_FOLDER", (folder_ / "locks").string()},
                                 {"PROCESS_SHIM_NO_LOCKS_IN", "/run/"}});
  Process owner({"train", "run.yaml", "--stage", "autoencoder", "--set", "stages.autoencoder.steps=100000"},
                folder_.path());
  while (!fs::exists(folder_ / "run/checkpoints/autoencoder/step-00000000/manifest.json")) {
    ASSERT_FALSE(owner.has_ended()) << owner.wait().output;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  fs::create_directories(folder_ / "elsewhere");
  const auto second = run_pixart({"train", "../run.yaml", "--set", "run=../run"}, folder_ / "elsewhere");
  EXPECT_EQ(second.code, 73) << second.output;
  owner.kill(SIGTERM);
  const auto first = owner.wait();
  EXPECT_EQ(first.code, 75) << first.output;
  EXPECT_THAT(first.output, AllOf(HasSubstr("has no locks"), HasSubstr("PIXART_LOCK_FOLDER")));
}

TEST_F(Storage, AGroupCanShareARunFolder) {
  Process process({"train", "run.yaml"}, folder_.path(), -1, [] { ::umask(0002); });
  const auto result = process.wait();
  ASSERT_EQ(result.code, 0) << result.output;
  for (const auto& entry : fs::recursive_directory_iterator(folder_ / "run"))
    EXPECT_NE(entry.status().permissions() & fs::perms::group_write, fs::perms::none) << entry.path();
}

}  // namespace
}  // namespace pixart::testing

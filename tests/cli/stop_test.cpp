// Requests to stop: whatever signal asks, and wherever the output goes, the run saves and ends with 75.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "process.h"

namespace pixart::testing {
namespace {

nlohmann::json last_telemetry(const std::filesystem::path& run) {
  std::ifstream stream(run / "telemetry.jsonl");
  std::string last;
  for (std::string line; std::getline(stream, line);) last = line;
  return nlohmann::json::parse(last);
}

std::vector<std::string> checkpoints_of(const std::filesystem::path& stage) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(stage))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

const std::vector<std::string> kEndless = {"train",   "run.yaml",
                                           "--stage", "autoencoder",
                                           "--set",   "stages.autoencoder.steps=1000000",
                                           "--set",   "stages.autoencoder.checkpoints.every=1000000"};

// Starts it, sends the signal when the stage has begun, and demands that it saves.
void expect_saved(int signal, const std::function<void()>& before_start) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  Process process(kEndless, folder.path(), -1, before_start);
  while (!std::filesystem::exists(folder / "run/checkpoints/autoencoder/step-00000000/manifest.json")) {
    ASSERT_FALSE(process.has_ended()) << process.wait().code;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  process.kill(signal);
  const auto result = process.wait();
  EXPECT_EQ(result.code, 75) << result.output;
  const auto checkpoints = checkpoints_of(folder / "run/checkpoints/autoencoder");
  ASSERT_EQ(checkpoints.size(), 2u);
  const auto last = last_telemetry(folder / "run");
  EXPECT_EQ(last.at("reason"), "requested");
  EXPECT_EQ(fmt::format("step-{:08}", last.at("step").get<int64_t>()), checkpoints.back());
}

TEST(Stop, SavesWhereNobodyReadsItsOutput) { expect_saved(SIGINT, break_the_pipe); }

TEST(Stop, SavesWhereItsOutputIsOnAFullDisk) { expect_saved(SIGTERM, fill_the_disk); }

TEST(Stop, SavesWhenItsTerminalIsClosed) { expect_saved(SIGHUP, {}); }

TEST(Stop, UnderNohupAClosedTerminalIsIgnored) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  Process process({"train", "run.yaml", "--stage", "autoencoder"}, folder.path(), -1,
                  [] { std::signal(SIGHUP, SIG_IGN); });
  while (!std::filesystem::exists(folder / "run/run.yaml")) {  // it surely ignores the signal by then
    ASSERT_FALSE(process.has_ended()) << process.wait().output;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  while (!process.has_ended()) {
    process.kill(SIGHUP);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const auto result = process.wait();
  EXPECT_EQ(result.code, 0) << result.output;
}

// The same command continues each time: with the stage that it left, and to the same step of the next stage.
TEST(Stop, AtAStepOfEachStage) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  const std::vector<std::string> command = {"train", "run.yaml", "--set", "threads=1", "--stop-at-step", "7"};
  for (const std::string stage : {"autoencoder", "class", "text"}) {
    const auto result = run_pixart(command, folder.path());
    ASSERT_EQ(result.code, 75) << result.output;
    const auto last = last_telemetry(folder / "run");
    EXPECT_EQ(last.at("stage"), stage);
    EXPECT_EQ(last.at("step"), 7);
    EXPECT_EQ(checkpoints_of(folder / "run/checkpoints" / stage).back(), "step-00000007");
  }
  const auto ended = run_pixart(command, folder.path());  // the last stage has 6 steps
  EXPECT_EQ(ended.code, 0) << ended.output;
  EXPECT_EQ(last_telemetry(folder / "run").at("reason"), "done");
}

// A run file that comes through a pipe: a process that waits for its rest has begun and has not read it.
class WaitingForItsFile : public ::testing::Test {
 protected:
  WaitingForItsFile() {
    std::signal(SIGPIPE, SIG_IGN);  // it may have ended when the file is written
  }
  ~WaitingForItsFile() override { std::signal(SIGPIPE, SIG_DFL); }
  // Starts it, and sends the signal while it waits. The rest never comes; SIGALRM would end the wait for it.
  ProcessResult stop(const std::string& command, int signal) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    Process process({command, "/dev/stdin"}, folder_.path(), -1, [&] {
      ::dup2(ends[0], STDIN_FILENO);
      ::alarm(60);
    });
    ::close(ends[0]);
    const std::string text = tiny_run_yaml();
    (void)!::write(ends[1], text.data(), text.size());
    for (int unread = 1; unread > 0 && !process.has_ended(); ::ioctl(ends[1], FIONREAD, &unread))
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    process.kill(signal);
    const auto result = process.wait();
    ::close(ends[1]);
    return result;
  }
  TemporaryFolder folder_;
};

TEST_F(WaitingForItsFile, TrainingCanBeStopped) {
  for (const int signal : {SIGTERM, SIGHUP}) {
    const auto result = stop("train", signal);
    EXPECT_EQ(result.code, 75) << result.output;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "run/checkpoints"));
  }
}

// A signal while LibTorch initialises itself, before main().
TEST(Stop, InItsFirstMoment) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  const Environment environment({{"LD_PRELOAD", PIXART_PROCESS_SHIM},
                                 {"ASAN_OPTIONS", "verify_asan_link_order=0"},
                                 {"PROCESS_SHIM_SIGNAL", std::to_string(SIGTERM)}});
  const auto train = run_pixart({"train", "run.yaml"}, folder.path());
  EXPECT_EQ(train.code, 75) << train.output;
  EXPECT_FALSE(std::filesystem::exists(folder / "run/checkpoints"));
  EXPECT_EQ(run_pixart({"plan", "run.yaml"}, folder.path()).code, 128 + SIGTERM) << "it does not ask";
}

// Waits until another process opens the file.
void wait_for_opening(const std::filesystem::path& file, const Process& process) {
  const int notices = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  ASSERT_GE(::inotify_add_watch(notices, file.c_str(), IN_OPEN), 0);
  char event[4096];
  while (::read(notices, event, sizeof event) <= 0) {
    ASSERT_FALSE(process.has_ended());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ::close(notices);
}

TEST(Stop, WhileAnotherProcessHoldsALock) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  const auto trained = run_pixart({"train", "run.yaml", "--stage", "autoencoder"}, folder.path());
  ASSERT_EQ(trained.code, 0) << trained.output;
  const std::vector<std::string> extract = {"extract", "run.yaml", "--stage", "class"};
  const auto features = folder / "run/features/scenes-latents-32";
  std::filesystem::create_directories(features);
  const int lock = ::open((features / ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  for (const int signal : {SIGTERM, SIGINT}) {
    Process process(extract, folder.path());
    wait_for_opening(features / ".lock", process);
    const auto asked = std::chrono::steady_clock::now();
    process.kill(signal);
    const auto result = process.wait();
    EXPECT_EQ(result.code, 75) << result.output;
    EXPECT_NE(result.output.find(".lock"), std::string::npos) << result.output;
    EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds(3));
  }
  ::close(lock);
  const auto made = run_pixart(extract, folder.path());
  EXPECT_EQ(made.code, 0) << made.output;
}

// They do not ask whether they shall stop, so the signal ends them.
TEST_F(WaitingForItsFile, OtherCommandsEndAtOnce) {
  const auto plan = stop("plan", SIGINT);
  EXPECT_EQ(plan.code, 128 + SIGINT) << plan.output;
}

}  // namespace
}  // namespace pixart::testing

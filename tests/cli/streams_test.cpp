// Standard streams that are closed, full or read by nobody.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "process.h"

namespace pixart::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

// Only standard output goes there; messages stay in the result.
void only_output(const std::function<void()>& redirect) {
  const int messages = ::dup(STDERR_FILENO);
  redirect();
  ::dup2(messages, STDERR_FILENO);
  ::close(messages);
}

ProcessResult run(const std::vector<std::string>& arguments, const fs::path& folder,
                  const std::function<void()>& before_start) {
  return Process(arguments, folder, -1, before_start).wait();
}

// Some print more than a buffer holds, so that it is not the last write that fails.
const std::vector<std::vector<std::string>> kCommands = {{"config-reference"},
                                                         {"--version"},
                                                         {"train", "--help"},
                                                         {"explain", "seed"},
                                                         {"plan", "run.yaml"},
                                                         {"plan", "run.yaml", "--json"},
                                                         {"data", "check", "scenes"},
                                                         {"completion", "bash"},
                                                         {"manual"},
                                                         {"data", "check", "scenes", "--json"}};

TEST(Streams, AFullDiskUnderStandardOutputIsAnError) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  for (const auto& command : kCommands) {
    const auto result = run(command, folder.path(), [] { only_output(fill_the_disk); });
    EXPECT_EQ(result.code, 74) << command.front();
    EXPECT_THAT(result.output, HasSubstr("cannot write standard output")) << command.front();
  }
}

TEST(Streams, AClosedStandardOutputIsAnError) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  for (const auto& command : kCommands) {
    const auto result = run(command, folder.path(), [] { ::close(STDOUT_FILENO); });
    EXPECT_EQ(result.code, 74) << command.front();
    EXPECT_THAT(result.output, HasSubstr("cannot write standard output: it is closed")) << command.front();
  }
  const auto refused = run({"inspect", "absent"}, folder.path(), [] { ::close(STDOUT_FILENO); });
  EXPECT_EQ(refused.code, 78) << "it prints nothing there: " << refused.output;
}

// Nobody may ever write into it. SIGALRM ends a process that waits for that.
TEST(Streams, APipeInAFolderIsRefusedAtOnce) {
  const TemporaryFolder folder;
  for (const char* name : {"pipe", "pipe.yaml", "pipe.safetensors", "pipe.jsonl"})
    ASSERT_EQ(::mkfifo((folder / name).c_str(), 0600), 0);
  const std::vector<std::vector<std::string>> commands = {{"train", "pipe.yaml"},
                                                          {"plan", "pipe.yaml"},
                                                          {"inspect", "pipe.safetensors"},
                                                          {"data", "check", "pipe.jsonl"},
                                                          {"sample", "run", "--prompts", "pipe"},
                                                          {"score", "--compare", "pipe", "pipe"}};
  for (const auto& command : commands) {
    const auto result = run(command, folder.path(), [] { ::alarm(60); });
    EXPECT_EQ(result.code, 78) << command.front() << ": " << result.output;
    EXPECT_THAT(result.output, HasSubstr("is not a regular file")) << command.front();
  }
}

TEST(Streams, AFullDiskDoesNotHideAnotherError) {
  const TemporaryFolder folder;
  const auto result = run({"inspect", "absent"}, folder.path(), [] { only_output(fill_the_disk); });
  EXPECT_EQ(result.code, 78) << result.output;
}

TEST(Streams, AReaderThatHasGoneIsNoError) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  for (const auto& command : kCommands) {
    const auto result = run(command, folder.path(), [] { only_output(break_the_pipe); });
    EXPECT_EQ(result.code, 0) << command.front();
    EXPECT_THAT(result.output, Not(HasSubstr("error"))) << command.front();
  }
}

TEST(Streams, WhatIsPrintedDoesNotGetIntoFilesOfTheRun) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  const auto result = run({"train", "run.yaml", "--stage", "autoencoder"}, folder.path(), [] {
    for (int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(descriptor);
  });
  EXPECT_EQ(result.code, 0);
  for (const auto& file : files_below(folder / "run")) {
    std::ifstream stream(folder / "run" / file);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    EXPECT_THAT(text, Not(HasSubstr("stage autoencoder: 1"))) << file;  // progress: "... 10 %"
  }
}

}  // namespace
}  // namespace pixart::testing

// One run of the stages autoencoder, class, text and others on top of them, for all tests of a program.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <thread>

#include "process.h"

namespace pixart::testing {

// tiny_run_yaml() with these stages in place of its last one.
inline std::string tiny_run_with(const std::string& stages) {
  std::string yaml = tiny_run_yaml();
  yaml.erase(yaml.find("  - name: larger"));
  return yaml + stages;
}

class RunWithStages : public ::testing::Test {
 protected:
  static void train(const std::string& yaml) {
    write_text(path("run.yaml"), yaml);
    result_ = pixart({"train", "run.yaml"});
  }
  static void TearDownTestSuite() { folder_.reset(); }
  void SetUp() override { ASSERT_EQ(result_.code, 0) << result_.output; }

  static const TemporaryFolder& folder() {
    if (!folder_) folder_ = std::make_unique<TemporaryFolder>();
    return *folder_;
  }
  static std::filesystem::path path(const std::string& name) { return folder() / name; }
  static ProcessResult pixart(const std::vector<std::string>& arguments) {
    return run_pixart(arguments, folder().path());
  }
  // Kills the command as soon as the checkpoint is complete; removes the other folders, should it have come so far; and
  // starts the command again, which continues the stage.
  static void kill_and_continue(const std::vector<std::string>& command, const std::string& stage,
                                const std::filesystem::path& checkpoint,
                                const std::vector<std::filesystem::path>& later) {
    Process process(command, folder().path());
    while (!std::filesystem::exists(checkpoint / "manifest.json") && !process.has_ended())
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    process.kill(SIGKILL);
    process.wait();
    ASSERT_TRUE(std::filesystem::exists(checkpoint / "manifest.json"));
    for (const auto& one : later) std::filesystem::remove_all(one);
    const auto again = pixart(command);
    ASSERT_EQ(again.code, 0) << again.output;
    EXPECT_THAT(again.output, ::testing::HasSubstr("stage " + stage + ": continues at step"));
  }

  inline static std::unique_ptr<TemporaryFolder> folder_;
  inline static ProcessResult result_;  // of its training
};

}  // namespace pixart::testing

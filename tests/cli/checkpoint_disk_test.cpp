// pixart train on a disk that fails while it saves, and killed in the middle of a save: the real command with
// io_shim preloaded. All operations in turn are tried by checkpoint_crash_test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>

#include "pixart/formats/hash.h"
#include "process.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CheckpointDisk : public ::testing::Test {
 protected:
  CheckpointDisk() { write_text(folder_ / "run.yaml", tiny_run_yaml()); }
  // The run that nothing interrupts.
  static void SetUpTestSuite() {
    const TemporaryFolder folder;
    write_text(folder / "run.yaml", tiny_run_yaml());
    const auto result = train(folder.path(), {});
    ASSERT_EQ(result.code, 0) << result.output;
    whole_hash_ = hash_of_last(folder / "run");
  }

  // One stage of 8 steps, saved every second.
  static ProcessResult train(const fs::path& folder, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"train",       "run.yaml", "--stage",
                                          "autoencoder", "--set",    "stages.autoencoder.batch_size=1",
                                          "--set",       "threads=1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_pixart(arguments, folder);
  }
  ProcessResult train(const std::vector<std::string>& more = {}) const { return train(folder_.path(), more); }
  // The same while operation `at` on the folder that becomes the checkpoint of `step` meets `mode`.
  ProcessResult train_under(const std::string& mode, int64_t step, int at, int error,
                            const std::vector<std::string>& more = {}) const {
    char match[40];
    std::snprintf(match, sizeof match, ".tmp-step-%08d", int(step));
    const Environment environment({{"LD_PRELOAD", PIXART_IO_SHIM},
                                   {"ASAN_OPTIONS", "verify_asan_link_order=0"},
                                   {"IO_SHIM_FOLDER", stage()},
                                   {"IO_SHIM_MATCH", match},
                                   {"IO_SHIM_MODE", mode},
                                   {"IO_SHIM_AT", std::to_string(at)},
                                   {"IO_SHIM_ERROR", std::to_string(error)}});
    return train(more);
  }
  fs::path stage() const { return fs::canonical(folder_.path()) / "run/checkpoints/autoencoder"; }
  std::vector<std::string> steps() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(stage())) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  ProcessResult verify(const std::string& step) const {
    return run_pixart({"inspect", stage() / step, "--verify"}, folder_.path());
  }
  static std::string hash_of_last(const fs::path& run) {
    return formats::sha256_of_file(run / "checkpoints/autoencoder/step-00000008/optimizer.safetensors");
  }
  TemporaryFolder folder_;
  static std::string whole_hash_;
};
std::string CheckpointDisk::whole_hash_;

using Names = std::vector<std::string>;

TEST_F(CheckpointDisk, AFullDiskWhileSavingIsLoudAndHarmless) {
  const auto result = train_under("fail_from", 4, 3, ENOSPC);
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("error  the checkpoint of step 4 was not saved: "), HasSubstr("step-00000004"),
                    HasSubstr("No space left on device"), HasSubstr("the newest one is of step 2")));
  EXPECT_EQ(steps(), (Names{"step-00000006", "step-00000008"}));
  for (const auto& step : steps()) EXPECT_EQ(verify(step).code, 0) << verify(step).output;
  EXPECT_EQ(hash_of_last(folder_ / "run"), whole_hash_);
}

TEST_F(CheckpointDisk, StopsOnWishAndContinuesWhenThereIsSpace) {
  const auto stopped =
      train_under("fail_from", 6, 1, EIO, {"--set", "stages.autoencoder.checkpoints.on_error=stop"});
  EXPECT_EQ(stopped.code, 74) << stopped.output;
  EXPECT_THAT(stopped.output, HasSubstr("the checkpoint of step 6 was not saved: "));
  EXPECT_EQ(steps(), (Names{"step-00000002", "step-00000004"}));
  for (const auto& step : steps()) EXPECT_EQ(verify(step).code, 0) << verify(step).output;
  // The last one must succeed, whatever on_error says.
  const auto last = train_under("fail_from", 8, 1, ENOSPC);
  EXPECT_EQ(last.code, 74) << last.output;
  EXPECT_EQ(steps(), (Names{"step-00000004", "step-00000006"}));
  const auto continued = train();
  EXPECT_EQ(continued.code, 0) << continued.output;
  EXPECT_EQ(hash_of_last(folder_ / "run"), whole_hash_);
}

TEST_F(CheckpointDisk, AFirstSaveThatFailsStopsBeforeTraining) {
  const auto result = train_under("fail", 0, 2, EDQUOT);
  EXPECT_EQ(result.code, 74) << result.output;
  EXPECT_THAT(result.output, HasSubstr("the checkpoint of step 0 was not saved: "));
  EXPECT_EQ(steps(), Names{});
}

TEST_F(CheckpointDisk, KilledWhileSavingItContinues) {
  int at = 1;
  for (const int64_t step : {0, 2, 6, 8}) {
    const auto killed = train_under("kill", step, at += 6, 0);
    EXPECT_EQ(killed.code, 128 + SIGKILL) << "step " << step << ": " << killed.output;
  }
  const auto continued = train();
  EXPECT_EQ(continued.code, 0) << continued.output;
  EXPECT_EQ(hash_of_last(folder_ / "run"), whole_hash_);
}

TEST_F(CheckpointDisk, KeepsWhatIsToBeKeptAndNamesADamagedTensor) {
  const auto result = train({"--set", "stages.autoencoder.checkpoints.keep_every=3"});
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(steps(), (Names{"step-00000003", "step-00000006", "step-00000008"}));
  const fs::path file = stage() / "step-00000008/ema.safetensors";
  {
    std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
    stream.seekg(-1, std::ios::end);
    const char last = char(stream.get());
    stream.seekp(-1, std::ios::end);
    stream.put(char(last ^ 4));
  }
  const auto damaged = verify("step-00000008");
  EXPECT_EQ(damaged.code, 78) << damaged.output;
  EXPECT_THAT(damaged.output, AllOf(HasSubstr("ema.safetensors was changed since it was saved"),
                                    HasSubstr("tensor "), Not(HasSubstr("verified"))));
}

}  // namespace
}  // namespace pixart::testing

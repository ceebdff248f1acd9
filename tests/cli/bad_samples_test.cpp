// One sample never ends a run: whatever is wrong with its content costs this sample, and what is wrong with
// the machine costs none. The disk is made to fail by io_shim.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>

#include "pixart/base/error.h"
#include "pixart/formats/image_file.h"
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

class BadSamples : public ::testing::Test {
 protected:
  BadSamples() {
    fs::create_directories(folder_ / "images");
    for (int i = 0; i < 8; ++i) add(fmt::format("{}", i), Image(36, 36, uint8_t(20 * i)));
    std::string text = replaced(tiny_run_yaml(), "{name: scenes, type: scenes, count: 48}",
                                "{name: scenes, type: image_folder, path: images, quarantine_budget: 0.5}");
    const size_t begin = text.find("  - name: class"), end = text.find("  - name: text");
    text = text.erase(begin, end - begin);
    text = replaced(text, "    init: {how: reparameterize, from: class}\n", "");
    write_text(folder_ / "run.yaml", text.substr(0, text.find("  - name: larger")));
  }
  void add(const std::string& stem, const Image& image) const {
    formats::save_png(folder_ / "images" / (stem + ".png"), image);
    write_text(folder_ / "images" / (stem + ".txt"), "a gray image, number " + stem);
  }

  // Reads of images/5.png fail from operation `at` on, `times` times (0: for ever).
  ProcessResult run_with_fault(const std::vector<std::string>& arguments, int error, int times) const {
    const Environment environment({{"LD_PRELOAD", PIXART_IO_SHIM},
                                   {"ASAN_OPTIONS", "verify_asan_link_order=0"},
                                   {"IO_SHIM_FOLDER", (fs::canonical(folder_.path()) / "images").string()},
                                   {"IO_SHIM_MATCH", "/5.png"},
                                   {"IO_SHIM_MODE", "fail_reads"},
                                   {"IO_SHIM_AT", "1"},
                                   {"IO_SHIM_TIMES", std::to_string(times)},
                                   {"IO_SHIM_ERROR", std::to_string(error)}});
    return run_pixart(arguments, folder_.path());
  }
  ProcessResult check_with_fault(int error, int times) const {
    return run_with_fault({"data", "check", "images", "--quarantine", "bad.jsonl"}, error, times);
  }
  ProcessResult train_with_fault(int error, int times) const {
    return run_with_fault({"train", "run.yaml", "--stage", "autoencoder"}, error, times);
  }
  TemporaryFolder folder_;
};

TEST_F(BadSamples, AFaultOfTheMachineEndsTheCommandAndBlamesNoSample) {
  const std::tuple<int, int, const char*> cases[] = {{EIO, 74, "Input/output error"},
                                                     {ESTALE, 74, "Stale file handle"},
                                                     {EMFILE, 76, "ulimit -n"},
                                                     {ENOMEM, 76, "too little memory"}};
  for (const auto& [error, code, message] : cases) {
    const auto result = check_with_fault(error, 0);
    EXPECT_EQ(result.code, code) << result.output;
    EXPECT_THAT(result.output, AllOf(HasSubstr("5.png"), HasSubstr(message), Not(HasSubstr("rejected")),
                                     HasSubstr("tried again")));
    EXPECT_FALSE(fs::exists(folder_ / "bad.jsonl"));
  }
}

TEST_F(BadSamples, AFaultOfTheMachineThatPassesIsSurvived) {
  const auto result = check_with_fault(EIO, 3);
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("8 of 8 samples accepted"));
  EXPECT_EQ(text_of(folder_ / "bad.jsonl"), "");
}

TEST_F(BadSamples, WithoutPermissionTheSampleIsRejected) {
  const auto result = check_with_fault(EACCES, 0);
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(text_of(folder_ / "bad.jsonl"),
              AllOf(HasSubstr("\"key\":\"5.png\""), HasSubstr("unreadable_file")));
}

TEST_F(BadSamples, TrainingStopsOrGoesOnAsWell) {
  const auto passing = train_with_fault(ESTALE, 2);
  EXPECT_EQ(passing.code, 0) << passing.output;
  EXPECT_EQ(text_of(folder_ / "run/quarantine/scenes.jsonl"), "");
  fs::remove_all(folder_ / "run");
  const auto staying = train_with_fault(EIO, 0);
  EXPECT_EQ(staying.code, 74) << staying.output;
  EXPECT_THAT(staying.output, AllOf(HasSubstr("5.png"), Not(HasSubstr("left out"))));
}

TEST_F(BadSamples, AStageLeavesOutWhatItsFileNamesFromFirstToLast) {
  const auto leave_out = [&](const std::string& file, const std::string& key) {
    write_text(folder_ / file, "{\"source\": \"scenes\", \"key\": \"" + key + "\"}\n");
  };
  const auto train = [&](const std::string& exclude, const std::string& steps,
                         const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"train",       "run.yaml", "--stage",
                                          "autoencoder", "--set",    "stages.autoencoder.steps=" + steps};
    if (!exclude.empty())
      arguments.insert(arguments.end(), {"--set", "stages.autoencoder.exclude=" + exclude});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_pixart(arguments, folder_.path());
  };
  leave_out("exclude.jsonl", "9.png");
  auto result = train("exclude.jsonl", "4", {"--check"});
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output, HasSubstr("source scenes has no sample with the key 9.png"));

  leave_out("exclude.jsonl", "5.png");
  result = train("exclude.jsonl", "4");
  ASSERT_EQ(result.code, 0) << result.output;
  const std::string weights = "checkpoints/autoencoder/step-00000004/model.safetensors";
  ASSERT_EQ(train("", "4", {"--set", "run=other"}).code, 0);
  EXPECT_NE(text_of(folder_ / "run" / weights), text_of(folder_ / "other" / weights));

  const std::vector<std::string> longer = {"--allow-change", "stages.autoencoder.steps"};
  leave_out("exclude.jsonl", "6.png");
  result = train("exclude.jsonl", "6", longer);
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output, HasSubstr("stages.autoencoder.exclude"));
  leave_out("moved.jsonl", "5.png");
  result = train("moved.jsonl", "6", longer);
  EXPECT_EQ(result.code, 0) << result.output;
}

// A divider of a web page. At 128 pixels it would become four million pixels wide.
TEST_F(BadSamples, AThinImageIsRejectedWithItsKey) {
  add("line", Image(1, 32'000, 90));
  auto result = run_pixart({"data", "check", "images"}, folder_.path());
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(
      result.output,
      HasSubstr("thin       1 image(s) are too narrow for a stage of 1024 pixels: line.png (32000 x 1)"));
  const std::vector<std::string> large = {"--set", "stages.text.resolution=128"};
  const auto with_large = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), large.begin(), large.end());
    return run_pixart(arguments, folder_.path());
  };
  result = with_large({"data", "check", "run.yaml", "--quarantine", "bad.jsonl"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("8 of 9 samples accepted"), HasSubstr("1 picture_too_thin")));
  EXPECT_THAT(text_of(folder_ / "bad.jsonl"), AllOf(HasSubstr("line.png"), HasSubstr("4096000 x 128")));
  result = with_large({"train", "run.yaml", "--stage", "autoencoder"});
  ASSERT_EQ(result.code, 0) << result.output;
  result = with_large({"extract", "run.yaml", "--what", "latents"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(text_of(folder_ / "run/features/scenes-latents-128/quarantine.jsonl"),
              AllOf(HasSubstr("\"key\":\"line.png\""), HasSubstr("picture_too_thin")));
}

}  // namespace
}  // namespace pixart::testing

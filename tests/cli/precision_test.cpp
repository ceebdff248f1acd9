// The key `precision` and `pixart sample --precision`.
#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "pixart/formats/image_file.h"
#include "process.h"

namespace pixart::testing {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream stream(path);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// A class stage whose weights move far enough that the type of its products shows in the images.
class Trained : public ::testing::Test {
 protected:
  void train(const std::string& precision) {
    write_text(folder_ / "run.yaml", tiny_run_yaml());
    for (const char* stage : {"autoencoder", "class"}) {
      const auto result =
          run_pixart({"train", "run.yaml", "--stage", stage, "--set", "stages.class.precision=" + precision,
                      "--set", "stages.class.optimizer.lr=0.003"},
                     folder_.path());
      ASSERT_EQ(result.code, 0) << result.output;
    }
  }
  // The grid of the trained prompt, drawn once more with the noise of the training's samples.
  std::string sample(const std::string& out, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"sample", "run", "red circle", "--stage", "class", "--steps", "2",
                                          "--seed", "3",   "--device",   "cpu",     "--out", out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = run_pixart(arguments, folder_.path());
    EXPECT_EQ(result.code, 0) << result.output;
    return text_of(folder_ / out / "grid.png");
  }
  std::string drawn_in_training() const { return text_of(folder_ / "run/samples/class/step-00000030.png"); }
  TemporaryFolder folder_;
};

TEST_F(Trained, SamplesAreDrawnInThePrecisionOfTheStage) {
  train("bfloat16");
  const std::string drawn = drawn_in_training();
  EXPECT_EQ(sample("default"), drawn);
  EXPECT_EQ(sample("same", {"--precision", "bfloat16"}), drawn);
  EXPECT_NE(sample("float32", {"--precision", "float32"}), drawn);
  EXPECT_EQ(formats::read_png_text(folder_ / "default/0000.png").at("precision"), "bfloat16");
  EXPECT_EQ(formats::read_png_text(folder_ / "float32/0000.png").count("precision"), 0);
}

TEST_F(Trained, AnImageIsDrawnAgainInItsOwnPrecision) {
  train("float32");
  EXPECT_EQ(sample("default"), drawn_in_training());
  sample("other", {"--precision", "bfloat16"});
  for (const std::string out : {"default", "other"}) {
    const auto again =
        run_pixart({"sample", "--from-image", out + "/0000.png", "--device", "cpu", "--out", "again-" + out},
                   folder_.path());
    ASSERT_EQ(again.code, 0) << again.output;
    EXPECT_EQ(text_of(folder_ / out / "0000.png"), text_of(folder_ / ("again-" + out) / "0000.png")) << out;
  }
}

// On a CPU, tf32 is float32.
TEST_F(Trained, Tf32IsFloat32OnACpu) {
  train("tf32");
  const std::string drawn = drawn_in_training();
  EXPECT_EQ(sample("default"), drawn);
  EXPECT_EQ(sample("float32", {"--precision", "float32"}), drawn);
}

}  // namespace
}  // namespace pixart::testing

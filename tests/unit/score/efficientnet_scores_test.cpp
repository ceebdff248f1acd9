// Distances of EfficientNet-Lite0's features in a whole score, and their card.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "efficientnet_lite.h"
#include "formula_efficientnet.h"
#include "images.h"
#include "metrics.h"
#include "moments.h"
#include "pixart/formats/image_file.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/score/score.h"
#include "scratch_folder.h"

namespace pixart::score {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class EfficientnetScores : public testing::ScratchFolder {
 protected:
  EfficientnetScores() {
    draw("images", {"a", "b", "c", "d"}, 32);
    draw("real", {"p", "q", "r", "s", "t"}, 40);
    std::vector<formats::NamedTensor> tensors;
    for (const auto& [name, tensor] : testing::formula_efficientnet(efficientnet_shapes()))
      tensors.push_back({name, tensor});
    formats::save_safetensors(folder_ / "lite0.safetensors", tensors);
  }
  void draw(const std::string& folder, const std::vector<std::string>& names, int side) const {
    std::filesystem::create_directories(folder_ / folder);
    for (const auto& name : names)
      formats::save_png(folder_ / folder / (name + ".png"), testing::formula_image(name, side, side));
  }
  ScoreRequest request(std::vector<Metric> metrics) const {
    return {.metrics = std::move(metrics),
            .images = folder_ / "images",
            .reference = folder_ / "real",
            .efficientnet_weights = folder_ / "lite0.safetensors",
            .batch_size = 3,
            .kid_subsets = 4,
            .kid_subset_size = 3,
            .device = "cpu"};
  }
  at::Tensor features_of(const char* folder) const {
    const auto opened = open_efficientnet(folder_ / "lite0.safetensors", at::kCPU);
    std::vector<at::Tensor> rows;
    for_each_batch(open_images(folder_ / folder), kEfficientnetSide, efficientnet_input, 2,
                   [&](const at::Tensor& batch) { rows.push_back(opened.network(batch)); });
    return at::cat(rows);
  }
};

Statistics whole_statistics_of(const at::Tensor& rows) {
  Moments moments;
  moments.add(rows);
  return moments.statistics();
}

// Few images: the unbiased distance is added, and the reason is said. The name is never that of FID.
TEST_F(EfficientnetScores, AreDistancesOfItsFeatures) {
  const at::Tensor x = features_of("images"), y = features_of("real");
  const auto result = score(request({Metric::kFdEfficientnetLite0}));
  const std::map<std::string, double> values(result.values.begin(), result.values.end());
  const double distance = frechet_distance(whole_statistics_of(x), whole_statistics_of(y));
  EXPECT_GT(distance, 0);
  EXPECT_NEAR(values.at("fd_efficientnet_lite0"), distance, 1e-4 * distance);
  const auto kernel = kernel_distance(x, y, {.subsets = 4, .subset_size = 3, .seed = 0});
  EXPECT_NEAR(values.at("kd_efficientnet_lite0"), kernel.mean, 1e-3 * std::abs(kernel.mean) + 1e-6);
  EXPECT_TRUE(values.contains("kd_efficientnet_lite0_deviation"));
  EXPECT_FALSE(values.contains("fid"));
  ASSERT_EQ(result.notes.size(), 1u);
  EXPECT_THAT(result.notes[0], AllOf(HasSubstr("biased"), HasSubstr("1280 features")));
}

TEST_F(EfficientnetScores, AreOnACardWithWhatTheyDependOn) {
  const auto card = json::parse(score(request({Metric::kKdEfficientnetLite0})).card);
  EXPECT_EQ(card["scores"].size(), 2u);  // the kernel distance alone
  const auto& protocol = card["protocol"];
  EXPECT_FALSE(protocol.contains("network"));  // that of FID
  EXPECT_EQ(protocol["efficientnet_lite0"]["side"], 224);
  EXPECT_EQ(protocol["efficientnet_lite0"]["weights_sha256"].get<std::string>().size(), 64u);
  EXPECT_EQ(protocol["num_images"], 4);
  EXPECT_EQ(protocol["reference"]["num_images"], 5);
  EXPECT_EQ(protocol["reference"]["sha256"].get<std::string>().size(), 64u);
  EXPECT_EQ(card["images"]["sha256"].get<std::string>().size(), 64u);
}

TEST_F(EfficientnetScores, NameAllThatIsMissing) {
  auto asked = request({Metric::kFdEfficientnetLite0});
  asked.efficientnet_weights.clear();
  std::filesystem::create_directories(folder_ / "one");
  formats::save_png(folder_ / "one/a.png", testing::formula_image("a", 9, 9));
  asked.images = folder_ / "one";
  asked.reference.clear();
  EXPECT_THAT(testing::refusal([&] { score(asked); }),
              AllOf(HasSubstr("--efficientnet-weights"), HasSubstr("needs at least 2"),
                    HasSubstr("a reference is missing")));
}

}  // namespace
}  // namespace pixart::score

// Golden kinds clip_pixels, clip_alpha and clip_scores, and heads that are refused.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "clip_metrics.h"
#include "clip_pixels.h"
#include "formula_inception.h"
#include "golden.h"
#include "pixart/base/error.h"
#include "pixart/formats/tensor_file.h"
#include "scratch_folder.h"

namespace pixart::score {
namespace {

namespace fs = std::filesystem;
using testing::expect_golden;
using testing::golden_cases;
using ::testing::HasSubstr;

at::Tensor bytes_of(const Image& image) {
  at::Tensor bytes = at::empty({image.height, image.width, 3}, at::kByte);
  std::copy(image.rgb.begin(), image.rgb.end(), bytes.data_ptr<uint8_t>());
  return bytes;
}

TEST(Golden, ClipPixels) {
  for (const auto& c : golden_cases("clip_pixels")) {
    const int side = c.config().at("side");
    for (const auto& [name, size] : c.config().at("sizes").items()) {
      const Image image = testing::formula_image(name, size.at(0), size.at(1));
      expect_golden(c, "out." + name + ".crop", bytes_of(clip_pixels(image, ClipPixels::kCrop, side)));
      expect_golden(c, "out." + name + ".square", bytes_of(clip_pixels(image, ClipPixels::kSquare, side)));
      if (name != "odd") continue;
      auto planes = clip_input(clip_pixels(image, ClipPixels::kCrop, side));
      expect_golden(c, "out.normalized", at::from_blob(planes.data(), {3, side, side}, at::kFloat).clone());
    }
  }
}

TEST(Golden, ClipAlpha) {
  for (const auto& c : golden_cases("clip_alpha"))
    for (const std::string name : {"odd", "tall", "same"}) {
      const at::Tensor in = c.tensor("in." + name).contiguous();
      formats::RgbaImage image{.height = int(in.size(0)), .width = int(in.size(1))};
      image.rgba.assign(in.data_ptr<uint8_t>(), in.data_ptr<uint8_t>() + in.numel());
      expect_golden(c, "out." + name, bytes_of(clip_crop(image, c.config().at("side"))));
    }
}

at::Tensor embeddings(const std::string& name, int64_t count, int64_t size, double shift = 0) {
  return normalized_rows(testing::formula_features(name, count, size, 1, shift).to(at::kDouble));
}

TEST(Golden, ClipScores) {
  for (const auto& c : golden_cases("clip_scores")) {
    const auto& config = c.config();
    const int64_t count = config.at("count"), others = config.at("reference_count"), size = config.at("size");
    const auto x = embeddings("images", count, size);
    const auto y = embeddings("reference", others, size, config.at("shift"));
    const auto& want = c.json.at("values");
    EXPECT_NEAR(cmmd(x, y), want.at("cmmd").get<double>(), 1e-4);
    EXPECT_NEAR(cmmd(x, y), c.json.at("single_precision").at("cmmd").get<double>(), 2e-3);
    const auto similarity = clip_similarity(x.slice(0, 0, others), y);
    EXPECT_NEAR(similarity.cosine, want.at("cosine").get<double>(), 1e-6);
    EXPECT_NEAR(similarity.x100, want.at("x100").get<double>(), 1e-4);
    EXPECT_NEAR(similarity.x2_5, want.at("x2.5").get<double>(), 1e-5);
    for (const std::string kind : {"mlp", "linear"}) {
      const AestheticHead head(c.folder / (kind + ".pth"));
      EXPECT_EQ(head.width(), size);
      expect_golden(c, "out." + kind, head(x.slice(0, 0, 6)).to(at::kFloat).unsqueeze(1));
    }
  }
}

// LAION's own head is not part of the project; what it gives is.
TEST(Golden, TheRealAestheticHead) {
  const fs::path real = fs::path(PIXART_SOURCE_DIR) / ".." / "shared" / "real" / "laion_aesthetic_head.pth";
  if (!fs::exists(real)) GTEST_SKIP() << real << " is not on this machine: the real head is not checked";
  const AestheticHead head(real);
  EXPECT_EQ(head.width(), 768);
  EXPECT_NEAR(head(at::zeros({1, 768})).item<double>(), 5.2366, 1e-4);
  for (const auto& c : golden_cases("clip_scores"))
    expect_golden(c, "out.real", head(embeddings("aesthetic", 5, 768)).to(at::kFloat).unsqueeze(1));
}

// The estimate is biased: a row with itself counts.
TEST(Cmmd, IsZeroOfTheSameAndKnownOfTwoPoints) {
  const auto x = embeddings("images", 30, 12);
  EXPECT_NEAR(cmmd(x, x), 0, 1e-9);
  for (int64_t count = 1; count < 30; ++count)
    EXPECT_FALSE(std::signbit(cmmd(x.slice(0, 0, count), x.slice(0, 0, count)))) << count;
  const auto one = at::eye(2).slice(0, 0, 1), other = at::eye(2).slice(0, 1, 2);
  EXPECT_NEAR(cmmd(one, other), 1000 * (2 - 2 * std::exp(-0.01)), 1e-9);
}

TEST(Cmmd, TakesTheMeanOfItsReferenceWhenItIsKnown) {
  const auto x = embeddings("images", 30, 12), y = embeddings("reference", 2100, 12);
  int blocks = 0;
  const double within = mean_kernel(y, [&blocks] { ++blocks; });
  EXPECT_EQ(blocks, 3) << "between two times two blocks";
  EXPECT_EQ(cmmd(x, y, within), cmmd(x, y));
  EXPECT_NEAR(cmmd(x, y, within + 1) - cmmd(x, y), 1000, 1e-6) << "the given mean";
}

// Damaged weights give them; the largest of 0 and such a number would be 0.
TEST(ClipSimilarity, IsNotComputedOfNumbersThatAreNotFinite) {
  for (const double value : {double(NAN), double(INFINITY)}) {
    at::Tensor rows = at::eye(3, at::kDouble);
    rows[1][2] = value;
    try {
      normalized_rows(rows);
      ADD_FAILURE() << "not refused";
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::kNumerics);
      EXPECT_THAT(error.what(), HasSubstr("CLIP's results are not finite"));
    }
  }
}

TEST(ClipSimilarity, CutsNegativeCosinesByRule) {
  const at::Tensor x = at::eye(2), y = at::tensor({1.0, 0.0, 0.0, -3.0}).view({2, 2});
  const auto similarity = clip_similarity(x, normalized_rows(y));
  EXPECT_NEAR(similarity.cosine, 0, 1e-7);
  EXPECT_NEAR(similarity.x100, 0, 1e-5);
  EXPECT_NEAR(similarity.x2_5, 1.25, 1e-6);
}

class AestheticHeads : public testing::ScratchFolder {};

TEST_F(AestheticHeads, OfOtherShapesAreRefused) {
  const auto message_of = [&](const std::string& name, const std::vector<formats::NamedTensor>& tensors) {
    formats::save_safetensors(folder_ / name, tensors);
    return testing::refusal([&] { const AestheticHead head(folder_ / name); });
  };
  const at::Tensor two = at::zeros({2, 4}), bias = at::zeros({2});
  EXPECT_THAT(message_of("a.safetensors", {{"weight", two}, {"bias", bias}}), HasSubstr("2 values"));
  EXPECT_THAT(message_of("b.safetensors", {{"layers.0.weight", two},
                                           {"layers.0.bias", bias},
                                           {"layers.2.weight", two},
                                           {"layers.2.bias", bias}}),
              HasSubstr("layers.2.weight is [2, 4]"));
  EXPECT_THAT(message_of("c.safetensors", {{"other", two}}), HasSubstr("neither weight nor layers.0.weight"));
  EXPECT_THAT(message_of("l14-reluMSE.safetensors", {{"weight", two}, {"bias", bias}}), HasSubstr("ReLU"));
}

}  // namespace
}  // namespace pixart::score

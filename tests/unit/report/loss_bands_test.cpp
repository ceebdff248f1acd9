#include "pixart/report/loss_bands.h"

#include <gmock/gmock.h>

#include <cmath>

namespace pixart::report {
namespace {

const LossSetting kS8{
    .objective = "class_conditional", .preset = "S/8", .resolution = 256, .batch_size = 256};

TEST(LossBands, EachIsWellFormedAndHasASource) {
  for (const auto& band : loss_bands()) {
    EXPECT_LE(band.first_step, band.last_step);
    EXPECT_GE(band.first_step, 1);
    EXPECT_LT(band.low, band.high);
    EXPECT_FALSE(band.source.empty());
  }
}

TEST(LossBands, PlacesALoss) {
  EXPECT_EQ(place_loss(kS8, 5'000, 0.19)->place, LossPlace::kWithin);
  EXPECT_EQ(place_loss(kS8, 5'000, 0.25)->place, LossPlace::kAbove);
  EXPECT_EQ(place_loss(kS8, 99'999, 0.19)->place, LossPlace::kWithin);
  EXPECT_EQ(place_loss(kS8, 100'000, 0.19)->place, LossPlace::kAbove) << "0.17 is usual by then";
  EXPECT_EQ(place_loss(kS8, 100'000, 0.1)->place, LossPlace::kBelow);
}

TEST(LossBands, OfOneSetting) {
  const auto bands = loss_bands(kS8);
  ASSERT_EQ(bands.size(), 2u);
  EXPECT_EQ(bands[0].last_step + 1, bands[1].first_step);
  EXPECT_TRUE(loss_bands(LossSetting{"text_conditional", "S/8", 256, 256}).empty());
}

TEST(LossBands, SaysNothingWhereNothingIsKnown) {
  EXPECT_FALSE(place_loss(kS8, 4'999, 0.19));
  EXPECT_FALSE(place_loss(kS8, 400'001, 0.17));
  EXPECT_FALSE(place_loss(kS8, 5'000, NAN));
  for (LossSetting other :
       {LossSetting{"text_conditional", "S/8", 256, 256}, LossSetting{"class_conditional", "XL/2", 256, 256},
        LossSetting{"class_conditional", "S/8", 512, 256}, LossSetting{"class_conditional", "S/8", 256, 64}})
    EXPECT_FALSE(place_loss(other, 5'000, 0.19)) << other.objective << other.preset;
}

TEST(LossBands, InWords) {
  const std::string words = describe(*place_loss(kS8, 200'000, 0.3));
  EXPECT_THAT(words, ::testing::StartsWith("above the usual 0.16 to 0.18 (github.com/"));
}

}  // namespace
}  // namespace pixart::report

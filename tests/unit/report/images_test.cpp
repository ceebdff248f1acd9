#include "images.h"

#include <gmock/gmock.h>

#include "run_files.h"

namespace pixart::report {
namespace {
using ::testing::ElementsAre;

class Images : public testing::RunFolderTest {
 protected:
  // Noise does not compress, so sizes are about width * height * 3 bytes as PNG.
  std::vector<SampleGrid> save(int count, int side) const {
    std::vector<SampleGrid> samples;
    uint32_t state = 1;
    for (int i = 0; i < count; ++i) {
      Image image(side, side);
      for (auto& value : image.rgb) value = uint8_t((state = state * 1664525u + 1013904223u) >> 24);
      samples.push_back({100 * (i + 1), folder_ / fmt::format("{}.png", i)});
      formats::save_png(samples.back().file, image);
    }
    return samples;
  }

  static uint64_t bytes_of(const EmbeddedGrids& grids) {
    uint64_t total = 0;
    for (const auto& image : grids.images) total += image.data.size();
    return total;
  }
};

TEST_F(Images, AllWhereTheyFit) {
  const auto grids = embedded_grids(save(5, 16), 1 << 20);
  ASSERT_EQ(grids.images.size(), 5u);
  EXPECT_EQ(grids.images.front().step, 100);
  EXPECT_EQ(grids.images.back().width, 16);
  EXPECT_TRUE(grids.images.front().data.starts_with("data:image/"));
}

TEST_F(Images, ManyAreChosenEvenlyWithFirstAndLast) {
  const auto grids = embedded_grids(save(40, 8), 1 << 20);
  ASSERT_LE(grids.images.size(), 16u);
  EXPECT_EQ(grids.images.front().step, 100);
  EXPECT_EQ(grids.images.back().step, 4000);
}

TEST_F(Images, TheLimitHoldsAndTheLastIsKept) {
  const auto samples = save(10, 64);
  const uint64_t all = bytes_of(embedded_grids(samples, 1 << 20));
  for (const uint64_t limit : {all / 2, all / 5, all / 30, uint64_t{2000}}) {
    const auto grids = embedded_grids(samples, limit);
    EXPECT_LE(bytes_of(grids), limit);
    ASSERT_FALSE(grids.images.empty()) << limit;
    EXPECT_EQ(grids.images.back().step, 1000) << limit;
  }
  EXPECT_TRUE(embedded_grids(samples, 10).images.empty());
}

TEST_F(Images, DamagedOnesAreLeftOutAndCounted) {
  auto samples = save(3, 16);
  put("1.png", "no image");
  samples.push_back({400, folder_ / "gone.png"});
  const auto grids = embedded_grids(samples, 1 << 20);
  EXPECT_EQ(grids.images.size(), 2u);
  EXPECT_EQ(grids.num_damaged, 2u);
}

TEST_F(Images, WideOnesAreMadeSmaller) {
  formats::save_png(folder_ / "wide.png", Image(10, 4000, 77));
  const auto grids = embedded_grids({{1, folder_ / "wide.png"}}, 1 << 20);
  ASSERT_EQ(grids.images.size(), 1u);
  EXPECT_EQ(grids.images[0].width, 1000);
}

TEST(Halved, IsTheMeanOfFour) {
  Image image(2, 4);
  for (int i = 0; i < 8; ++i)
    for (int c = 0; c < 3; ++c) image.rgb[size_t(i) * 3 + size_t(c)] = uint8_t(10 * i);
  const Image half = halved(image);
  EXPECT_EQ(half.width, 2);
  EXPECT_EQ(half.height, 1);
  EXPECT_EQ(half.at(0, 0)[0], 25);
  EXPECT_EQ(half.at(0, 1)[2], 45);
  EXPECT_EQ(halved(Image(1, 1, 9)).at(0, 0)[0], 9);
}

TEST(EvenlySpread, HasBothEnds) {
  EXPECT_THAT(evenly_spread(10, 4), ElementsAre(0, 3, 6, 9));
  EXPECT_THAT(evenly_spread(3, 10), ElementsAre(0, 1, 2));
  EXPECT_THAT(evenly_spread(9, 1), ElementsAre(8));
  EXPECT_THAT(evenly_spread(1, 5), ElementsAre(0));
  EXPECT_TRUE(evenly_spread(0, 5).empty());
}

}  // namespace
}  // namespace pixart::report

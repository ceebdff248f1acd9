#include "pixart/features/image_reader.h"

#include "stage_data_fixture.h"

namespace pixart::features {
namespace {

class ImageReaderTest : public StageDataTest {
 protected:
  ImageReader reader(uint64_t seed = 9) const { return {parts(), 4, seed, folder_ / "quarantine"}; }
};

TEST_F(ImageReaderTest, StandInsAreTheSamePreloadedAndStreaming) {
  first_.reject(1, data::Reason::kEmptyFile);
  first_.reject(2, data::Reason::kMissingCaption);  // the image is fine
  first_.damaged = {5, 6, 7};
  second_.damaged = {0, 4};
  const auto streaming = reader();
  auto preloaded = reader();
  preloaded.preload();
  EXPECT_EQ(preloaded.size(), 16);
  const auto plan = counting(160, 16);
  const auto images = streaming(plan).image;
  ASSERT_EQ(images.sizes(), (std::vector<int64_t>{160, 3, 4, 4}));
  EXPECT_TRUE(at::equal(preloaded(plan).image, images));
  EXPECT_TRUE(at::equal(streaming(plan).image, images));
  EXPECT_FALSE(at::equal(reader(10)(plan).image, images));  // other stand-ins
  std::set<int> stand_ins;
  for (int64_t i = 0; i < 160; ++i) {
    const int gray = images[i][0][0][0].item<int>();
    const int64_t row = i % 16;
    const bool in_second = row >= 10;
    const int own = int(in_second ? row - 10 : row);
    const bool is_bad =
        in_second ? second_.damaged.count(own) > 0 : first_.damaged.count(own) > 0 || own == 1;
    if (!is_bad) {
      EXPECT_EQ(gray, own);
      continue;
    }
    // One of the same source, and a good one.
    EXPECT_LT(gray, in_second ? 6 : 10);
    EXPECT_FALSE(in_second ? second_.damaged.count(gray) > 0 : first_.damaged.count(gray) > 0 || gray == 1);
    if (row == 5) stand_ins.insert(gray);
  }
  EXPECT_GT(stand_ins.size(), 1);  // drawn anew at each place
  EXPECT_TRUE(at::equal(preloaded.range(8, 4), streaming.range(8, 4)));
  EXPECT_EQ(streaming.range(14, 100).size(0), 2);
  EXPECT_EQ(streaming.first(3)[2][0][0][0].item<int>(), 2);
}

TEST_F(ImageReaderTest, QuarantineFilesNameWhatWasFound) {
  first_.reject(1, data::Reason::kEmptyFile);
  first_.damaged = {5};
  auto preloaded = reader();
  preloaded.preload();  // writes them
  EXPECT_EQ(keys_in_quarantine("first"), (std::vector<std::string>{"1.png", "5.png"}));
  EXPECT_TRUE(keys_in_quarantine("second").empty());
  fs::remove_all(folder_ / "quarantine");
  const auto streaming = reader();
  streaming.write_quarantine();
  EXPECT_EQ(keys_in_quarantine("first"), std::vector<std::string>{"1.png"});
  streaming(plan_of({0}, {5}));
  streaming(plan_of({1}, {5}));  // once is enough
  streaming.write_quarantine();
  EXPECT_EQ(keys_in_quarantine("first"), (std::vector<std::string>{"1.png", "5.png"}));
}

TEST_F(ImageReaderTest, OneRankWritesTheQuarantine) {
  first_.reject(1, data::Reason::kEmptyFile);
  const ImageReader other(parts(), 4, 9, folder_ / "quarantine", {.rank = 1});
  other.write_quarantine();
  EXPECT_FALSE(fs::exists(folder_ / "quarantine"));
}

TEST_F(ImageReaderTest, StandInsAreDrawnByTheWeightsOfScores) {
  data::RowSelection selection{.drawn = data::drawn_rows({1, 1, 1, 1, 1, 1, 1, 1, 92, 1})};
  selection.verdict_of.resize(10);
  first_.select(std::make_shared<const data::RowSelection>(std::move(selection)));
  first_.damaged = {5};
  const auto images = reader();
  int64_t heaviest = 0;
  for (int64_t position = 0; position < 200; ++position)
    heaviest += images(plan_of({position}, {5})).image[0][0][0][0].item<int>() == 8 ? 1 : 0;
  EXPECT_GT(heaviest, 160);  // 186 on average
  EXPECT_LT(heaviest, 200);
}

TEST_F(ImageReaderTest, AnySampleWithAFaultIsReplacedAndNamed) {
  first_.odd = {5};
  first_.thin = {6};
  const ImageReader large(parts(), 1024, 9, folder_ / "quarantine");
  const auto images = large(plan_of({0, 1}, {5, 6})).image;
  for (int i = 0; i < 2; ++i) {
    const int gray = images[i][0][0][0].item<int>();
    EXPECT_TRUE(gray != 5 && gray != 6 && gray < 10) << gray;
  }
  large.write_quarantine();
  EXPECT_EQ(keys_in_quarantine("first"), (std::vector<std::string>{"5.png", "6.png"}));
}

TEST_F(ImageReaderTest, MoreThanTheBudgetIsAnError) {
  sources_[0].quarantine_budget = 0.2;
  first_.damaged = {3, 4};
  auto fits = reader();
  EXPECT_NO_THROW(fits.preload());
  first_.damaged = {3, 4, 5};
  auto preloaded = reader();
  EXPECT_THROW(preloaded.preload(), UserError);
  const auto streaming = reader();
  EXPECT_NO_THROW(streaming(plan_of({0}, {10})));
  EXPECT_THROW(streaming(counting(10, 10)), UserError);
  first_.reject(7, data::Reason::kMissingFile);
  first_.reject(8, data::Reason::kMissingFile);
  first_.reject(9, data::Reason::kMissingFile);
  EXPECT_THROW(reader(), UserError);  // the listing says so
}

TEST_F(ImageReaderTest, ASourceWithoutAnyGoodImageIsAnErrorAndNoEndlessSearch) {
  for (int64_t row = 0; row < 6; ++row) second_.damaged.insert(row);
  const auto streaming = reader();
  try {
    streaming(plan_of({0}, {12}));
    FAIL();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("second"), HasSubstr("none of 6 samples can be used")));
  }
  auto preloaded = reader();
  EXPECT_THROW(preloaded.preload(), UserError);
}

TEST_F(ImageReaderTest, UnitRange) {
  const at::Tensor pixels = at::tensor({0, 255, 51}, at::kByte);
  EXPECT_TRUE(at::allclose(to_unit_range(pixels), at::tensor({-1.0F, 1.0F, -0.6F})));
}

}  // namespace
}  // namespace pixart::features

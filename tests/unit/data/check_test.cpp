#include "pixart/data/check.h"

#include <atomic>

#include "folder.h"
#include "pixart/base/env.h"
#include "plain_data.h"

namespace pixart::data {
namespace {

using pixart::testing::PlainDataset;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

SourceConfig source() {
  SourceConfig result;
  result.name = "plain";
  return result;
}

TrainingShapes squares(const std::vector<int>& sides) {
  TrainingShapes::Config config;
  for (const int side : sides) config.resolutions.push_back({.side = side});
  return TrainingShapes(config);
}

TEST(Check, SpreadsAreLeastMedianMost) {
  const auto spread = spread_of({5, 1, 9, 3, 7});
  EXPECT_EQ(spread.least, 1);
  EXPECT_EQ(spread.median, 5);
  EXPECT_EQ(spread.most, 9);
  EXPECT_EQ(spread_of({4}).median, 4);
  EXPECT_EQ(spread_of({}).most, 0);
}

TEST(Check, AccountsForEverySample) {
  PlainDataset dataset(200);
  dataset.reject(3, Reason::kMissingFile);
  dataset.reject(50, Reason::kMissingCaption);
  dataset.damaged = {3, 7, 199};
  const auto report = check(source(), dataset, {});
  EXPECT_EQ(report.ledger.listed, 200);
  EXPECT_EQ(report.ledger.accepted(), 196);
  EXPECT_THAT(report.ledger.by_reason(),
              ElementsAre(Pair("damaged_picture", 2), Pair("missing_caption", 1), Pair("missing_file", 1)));
  EXPECT_EQ(report.width.least, 5);
  EXPECT_EQ(report.height.least, 4);
  EXPECT_EQ(report.height.most, 6);
  uint64_t bytes = 0;
  for (int64_t row = 0; row < 200; ++row)
    if (row != 3 && row != 7 && row != 50 && row != 199) bytes += dataset.bytes(row).size();
  EXPECT_EQ(report.bytes, bytes);
  EXPECT_THAT(report.class_sizes, ElementsAre(66, 65, 65));
  // 4 : 5, 5 : 5 and 6 : 5; 0.8 lies between 0.78 and 0.82 and is as near to both.
  ASSERT_EQ(report.aspects.size(), 3);
  EXPECT_EQ(report.aspects[0].second + report.aspects[1].second + report.aspects[2].second, 196);
  EXPECT_EQ(report.aspects[1].first, "1.0");
  EXPECT_EQ(report.aspects[2].first, "1.21");
}

TEST(Check, TellsEachRejectionInTheOrderOfTheRows) {
  PlainDataset dataset(40);
  dataset.reject(3, Reason::kMissingFile);
  dataset.reject(30, Reason::kMissingCaption);
  dataset.damaged = {1, 3, 9, 39};
  auto selection = std::make_shared<RowSelection>();
  selection->verdict_of.resize(40);
  selection->verdict_of[9] = selection->verdict_of[30] = selection->verdict_of[31] = 1;
  selection->verdicts = {{Reason::kScoreTooLow, "clip is low"}};
  dataset.select(selection);
  std::vector<std::string> told;
  const auto report =
      check(source(), dataset, {.on_rejection = [&](const Rejection& rejection) {
              told.push_back(fmt::format("{} {}", rejection.key, to_string(rejection.reason)));
            }});
  EXPECT_THAT(told, ElementsAre("1.png damaged_picture", "3.png missing_file", "9.png score_too_low",
                                "30.png missing_caption", "31.png score_too_low", "39.png damaged_picture"));
  EXPECT_EQ(report.ledger.accepted(), 34);
  EXPECT_EQ(report.ledger.count.rejected, 4);
  EXPECT_EQ(report.ledger.count.unusable, 3);
  const Ledger whole = make_ledger("plain", dataset, {});
  EXPECT_EQ(whole.accepted(), 36) << "of the listing and the scores alone";
}

TEST(Check, ThinImagesAreToldOrRejectedWhereTheResolutionIsKnown) {
  PlainDataset dataset(6);
  dataset.thin = {2, 4};
  dataset.odd = {5};
  const auto unknown = check(source(), dataset, {});
  EXPECT_THAT(unknown.ledger.by_reason(), ElementsAre(Pair("damaged_picture", 1)));
  EXPECT_THAT(unknown.thin, ElementsAre("2.png (1000 x 3)", "4.png (1000 x 3)"));
  const auto small = check(source(), dataset, {.shapes = {{.shapes = squares({256})}}});
  EXPECT_THAT(small.ledger.by_reason(), ElementsAre(Pair("damaged_picture", 1)));
  const auto large =
      check(source(), dataset, {.shapes = {{.shapes = squares({256})}, {.shapes = squares({1024})}}});
  EXPECT_THAT(large.ledger.by_reason(), ElementsAre(Pair("damaged_picture", 1), Pair("picture_too_thin", 2)));
  EXPECT_THAT(large.thin, IsEmpty());
  dataset.thin = {2};
  const TrainingShapes shapes({.resolutions = {{.side = 1024}}, .aspect_buckets = true});
  const auto buckets = check(source(), dataset, {.shapes = {{.shapes = shapes}}});
  EXPECT_THAT(buckets.ledger.by_reason(), ElementsAre(Pair("damaged_picture", 1)));
}

TEST(Check, CountsTheShapesOfStagesWithSeveral) {
  PlainDataset dataset(9);  // 4, 5 or 6 rows of 5 pixels
  dataset.damaged = {0};
  const auto report = check(
      source(), dataset,
      {.shapes = {{.stage = "one", .shapes = squares({4})}, {.stage = "two", .shapes = squares({3, 4, 5})}}});
  ASSERT_EQ(report.buckets.size(), 2);
  EXPECT_EQ(report.buckets[0].stage, "two");
  EXPECT_EQ(report.buckets[0].resolution, 4);
  EXPECT_EQ(report.buckets[0].images, 2);
  EXPECT_EQ(report.buckets[1].shape.height, 5);
  EXPECT_EQ(report.buckets[1].images, 6);
}

TEST(Check, CountsCaptionsByKind) {
  PlainDataset dataset(4);
  dataset.rows[0].captions = {{"short", "ä"}, {"long", "one two three"}};
  dataset.rows[1].captions = {{"short", "ä"}};
  dataset.rows[2].captions = {{"long", "one two three four"}};
  dataset.rows[3].captions = {};
  std::atomic<int> asked = 0;
  const auto count_words = [&](const std::string& text) {
    ++asked;
    return 1 + int64_t(std::count(text.begin(), text.end(), ' '));
  };
  const auto report = check(source(), dataset, {.max_tokens = 3, .count_tokens = count_words});
  EXPECT_EQ(asked, 4);
  ASSERT_EQ(report.captions.size(), 2);
  const auto& brief = report.captions.at("short");
  EXPECT_EQ(brief.captions, 2);
  EXPECT_EQ(brief.distinct, 1);
  EXPECT_EQ(brief.characters.most, 1);  // characters, not bytes
  const auto& detailed = report.captions.at("long");
  EXPECT_EQ(detailed.tokens.least, 3);
  EXPECT_EQ(detailed.tokens.most, 4);
  EXPECT_EQ(detailed.cut, 1);
}

TEST(Check, NamesOpeningsOfEachKindThatManyCaptionsShare) {
  PlainDataset dataset(40);
  dataset.damaged = {0};
  for (int64_t row = 0; row < 40; ++row)
    dataset.rows[size_t(row)].captions = {{"short", fmt::format("thing {0} near {0}", row)},
                                          {"long", fmt::format("Here is a caption: thing {}", row)}};
  const auto report = check(source(), dataset, {});
  EXPECT_THAT(report.captions.at("short").openings, IsEmpty());
  const auto& openings = report.captions.at("long").openings;
  ASSERT_EQ(openings.size(), 1);
  EXPECT_EQ(openings[0].text, "Here is a caption:");
  EXPECT_EQ(openings[0].captions, 39) << "of accepted samples";
  EXPECT_EQ(openings[0].example, "1.png");
}

TEST(Check, FindsImagesWithTheSameBytes) {
  PlainDataset dataset(600);  // grays repeat every 256 rows, shapes every 3: the same after 768
  EXPECT_THAT(check(source(), dataset, {}).duplicates, IsEmpty());
  const PlainDataset more(770);
  EXPECT_THAT(check(source(), more, {}).duplicates,
              ElementsAre(ElementsAre("0.png", "768.png"), ElementsAre("1.png", "769.png")));
}

TEST(Check, ExamplesAreSpreadOverTheSourceAndAccepted) {
  PlainDataset dataset(100);
  dataset.damaged = {0, 1, 20};
  dataset.rows[2].captions.clear();
  std::vector<std::string> shown;
  for (const auto& example : check(source(), dataset, {.examples = 5}).examples)
    shown.push_back(fmt::format("{} {} {}x{}", example.key, example.caption, example.width, example.height));
  EXPECT_THAT(shown, ElementsAre("2.png  5x6", "21.png caption 21 5x4", "40.png caption 40 5x5",
                                 "60.png caption 60 5x4", "80.png caption 80 5x6"));
  EXPECT_THAT(check(source(), dataset, {.examples = 0}).examples, IsEmpty());
  EXPECT_EQ(check(source(), PlainDataset(2), {.examples = 5}).examples.size(), 2);
}

// Images of 5 x 4 pixels, each with a caption of its own of 8 KiB, made when it is asked for.
class LongCaptions : public PlainDataset {
 public:
  using PlainDataset::PlainDataset;
  Row row(int64_t index) const override {
    Row row = PlainDataset::row(index);
    row.captions = {
        {.name = "caption", .text = fmt::format("{} {}", index, std::string(size_t{1} << 13, 'x'))}};
    return row;
  }
};

TEST(Check, MemoryDoesNotGrowWithTheCaptions) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "freed memory is kept for a while";
#endif
  EXPECT_EQ(check(source(), LongCaptions(200), {}).captions.at("caption").distinct, 200);
  const uint64_t before = peak_memory_bytes();
  EXPECT_EQ(check(source(), LongCaptions(6000), {}).captions.at("caption").distinct, 6000);  // 48 MiB of them
  EXPECT_LT(peak_memory_bytes() - before, uint64_t{16} << 20);
}

TEST(Check, IsTheSameEveryTime) {
  PlainDataset dataset(300);
  dataset.damaged = {5, 77};
  const auto first = check(source(), dataset, {}), second = check(source(), dataset, {});
  EXPECT_EQ(first.aspects, second.aspects);
  EXPECT_EQ(first.bytes, second.bytes);
  ASSERT_EQ(first.examples.size(), second.examples.size());
  for (size_t i = 0; i < first.examples.size(); ++i) EXPECT_EQ(first.examples[i].key, second.examples[i].key);
}

}  // namespace
}  // namespace pixart::data

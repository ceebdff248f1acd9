#include "pixart/data/noun_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <random>

#include "pixart/data/dataset.h"

namespace pixart::data {
namespace {
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

text::NounFinder& finder() {
  static text::NounFinder instance;
  return instance;
}

TEST(NounStatistics, OfOneKind) {
  NounCounter counter(finder(), "mine");
  counter.add({{"caption", "a dog and two dogs"}});
  counter.add({{"caption", "the cat"}});
  counter.add({{"caption", "red"}});
  const auto all = counter.statistics();
  ASSERT_EQ(all.size(), 1u);
  const auto& row = all.front();
  EXPECT_EQ(row.source, "mine");
  EXPECT_EQ(row.kind, "caption");
  EXPECT_EQ(row.images, 3);
  EXPECT_EQ(row.captions, 3);
  EXPECT_EQ(row.words, 8);
  EXPECT_EQ(row.distinct, 2);
  EXPECT_EQ(row.valid, 0);
  EXPECT_EQ(row.total, 3);
  EXPECT_DOUBLE_EQ(row.per_image(), 1.0);
  EXPECT_THAT(row.by_count, ElementsAre(Pair("dog", 2), Pair("cat", 1)));
  EXPECT_EQ(row.words_5, 1);
  EXPECT_EQ(row.words_median, 2);
  EXPECT_EQ(row.words_95, 5);
}

TEST(NounStatistics, ValidIsMoreThanTen) {
  NounCounter counter(finder(), "");
  for (int i = 0; i < 11; ++i) counter.add({{"caption", i < 10 ? "a dog, a cat" : "a dog"}});
  const auto row = counter.statistics().front();
  EXPECT_THAT(row.by_count, ElementsAre(Pair("dog", 11), Pair("cat", 10)));
  EXPECT_EQ(row.valid, 1);
  EXPECT_DOUBLE_EQ(row.valid_share(), 0.5);
}

TEST(NounStatistics, KindsAreCountedApartAndImagesOnce) {
  NounCounter counter(finder(), "");
  counter.add({{"short", "a dog"}, {"long", "a dog on a mat"}, {"long", "a brown dog"}});
  counter.add({{"long", "a cat"}});
  counter.add({});
  const auto rows = counter.statistics();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].kind, "short");
  EXPECT_EQ(rows[0].images, 1);
  EXPECT_EQ(rows[0].total, 1);
  EXPECT_EQ(rows[1].kind, "long");
  EXPECT_EQ(rows[1].images, 2);
  EXPECT_EQ(rows[1].captions, 3);
  EXPECT_EQ(rows[1].total, 4);
  EXPECT_DOUBLE_EQ(rows[1].per_image(), 2.0);
  EXPECT_THAT(rows[1].by_count, ElementsAre(Pair("dog", 2), Pair("cat", 1), Pair("mat", 1)));
}

TEST(NounStatistics, CountersShareAFinder) {
  NounCounter first(finder(), "a"), second(finder(), "b");
  first.add({{"caption", "a zebra and a giraffe"}});
  second.add({{"caption", "a giraffe"}});
  EXPECT_THAT(first.statistics().front().by_count, ElementsAre(Pair("giraffe", 1), Pair("zebra", 1)));
  EXPECT_THAT(second.statistics().front().by_count, ElementsAre(Pair("giraffe", 1)));
}

TEST(NounStatistics, UnknownWordsApartOrAsNouns) {
  const std::vector<Caption> captions = {{"caption", "Zendaya and Zendaya with a dgo and a dog"}};
  NounCounter apart(finder(), ""), together(finder(), "", true);
  apart.add(captions);
  together.add(captions);
  const auto row = apart.statistics().front();
  EXPECT_EQ(row.unknown_distinct, 2);
  EXPECT_EQ(row.unknown_total, 3);
  EXPECT_EQ(row.total, 1);
  EXPECT_THAT(together.statistics().front().by_count,
              ElementsAre(Pair("zendaya", 2), Pair("dgo", 1), Pair("dog", 1)));
  EXPECT_EQ(together.statistics().front().unknown_total, 0);
}

TEST(NounStatistics, OpeningsOfEachKind) {
  NounCounter counter(finder(), "");
  for (int i = 0; i < 6; ++i)
    counter.add({{"short", "a dog"}, {"long", "Caption: a dog"}}, std::to_string(i) + ".png");
  const auto rows = counter.statistics();
  EXPECT_THAT(rows.at(0).openings, IsEmpty());
  ASSERT_EQ(rows.at(1).openings.size(), 1u);
  EXPECT_EQ(rows[1].openings[0].text, "Caption:");
  EXPECT_EQ(rows[1].openings[0].example, "0.png");
}

// A source of captions without images.
class Captions : public Dataset {
 public:
  int64_t size() const override { return int64_t(rows.size()); }
  Row row(int64_t index) const override { return rows.at(size_t(index)); }
  const std::vector<std::string>& class_names() const override { return classes; }
  const std::vector<Rejection>& rejected() const override { return listed; }
  std::string fingerprint() const override { return "captions"; }

  std::vector<Row> rows;
  std::vector<Rejection> listed;
  std::vector<std::string> classes;

 private:
  std::string read_bytes_of(int64_t) const override { return {}; }
};

// Of two kinds, with more openings than are counted, names, and rows that are not used.
Captions many_captions(int64_t count) {
  const std::vector<std::string> words = {"dog",    "dogs",    "running", "a",   "the", "bear", "Zendaya",
                                          "bicyle", "glasses", "red",     "and", "of",  "in",   "ice-cream"};
  std::mt19937 random(7);
  Captions captions;
  for (int64_t i = 0; i < count; ++i) {
    std::string text = i % 3 == 0 ? "A photo of" : i % 7 == 0 ? "Caption:" : fmt::format("Name{}", i);
    for (int k = 0; k < 20; ++k) text += " " + words[random() % words.size()];
    Row row{.key = fmt::format("{}.png", i), .captions = {{.name = "long", .text = text}}};
    if (i % 5 == 0) row.captions.push_back({.name = "long", .text = "two " + text});
    if (i > 600 && i % 2 == 0) row.captions.push_back({.name = "short", .text = "a zebra"});
    if (i % 100 == 13) captions.listed.push_back({.row = i, .key = row.key, .reason = Reason::kMissingFile});
    captions.rows.push_back(std::move(row));
  }
  return captions;
}

std::string text_of(const std::vector<NounStatistics>& all) {
  std::string text;
  for (const auto& row : all) {
    text +=
        fmt::format("{} {}: {} {} {} | {} {} {} | {} {} | {} {} {} | {}\n", row.source, row.kind, row.images,
                    row.captions, row.words, row.distinct, row.valid, row.total, row.unknown_distinct,
                    row.unknown_total, row.words_5, row.words_median, row.words_95, row.by_count);
    for (const auto& opening : row.openings) text += describe(opening) + "\n";
  }
  return text;
}

TEST(NounStatistics, AnyNumberOfThreadsCountsTheSameAsOneImageAfterTheOther) {
  Captions captions = many_captions(6000);
  auto selection = std::make_shared<RowSelection>();
  selection->verdict_of.resize(captions.rows.size());
  for (size_t i = 0; i < captions.rows.size(); i += 1000) selection->verdict_of[i] = 1;
  selection->verdicts = {{Reason::kScoreTooLow, "too low"}};
  captions.select(selection);
  for (const bool with_unknown : {false, true}) {
    NounCounter counter(finder(), "mine", with_unknown);
    for (int64_t i = 0; i < captions.size(); ++i)
      if (i % 100 != 13 && !captions.is_left_out(i))
        counter.add(captions.rows[size_t(i)].captions, captions.rows[size_t(i)].key);
    const std::string expected = text_of(counter.statistics());
    EXPECT_THAT(expected, ::testing::HasSubstr("A photo of"));
    for (const int threads : {0, 1, 2, 7}) {
      const auto counted = count_nouns(captions, finder(), "mine", with_unknown, threads);
      EXPECT_EQ(text_of(counted.kinds), expected) << threads;
      EXPECT_THAT(counted.not_counted, ElementsAre(Pair("missing_file", 60), Pair("score_too_low", 6)));
    }
  }
}

TEST(NounStatistics, OfNothing) {
  EXPECT_THAT(count_nouns(Captions(), finder(), "", false).kinds, IsEmpty());
  EXPECT_THAT(NounCounter(finder(), "").statistics(), IsEmpty());
  EXPECT_EQ(NounStatistics().per_image(), 0);
  EXPECT_EQ(NounStatistics().valid_share(), 0);
}

}  // namespace
}  // namespace pixart::data

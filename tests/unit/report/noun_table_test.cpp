#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pixart/report/noun_report.h"

namespace pixart::report {
namespace {
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

data::NounStatistics row(const std::string& source, const std::string& kind, int64_t total) {
  return {.source = source,
          .kind = kind,
          .images = 1000,
          .captions = 1000,
          .words = 4 * total,
          .distinct = 200,
          .valid = 25,
          .total = total,
          .words_5 = 2,
          .words_median = 12,
          .words_95 = 40};
}

TEST(NounTable, HasTheFormOfThePaper) {
  EXPECT_EQ(
      noun_table({row("a", "short", 3100), row("a", "long", 24600)}),
      "captions            images  valid / distinct nouns  total nouns  nouns per image  words (5 %, 95 %)\n"
      "short                1,000       25 / 200 = 12.5 %        3,100              3.1         12 (2, 40)\n"
      "long                 1,000       25 / 200 = 12.5 %       24,600             24.6         12 (2, 40)\n"
      "paper: LAION                  210K / 2461K = 8.5 %        72.0M              6.4\n"
      "paper: LAION-LLaVA             85K / 646K = 13.3 %       233.9M             20.9\n"
      "paper: SAM-LLaVA               23K / 124K = 18.6 %       327.9M             29.3\n"
      "paper: Internal               152K / 582K = 26.1 %       136.6M             12.2\n");
}

TEST(NounTable, NamesTheSourceWhereThereAreSeveral) {
  const std::vector<data::NounStatistics> rows = {row("a", "caption", 1), row("b", "caption", 1)};
  EXPECT_EQ(row_label(rows[0], rows), "a: caption");
  EXPECT_EQ(row_label(rows[0], {rows[0]}), "caption");
}

TEST(NounTable, ChangesFromOneRowToTheOthers) {
  const std::vector<data::NounStatistics> rows = {row("", "short", 3100), row("", "long", 24600),
                                                  row("", "none", 0)};
  EXPECT_THAT(
      noun_changes(rows, 0),
      ElementsAre("short -> long: nouns per image 3.1 -> 24.6 (7.9x), words a caption 12.4 -> 98.4 (7.9x), "
                  "valid nouns 25 -> 25, of the distinct ones 12.5 -> 12.5 %",
                  HasSubstr("nouns per image 3.1 -> 0.0 (0.0x)")));
  EXPECT_THAT(noun_changes(rows, 2).front(), HasSubstr("nouns per image 0.0 -> 3.1, words"))
      << "no division by 0";
  EXPECT_THAT(noun_changes({rows[0]}, 0), IsEmpty());
}

}  // namespace
}  // namespace pixart::report

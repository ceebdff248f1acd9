#include "pixart/base/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixart {
namespace {

using ::testing::ElementsAre;
using ::testing::ThrowsMessage;

struct Row {
  const char* name;
  int value;
};
constexpr Row kRows[] = {{"one", 1}, {"two", 2}};

TEST(Names, OfTheRowsOfATable) { EXPECT_THAT(names_of(kRows), ElementsAre("one", "two")); }

TEST(Names, FindARow) {
  EXPECT_EQ(find_named(kRows, "two"), &kRows[1]);
  EXPECT_EQ(find_named(kRows, "tw"), nullptr);
  EXPECT_EQ(&row_named(kRows, "one", "number"), &kRows[0]);
}

TEST(Names, AnUnknownOneIsAnsweredWithTheKnownOnes) {
  EXPECT_THAT([] { row_named(kRows, "twoo", "number"); },
              ThrowsMessage<UserError>("unknown number 'twoo'; known are one, two. Did you mean 'two'?"));
}

TEST(Names, AListContainsWhatItHolds) {
  EXPECT_TRUE(contains(std::vector<std::string>{"a", "b"}, "b"));
  EXPECT_FALSE(contains(std::vector<int64_t>{1, 2}, 3));
}

}  // namespace
}  // namespace pixart

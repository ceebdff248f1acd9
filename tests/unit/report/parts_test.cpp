#include "parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixart::report {
namespace {
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Tables, NumbersStandToTheRight) {
  const std::string html =
      table_html({.head = {"<a>", "n", "text"}, .rows = {{"<x>", "1", "<y>"}}, .numbers = 1});
  EXPECT_THAT(
      html,
      AllOf(HasSubstr("<th scope=\"col\">&lt;a&gt;</th>"), HasSubstr("<th scope=\"row\">&lt;x&gt;</th>"),
            HasSubstr("<td class=\"number\">1</td><td>&lt;y&gt;</td>"), Not(HasSubstr("cards"))));
}

TEST(Tables, AsCardsNameEachCell) {
  EXPECT_THAT(table_html({.head = {"a", "b\""}, .rows = {{"x", "1"}}, .cards = true}),
              AllOf(HasSubstr("class=\"cards\""), HasSubstr("<td data-name=\"b&quot;\">1</td>")));
}

TEST(Facts, WithoutTextAreLeftOut) {
  EXPECT_EQ(facts_html({{"a", ""}, {"b", "<c>"}}),
            "<dl class=\"facts\">\n<div><dt>b</dt><dd>&lt;c&gt;</dd></div>\n</dl>\n");
}

}  // namespace
}  // namespace pixart::report

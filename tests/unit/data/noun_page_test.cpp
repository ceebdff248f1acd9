#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pixart/data/noun_report.h"

namespace pixart::data {
namespace {
using ::testing::HasSubstr;
using ::testing::Not;

NounStatistics row(const std::string& kind) {
  return {.kind = kind,
          .images = 10,
          .captions = 10,
          .words = 100,
          .distinct = 3,
          .valid = 1,
          .total = 1236,
          .by_count = {{"dog", 1234}, {"ice cream", 1}, {"x<y", 1}}};
}

int64_t count(const std::string& text, const std::string& part) {
  int64_t result = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++result;
  return result;
}

TEST(NounPage, ShowsTableChangesNotesAndNouns) {
  const std::string page =
      noun_page({row("short"), row("long")}, {.title = "My captions", .notes = {"So & so."}});
  for (const char* part :
       {"<h1>My captions</h1>", "paper: SAM-LLaVA", "123.6", "short → long: nouns per image", "So &amp; so.",
        "<span>dog</span>", "<span>1,234</span>", "valid: more than 10 times"})
    EXPECT_THAT(page, HasSubstr(part));
}

TEST(NounPage, EscapesWhatComesFromData) {
  const std::string page = noun_page({row("<script>"), row("a\"b")}, {.title = "<b>", .notes = {"<i>"}});
  for (const char* raw : {"<script", "<b>", "a\"b", "x<y"}) EXPECT_THAT(page, Not(HasSubstr(raw)));
  EXPECT_THAT(page, HasSubstr("<h3>&lt;script&gt;</h3>"));
}

TEST(NounPage, ClosesEachElement) {
  const std::string page = noun_page({row("short"), row("long")}, {.title = "t", .notes = {"n"}});
  for (const std::string name :
       {"table", "tr", "td", "ul", "ol", "li", "div", "section", "figure", "svg", "p", "span"})
    EXPECT_EQ(count(page, "<" + name + " ") + count(page, "<" + name + ">"), count(page, "</" + name + ">"))
        << name;
}

TEST(NounPage, ListsAsManyNounsAsAsked) {
  EXPECT_EQ(count(noun_page({row("a")}, {.title = "t", .top = 2}), "class=\"bar\""), 2);
  EXPECT_THAT(noun_page({row("a")}, {.title = "t", .top = 0}), Not(HasSubstr("Most frequent")));
}

TEST(NounPage, OfCaptionsWithoutNouns) {
  NounStatistics empty{.kind = "caption"};
  const std::string page = noun_page({empty}, {.title = "t"});
  EXPECT_THAT(page, HasSubstr("<polyline class=\"series-0\" points=\"\"/>"));
  EXPECT_THAT(page, Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace pixart::data

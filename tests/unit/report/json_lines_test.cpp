#include "json_lines.h"

#include <cmath>

#include "run_files.h"

namespace pixart::report {
namespace {

class JsonLines : public testing::RunFolderTest {
 protected:
  LineCount read(const std::string& text, std::vector<int64_t>* steps = nullptr) const {
    return for_each_json_line(put("lines.jsonl", text), [&](const nlohmann::json& line) {
      if (steps != nullptr) steps->push_back(integer_in(line, "step", -1));
    });
  }
};

TEST_F(JsonLines, WholeLinesAreReadAndTheRestIsCounted) {
  std::vector<int64_t> steps;
  const auto count = read("{\"step\":1}\n\nnonsense\n[1]\n{\"step\":2}\r\n{\"step\":3, \"lo", &steps);
  EXPECT_EQ(steps, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(count.read, 2);
  EXPECT_EQ(count.unreadable, 2);
  EXPECT_TRUE(count.is_cut);
  EXPECT_TRUE(count.exists);
}

TEST_F(JsonLines, AWholeLastLineNeedsNoEnd) {
  const auto count = read("{\"step\":1}\n{\"step\":2}");
  EXPECT_EQ(count.read, 2);
  EXPECT_FALSE(count.is_cut);
}

TEST_F(JsonLines, ALineBeyondAllMeasureIsPassedOver) {
  std::vector<int64_t> steps;
  const auto count = read(std::string(3 << 20, 'x') + "\n{\"step\":5}\n", &steps);
  EXPECT_EQ(count.unreadable, 1);
  EXPECT_EQ(steps, std::vector<int64_t>{5});
}

TEST_F(JsonLines, WhatIsNoFileHoldsNothing) {
  EXPECT_FALSE(for_each_json_line(folder_ / "gone", [](const auto&) {}).exists);
  EXPECT_FALSE(for_each_json_line(folder_, [](const auto&) {}).exists);
  EXPECT_EQ(read("").read, 0);
}

TEST_F(JsonLines, OnlySomePartsAreRead) {
  const auto file = put("lines.jsonl", "{\"step\":1}\n" + std::string(3 << 20, 'x') +
                                           "\n{\"step\":2}\n\n{\"step\":3}\nnonsense\n{\"step\":4}");
  std::vector<ByteRange> places;
  for_each_placed_line(file, [&](const auto&, const ByteRange& place) { places.push_back(place); });
  ASSERT_EQ(places.size(), 4u);
  EXPECT_EQ(places[1].begin, 11 + (3 << 20) + 1);
  const auto steps_in = [&](const std::vector<ByteRange>& parts) {
    std::vector<int64_t> steps;
    for_each_line_in(file, parts, [&](const nlohmann::json& line, const auto&) {
      steps.push_back(integer_in(line, "step", -1));
    });
    return steps;
  };
  for (size_t i = 0; i < places.size(); ++i) EXPECT_EQ(steps_in({places[i]}), std::vector{int64_t(i) + 1});
  EXPECT_EQ(steps_in({places[0], places[3]}), (std::vector<int64_t>{1, 4}));
  EXPECT_EQ(steps_in({places[3], places[1]}), (std::vector<int64_t>{4, 2}));
  EXPECT_EQ(steps_in({{places[0].begin, places[2].end}}), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(steps_in({{places[3].end + 9, places[3].end + 99}}), std::vector<int64_t>{});
}

TEST(JsonValues, OfOtherTypesAreAbsent) {
  const auto json =
      nlohmann::json::parse(R"({"number": 1.5, "null": null, "text": "3", "large": 1e300, "list": [1]})");
  EXPECT_EQ(number_in(json, "number"), 1.5);
  EXPECT_TRUE(std::isnan(number_in(json, "null").value()));
  for (const char* key : {"text", "list", "absent"}) EXPECT_FALSE(number_in(json, key).has_value()) << key;
  for (const char* key : {"null", "text", "large", "absent"}) EXPECT_EQ(integer_in(json, key, -7), -7) << key;
  EXPECT_EQ(text_in(json, "text"), "3");
  EXPECT_EQ(text_in(json, "number"), "");
}

TEST(Times, ReadAndWritten) {
  EXPECT_EQ(parsed_time("1970-01-02T00:00:01Z"), 86401);
  EXPECT_EQ(parsed_time("2026-11-26T18:00:00Z"), 1795716000);
  EXPECT_EQ(parsed_time("2024-02-29T23:59:59.5Z"), 1709251199.5);
  EXPECT_EQ(time_text(1795716000), "2026-11-26 18:00:00");
  EXPECT_EQ(time_text(-1), "1969-12-31 23:59:59");
  for (const char* text : {"", "2026", "2026-13-01T00:00:00Z", "2023-02-29T00:00:00Z", "2026-01-01T24:00:00Z",
                           "2026-01-01T00:00:00", "2026-01-01T00:00:00Zjunk", "2026--1-01T00:00:00Z"})
    EXPECT_FALSE(parsed_time(text).has_value()) << text;
  EXPECT_EQ(time_text(std::nan("")), "?");
  for (const char* text : {"0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"}) {
    std::string shown = text;
    shown.pop_back();
    shown[10] = ' ';
    EXPECT_EQ(time_text(parsed_time(text).value()), shown);
  }
}

}  // namespace
}  // namespace pixart::report

// Cards of scores, and which of them compare.
#include "card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "many_keys.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/score/score.h"
#include "scratch_folder.h"

namespace pixart::score {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json card() {
  return {{"kind", kCardKind},
          {"scores", {{"fid", 12.5}}},
          {"protocol",
           {{"resize", "clean"},
            {"num_images", 10},
            {"reference", {{"sha256", "ab"}}},
            {"settings", {{"kid", {{"seed", 0}}}}}}},
          {"machine", {{"device", "cpu"}}}};
}

CardComparison compared(const json& first, const json& second) {
  return compare_cards(first.dump(), "a.json", second.dump(), "b.json");
}

using Cards = testing::ScratchFolder;

TEST_F(Cards, CompareWhatHasOneProtocol) {
  json other = card();
  other["scores"] = {{"fid", 11.25}, {"kid", 0.5}};
  other["machine"]["device"] = "cuda";
  const auto comparison = compared(card(), other);
  EXPECT_TRUE(comparison.protocol.empty());
  ASSERT_EQ(comparison.values.size(), 2u);
  EXPECT_EQ(comparison.values[0].name, "fid");
  EXPECT_EQ(comparison.values[0].second, "11.25");
  EXPECT_EQ(comparison.values[1].first, "-");
  ASSERT_EQ(comparison.machine.size(), 1u);
  EXPECT_EQ(comparison.machine[0].name, "device");
}

TEST_F(Cards, NameEachDifferenceOfTheProtocol) {
  json other = card();
  other["protocol"]["resize"] = "pytorch";
  other["protocol"]["reference"]["sha256"] = "cd";
  other["protocol"]["sampling"] = {{"sampler", "ddim"}};
  const auto protocol = compared(card(), other).protocol;
  std::vector<std::string> names;
  for (const auto& difference : protocol) names.push_back(difference.name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("resize", "reference/sha256", "sampling/sampler"));
}

// A card of --save-statistics alone has no values.
TEST_F(Cards, CompareWithoutValues) {
  json none = card();
  none["scores"] = json::object();
  EXPECT_TRUE(compared(none, none).values.empty());
  ASSERT_EQ(compared(none, card()).values.size(), 1u);
  EXPECT_EQ(compared(none, card()).values[0].first, "-");
}

// The seed of KID says nothing about FID.
TEST_F(Cards, CompareSettingsOfSharedMetricsOnly) {
  json other = card();
  other["protocol"]["settings"] = {{"precision_recall", {{"neighbours", 3}}}};
  EXPECT_TRUE(compared(card(), other).protocol.empty());
  other["protocol"]["settings"]["kid"] = {{"seed", 1}};
  ASSERT_EQ(compared(card(), other).protocol.size(), 1u);
  EXPECT_EQ(compared(card(), other).protocol[0].name, "settings/kid/seed");
}

// The similarity of one card compares with that of another, which also has a CMMD and a distance.
TEST_F(Cards, ComparePartsOfNetworksThatBothHave) {
  json one = card(), other = card();
  one["protocol"].erase("reference");
  one["protocol"].erase("resize");
  one["protocol"]["clip"] = {{"weights_sha256", "aa"}, {"prompts_sha256", "bb"}};
  other["protocol"]["clip"] = one["protocol"]["clip"];
  other["protocol"]["clip"]["cmmd_pixels"] = "centre square";
  other["protocol"]["efficientnet_lite0"] = {{"side", 224}};
  EXPECT_TRUE(compared(one, other).protocol.empty());
  EXPECT_TRUE(compared(other, one).protocol.empty());
  other["protocol"]["clip"]["prompts_sha256"] = "cc";
  ASSERT_EQ(compared(one, other).protocol.size(), 1u);
  EXPECT_EQ(compared(one, other).protocol[0].name, "clip/prompts_sha256");
}

TEST_F(Cards, RefusesOtherFiles) {
  EXPECT_THAT(testing::refusal([] { compare_cards("{}", "a.json", card().dump(), "b.json"); }),
              HasSubstr("a.json is not a card"));
  const std::string deep = R"({"kind": "pixart score, 1", "scores": {}, "machine": {}, "protocol": {"a": )" +
                           std::string(250'000, '[') + std::string(250'000, ']') + "}}";
  EXPECT_THAT(testing::refusal([&] { compare_cards(card().dump(), "a.json", deep, "b.json"); }),
              HasSubstr("b.json is not a card"));
  const std::string large = R"({"kind": "pixart score, 1", "scores": {}, "machine": {}, "protocol": {)" +
                            testing::many_keys() + "}}";
  EXPECT_THAT(testing::refusal([&] { compare_cards(large, "a.json", large, "b.json"); }),
              HasSubstr("a.json is not a card"));
}

TEST_F(Cards, CompareLongLists) {
  json one = card(), other = card();
  one["scores"]["each"] = std::vector<int>(100'000, 1),
  other["scores"]["each"] = std::vector<int>(100'001, 1);
  const auto values = compared(one, other).values;
  ASSERT_EQ(values.size(), 100'002u);
  EXPECT_EQ(values.back().name, "each/100000");
  EXPECT_EQ(values.back().first, "-");
  EXPECT_EQ(values.back().second, "1");
}

TEST_F(Cards, ReplaceOnlyCards) {
  EXPECT_EQ(card_path(folder_), folder_ / "score.json");
  EXPECT_EQ(card_path(folder_ / "mine.json"), folder_ / "mine.json");
  write_file_atomically(folder_ / "picture.png", "no folder");
  EXPECT_THAT(testing::refusal([&] { card_path(folder_ / "picture.png"); }), HasSubstr("give a folder"));
  write_file_atomically(folder_ / "score.json", card().dump());
  EXPECT_EQ(card_path(folder_), folder_ / "score.json");
  write_file_atomically(folder_ / "score.json", "{\"my\": \"notes\"}");
  EXPECT_THROW(card_path(folder_), UserError);
}

// What cannot be written is told before the work; a trial leaves neither files nor folders.
TEST_F(Cards, AreTriedWhereTheyWillBe) {
  EXPECT_EQ(card_path(folder_ / "new/deep"), folder_ / "new/deep/score.json");
  EXPECT_EQ(card_path(folder_ / "mine.json"), folder_ / "mine.json");
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
  for (const auto& path : {folder_ / "file/new/mine.json", std::filesystem::path("/proc/none/mine.json")}) {
    write_file_atomically(folder_ / "file", "no folder");
    try {
      card_path(path);
      ADD_FAILURE() << path << " is not refused";
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::kStorage);
    }
  }
}

}  // namespace
}  // namespace pixart::score

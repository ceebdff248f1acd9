#include "many_keys.h"
#include "pixart/report/page.h"
#include "reading.h"
#include "run_files.h"

namespace pixart::report {
namespace {
namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string card(double fid, const std::string& resize = "clean", const std::string& settings = "{}") {
  return fmt::format(
      "{{\"kind\":\"pixart score, 1\",\"scores\":{{\"fid\":{}}},\"protocol\":{{\"resize\":\"{}\","
      "\"reference\":{{\"sha256\":\"12\"}},\"settings\":{}}},\"machine\":{{}}}}",
      fid, resize, settings);
}

class ScoreCards : public testing::RunFolderTest {
 protected:
  ReportedRun run(const std::string& name) const { return {.record = read_run(folder_ / name)}; }
  std::string comparison() const { return comparison_page({run("a"), run("b")}, {}); }
};

TEST_F(ScoreCards, AreReadWithStageAndStep) {
  put("a/metrics/text/step-00000200.json", card(12.5));
  put("a/scores/late/score.json", card(9, "clean", "{\"kid\":{\"seed\":3}}"));
  put("a/scores/late/other.json", card(1));
  put("a/metrics/text/notes.json", "{}");
  const RunRecord record = run("a").record;
  ASSERT_EQ(record.cards.size(), 2u);
  EXPECT_EQ(record.cards[0].stage, "text");
  EXPECT_EQ(record.cards[0].step, 200);
  EXPECT_THAT(record.cards[0].values, ElementsAre(std::pair<std::string, double>("fid", 12.5)));
  EXPECT_EQ(record.cards[0].protocol.at("reference/sha256"), "12");
  EXPECT_EQ(record.cards[1].file, "scores/late/score.json");
  EXPECT_EQ(record.cards[1].settings.at("kid/seed"), "3");
}

TEST_F(ScoreCards, FollowTheOrderOfTheStages) {
  put("a/scores/score.json", card(1));
  for (const char* stage : {"aesthetic", "class", "text"})
    put(fmt::format("a/scores/{}/step-00000010.json", stage), card(2));
  const RunRecord record = read_run(folder_ / "a", {.stages = {"class", "text", "aesthetic"}});
  std::vector<std::string> stages;
  for (const auto& one : record.cards) stages.push_back(one.stage);
  EXPECT_THAT(stages, ElementsAre("class", "text", "aesthetic", ""));
}

TEST_F(ScoreCards, WhatIsNotACardIsARemark) {
  for (const char* text : {"", "[]", "{\"kind\":\"pixart score, 2\",\"scores\":{},\"protocol\":{}}",
                           "{\"kind\":\"pixart score, 1\",\"scores\":3,\"protocol\":{}}"}) {
    put("a/metrics/text/step-00000001.json", text);
    const RunRecord record = run("a").record;
    EXPECT_THAT(record.cards, IsEmpty()) << text;
    EXPECT_THAT(record.remarks, Contains(HasSubstr("step-00000001.json is not a card")));
  }
}

TEST_F(ScoreCards, OfOneProtocolAreInOneTableWithoutAWarning) {
  put("a/metrics/text/step-00000200.json", card(12.5));
  put("b/metrics/text/step-00000200.json", card(11.25));
  const std::string page = comparison();
  for (const char* text : {"id=\"scores\"", "12.5", "11.25", "text, step 200"})
    EXPECT_THAT(page, HasSubstr(text));
  EXPECT_THAT(page, Not(HasSubstr("do not compare")));
}

TEST_F(ScoreCards, OfOtherProtocolsAreMarked) {
  put("a/metrics/text/step-00000200.json", card(12.5));
  put("b/metrics/text/step-00000200.json", card(11.25, "tensorflow"));
  const std::string page = comparison();
  for (const char* text : {"Scores of different protocols do not compare", "<td>A</td>", "<td>B</td>",
                           "<td>clean</td><td>tensorflow</td>"})
    EXPECT_THAT(page, HasSubstr(text));
}

TEST_F(ScoreCards, SettingsOfAMetricThatOnlyOneHasDoNotMatter) {
  const auto plain = parse_score_card(card(1)),
             kid = parse_score_card(card(1, "clean", "{\"kid\":{\"seed\":3}}")),
             other = parse_score_card(card(1, "clean", "{\"kid\":{\"seed\":4}}"));
  ASSERT_TRUE(plain && kid && other);
  EXPECT_THAT(protocol_differences(*plain, *kid), IsEmpty());
  EXPECT_THAT(protocol_differences(*kid, *other), ElementsAre("kid/seed"));
  EXPECT_THAT(protocol_differences(*other, *kid), ElementsAre("kid/seed"));
}

// Whoever has no KID fits both seeds, which do not fit one another.
TEST_F(ScoreCards, OfAGroupAllCompare) {
  const auto plain = *parse_score_card(card(1)),
             kid = *parse_score_card(card(2, "clean", "{\"kid\":{\"seed\":3}}")),
             other = *parse_score_card(card(3, "clean", "{\"kid\":{\"seed\":4}}"));
  const auto groups = by_protocol({&plain, &kid, &other, &plain, &other, &kid});
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_THAT(groups[0], ElementsAre(&plain, &kid, &plain, &kid));
  EXPECT_THAT(groups[1], ElementsAre(&other, &other));
}

TEST_F(ScoreCards, AFileOfVeryManyKeysIsNotACard) {
  put("a/scores/many/score.json", card(1, "clean", "{" + testing::many_keys() + "}"));
  put("a/scores/score.json", card(1));
  const RunRecord record = run("a").record;
  EXPECT_EQ(record.cards.size(), 1u);
  EXPECT_THAT(record.remarks, Contains(HasSubstr("scores/many/score.json is not a card")));
}

TEST_F(ScoreCards, LongListsCompare) {
  const auto with = [](const char* value) {
    std::string list = "[0";
    for (int i = 0; i < 100'000; ++i) list += std::string(",") + value;
    return parse_score_card(card(1, "clean", "{\"kid\":" + list + "]}")).value();
  };
  EXPECT_EQ(protocol_differences(with("1"), with("2")).size(), 100'000u);
}

TEST_F(ScoreCards, ADeepFileIsNotACard) {
  const size_t depth = 250'000;
  put("a/scores/deep/score.json", "{\"kind\":\"pixart score, 1\",\"scores\":{},\"protocol\":{\"a\":" +
                                      std::string(depth, '[') + std::string(depth, ']') + "}}");
  put("a/scores/score.json", card(1));
  const RunRecord record = run("a").record;
  EXPECT_EQ(record.cards.size(), 1u);
  EXPECT_THAT(record.remarks, Contains(HasSubstr("scores/deep/score.json is not a card")));
}

TEST_F(ScoreCards, LinksAreNotFollowed) {
  put("elsewhere/score.json", card(1));
  fs::create_directories(folder_ / "a/scores/loop");
  fs::create_directory_symlink(folder_ / "a/scores", folder_ / "a/scores/loop/again");
  fs::create_symlink(folder_ / "elsewhere/score.json", folder_ / "a/scores/loop/score.json");
  fs::create_symlink(folder_ / "gone", folder_ / "a/scores/score.json");
  put("a/scores/text/score.json", card(2));
  const RunRecord record = run("a").record;
  ASSERT_EQ(record.cards.size(), 1u);
  EXPECT_EQ(record.cards[0].file, "scores/text/score.json");
}

TEST_F(ScoreCards, ARunWithoutCardsHasNoSection) {
  put("a/run.yaml", "");
  put("b/run.yaml", "");
  EXPECT_THAT(comparison(), Not(HasSubstr("id=\"scores\"")));
}

}  // namespace
}  // namespace pixart::report

#include "pixart/study/score.h"

#include <gmock/gmock.h>

#include "scratch_folder.h"
#include "simulated.h"

namespace pixart::study {
namespace {

using pixart::testing::answers_of;
using pixart::testing::refusal;
using pixart::testing::request_of;
using pixart::testing::study_of;
using ::testing::HasSubstr;

class ScoreStudy : public pixart::testing::ScratchFolder {
 protected:
  Study make(const MakeRequest& request) {
    const Study study = study_of(request);
    write("key.json", key_json(study, request, ".png").dump());
    return study;
  }
  Scored score(const std::string& answers, int64_t replicates = 100) const {
    return score_study(folder_ / "key.json", {write("answers.jsonl", answers)}, {.replicates = replicates});
  }
  static bool holds(const report::StudyQuestion& question, const std::vector<double>& strengths) {
    for (size_t i = 0; i < strengths.size(); ++i) {
      const auto& interval = question.models[i].strength_interval;
      if (strengths[i] < interval.low || strengths[i] > interval.high) return false;
    }
    return true;
  }
};

// By hand: two people, one comparison each of two prompts; a wins one, b wins one, and one tie is left.
TEST_F(ScoreStudy, CountsByHand) {
  Study study{.id = "s",
              .title = "t",
              .questions = {Question::kQuality},
              .models = {"a", "b"},
              .prompts = {"x", "y"}};
  const Trial first{.prompt = 0, .models = {0, 1}}, second{.prompt = 1, .models = {1, 0}};
  study.people = {{"p01", {first, second}}, {"p02", {first, second}}};
  write("key.json", key_json(study, {}, ".png").dump());
  const auto line = [&](const char* person, int64_t trial, std::vector<std::vector<int>> order) {
    return pixart::testing::line_of(
        study,
        {.person = person, .trial = trial, .order = std::move(order), .milliseconds = 5000, .seq = trial});
  };
  const auto scores = score(line("p01", 0, {{0}, {1}}) + line("p01", 1, {{0}, {1}}) +
                            line("p02", 0, {{0, 1}}) + line("p02", 1, {}))
                          .scores;
  const auto& quality = scores.questions.at(0);
  EXPECT_EQ(quality.answers, 3);
  EXPECT_EQ(quality.cannot_tell, 1);
  const auto& pair = quality.pairs.at(0);
  EXPECT_EQ(pair.a_better, 1);
  EXPECT_EQ(pair.b_better, 1);
  EXPECT_EQ(pair.equal, 1);
  EXPECT_DOUBLE_EQ(pair.preference, 0.5);
  EXPECT_DOUBLE_EQ(quality.models.at(0).preferred, 0.5);
  EXPECT_NEAR(quality.models.at(0).strength, 0, 1e-9);
  EXPECT_DOUBLE_EQ(quality.models.at(0).ranks.at(0), 0.5);
  EXPECT_EQ(scores.used, 2);
}

// A quick form of scripts/simulate_studies.py. All models of a study must be in their intervals.
TEST_F(ScoreStudy, RecoversKnownStrengths) {
  const std::vector<double> truth = {0.8, 0.1, -0.3, -0.6};
  const auto study = make(request_of(4, 20, 30, 5));
  int recovered = 0;
  constexpr int kStudies = 6;
  for (int s = 0; s < kStudies; ++s) {
    const auto scored = score(answers_of(study, truth, uint64_t(s)));
    EXPECT_GE(scored.scores.used, 28);
    recovered += holds(scored.scores.questions.at(0), truth) && holds(scored.scores.questions.at(1), truth);
    EXPECT_FALSE(holds(scored.scores.questions.at(0), {-0.6, 0.1, -0.3, 0.8}))
        << "intervals that hold everything";
  }
  EXPECT_GE(recovered, kStudies - 1);
}

TEST_F(ScoreStudy, RecoversRankings) {
  const std::vector<double> truth = {1.0, 0.2, 0, -0.4, -0.8};
  const auto study = make(request_of(5, 30, 20, 10, Design::kRanking));
  const auto scored = score(answers_of(study, truth, 3));
  const auto& quality = scored.scores.questions.at(0);
  EXPECT_TRUE(holds(quality, truth));
  double sum = 0, first = 0;
  for (const auto& model : quality.models) sum += model.preferred, first += model.ranks.at(0);
  EXPECT_NEAR(sum, 1, 1e-9);
  EXPECT_NEAR(first, 1, 1e-9);
  EXPECT_NEAR(quality.models[0].preferred, quality.models[0].ranks[0], 1e-9);
  EXPECT_GT(quality.agreement.value(), 0.05);
}

TEST_F(ScoreStudy, RandomPeopleAreExcluded) {
  for (const Design design : {Design::kPairs, Design::kRanking}) {
    const auto study = make(request_of(4, 20, 40, 6, design));
    const auto scored = score(answers_of(study, {1, 0.3, -0.3, -1}, 5, /*at_random=*/20));
    size_t random = 0;
    for (const auto& one : scored.scores.excluded) random += one.person <= "p20";
    EXPECT_GE(random, 18u);
    EXPECT_LE(scored.scores.excluded.size() - random, 1u) << "people who look";
    std::filesystem::remove(folder_ / "key.json");
  }
}

TEST_F(ScoreStudy, IsTheSameAgainAndInAnyOrderOfLines) {
  const auto study = make(request_of(3, 4, 4, 2));
  const auto answers = answers_of(study, {1, 0, -1}, 2);
  const auto first = report::study_json(score(answers).scores);
  std::string reversed;
  std::istringstream lines(answers);
  for (std::string line; std::getline(lines, line);) reversed = line + "\n" + reversed;
  EXPECT_EQ(report::study_json(score(reversed).scores), first);
}

TEST_F(ScoreStudy, TheFileIsReadBack) {
  const auto study = make(request_of(3, 4, 4, 2));
  const auto text = report::study_json(score(answers_of(study, {1, 0, -1}, 2)).scores);
  const auto again = report::parse_study_scores(text);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(report::study_json(*again), text);
  for (const std::string& wrong :
       {std::string("{}"), std::string("[]"), std::string(5000, '['), text.substr(0, text.size() / 2),
        std::string(R"({"kind":"pixart study scores"})")})
    EXPECT_FALSE(report::parse_study_scores(wrong).has_value());
}

TEST_F(ScoreStudy, ThePageEscapesNames) {
  auto request = request_of(2, 4, 4, 2);
  request.models[0].name = "<script>alert(1)</script>";
  const auto study = make(request);
  const auto page = report::study_page(score(answers_of(study, {1, -1}, 2)).scores, "made");
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)"));
  EXPECT_EQ(page.find("<script>"), std::string::npos);
}

TEST_F(ScoreStudy, WithoutAnswersSaysWhy) {
  make(request_of(2, 4, 4, 2));
  EXPECT_THAT(refusal([&] { score("hello\n"); }), HasSubstr("it is not a JSON object"));
}

TEST_F(ScoreStudy, KeysThatWereChangedAreRefused) {
  const auto study = make(request_of(2, 4, 4, 2));
  const auto answers = answers_of(study, {1, -1}, 2);
  const auto key = read(folder_ / "key.json");
  const auto with = [&](const char* from, const char* to) {
    std::string changed = key;
    changed.replace(changed.find(from), std::string(from).size(), to);
    write("key.json", changed);
    return refusal([&] { score(answers); });
  };
  EXPECT_THAT(with("\"models\":[0,1]", "\"models\":[0,7]"), HasSubstr("models that are not there"));
  EXPECT_THAT(with("\"models\":[0,1]", "\"models\":[]"), HasSubstr("models that are not there"));
  EXPECT_THAT(with("\"prompt\":0", "\"prompt\":-1"), HasSubstr("no such prompt"));
  EXPECT_THAT(with("\"check\":\"repeat\"", "\"check\":\"nothing\""), HasSubstr("unknown check"));
  EXPECT_THAT(with("\"people\"", "\"others\""), HasSubstr("was changed or is damaged"));
  EXPECT_THAT(with("pixart study key", "pixart study"), HasSubstr("is not a file of the kind"));
}

}  // namespace
}  // namespace pixart::study

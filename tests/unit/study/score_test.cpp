#include "pixart/study/score.h"

#include <gmock/gmock.h>

#include <functional>

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
  write("key.json", key_json(study, {.seen = 2}, ".png").dump());
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
  EXPECT_THAT(with("\"models\":[0,1]", "\"models\":[0,7]"),
              HasSubstr("a model is not a whole number from 0 to 1"));
  EXPECT_THAT(with("\"models\":[0,1]", "\"models\":[4294967296,1]"),
              HasSubstr("a model is not a whole number from 0 to 1"));
  EXPECT_THAT(with("\"models\":[0,1]", "\"models\":[]"), HasSubstr("it has 0 images"));
  EXPECT_THAT(with("\"prompt\":0", "\"prompt\":-1"), HasSubstr("prompt is not a whole number"));
  EXPECT_THAT(with("\"check\":\"repeat\"", "\"check\":\"nothing\""), HasSubstr("unknown check"));
  EXPECT_THAT(with("\"people\"", "\"others\""), HasSubstr("was changed or is damaged"));
  EXPECT_THAT(with("pixart study key", "pixart study"), HasSubstr("is not a file of the kind"));
}

class ChangedKey : public ScoreStudy {
 protected:
  using Change = std::function<void(nlohmann::ordered_json& key)>;
  static std::vector<nlohmann::ordered_json*> screens(nlohmann::ordered_json& key) {
    std::vector<nlohmann::ordered_json*> all;
    for (auto& person : key["people"])
      for (auto& screen : person["screens"]) all.push_back(&screen);
    return all;
  }
  // What is said of the key of a small study after a change.
  std::string said(const Change& change, Design design = Design::kPairs) {
    const auto request = request_of(3, 4, 4, 2, design);
    auto key = key_json(study_of(request), request, ".png");
    change(key);
    const auto file = write("changed.json", key.dump());
    const auto said = refusal([&] { read_key(file); });
    EXPECT_THAT(said, HasSubstr("changed.json was changed or is damaged"));
    return said;
  }
};

TEST_F(ChangedKey, PeopleHaveDifferentNamesAndScreens) {
  EXPECT_THAT(said([](auto& key) { key["people"][1]["name"] = "p01"; }),
              HasSubstr("'p01', which is given twice"));
  EXPECT_THAT(said([](auto& key) { key["people"][1]["name"] = "p\n"; }), HasSubstr("control characters"));
  EXPECT_THAT(said([](auto& key) { key["people"][1]["name"] = std::string(101, 'p'); }),
              HasSubstr("too long"));
  EXPECT_THAT(said([](auto& key) { key["people"][0]["screens"].clear(); }), HasSubstr("p01 has no screens"));
  EXPECT_THAT(said([](auto& key) { key["people"].clear(); }), HasSubstr("people is empty"));
  EXPECT_THAT(said([](auto& key) { key["people"].erase(1); }), HasSubstr("not every comparison is shown"));
}

TEST_F(ChangedKey, QuestionsAreKnownAndAskedOnce) {
  EXPECT_THAT(said([](auto& key) { key["questions"] = nlohmann::json::array(); }),
              HasSubstr("no question is asked"));
  EXPECT_THAT(said([](auto& key) { key["questions"] = std::vector<std::string>(300, "quality"); }),
              HasSubstr("the question quality is asked twice"));
  EXPECT_THAT(said([](auto& key) { key["questions"] = {"beauty"}; }), HasSubstr("unknown question 'beauty'"));
  EXPECT_THAT(said([](auto& key) { key["questions"] = {"quality"}; }),
              HasSubstr("does not ask about alignment"));
}

TEST_F(ChangedKey, ScreensShowTheImagesOfTheDesign) {
  const auto set_models = [](std::vector<int> models) {
    return [models](auto& key) {
      for (auto* screen : screens(key)) (*screen)["models"] = models;
    };
  };
  EXPECT_THAT(said(set_models({0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2})),
              HasSubstr("screen 0 of p01: it has 12 images, and each screen of this study 2"));
  EXPECT_THAT(said(set_models({1, 1})), HasSubstr("it has images of 1 different models in place of 2"));
  EXPECT_THAT(said(set_models({0, 1, 1}), Design::kRanking), HasSubstr("2 different models in place of 3"));
  EXPECT_THAT(said(set_models({0, 1}), Design::kRanking), HasSubstr("it has 2 images"));
  EXPECT_THAT(said([](auto& key) { key["design"] = "ranking"; }), HasSubstr("it has 2 images"));
  EXPECT_THAT(said([](auto& key) {
                key["models"] = {"a", "a", "a"};
              }),
              HasSubstr("'a', which is given twice"));
  EXPECT_THAT(said([](auto& key) { key["models"] = std::vector<std::string>(13, "a"); }),
              HasSubstr("13 models"));
  EXPECT_THAT(said([](auto& key) { (*screens(key)[0])["prompt"] = 1.5; }),
              HasSubstr("prompt is not a whole"));
  EXPECT_THAT(said([](auto& key) { (*screens(key)[0])["models"] = "01"; }),
              HasSubstr("models is not a list"));
}

TEST_F(ChangedKey, ChecksOfAttentionAreThoseOfTheirScreens) {
  const auto change_first = [](const char* check, const char* name, nlohmann::ordered_json value) {
    return [=](auto& key) {
      for (auto* screen : screens(key))
        if ((*screen)["check"] == check) return void((*screen)[name] = value);
    };
  };
  EXPECT_THAT(said(change_first("repeat", "of", 100)), HasSubstr("of is not a whole number"));
  EXPECT_THAT(said(change_first("repeat", "of", -1)), HasSubstr("a wrong check"));
  EXPECT_THAT(said(change_first("repeat", "question", "alignment")), HasSubstr("repeats another one"));
  EXPECT_THAT(said(change_first("degraded", "of", 2)), HasSubstr("a wrong check"));
  EXPECT_THAT(said(change_first("degraded", "check", "none")), HasSubstr("1 different models in place of 2"));
  EXPECT_THAT(said(change_first("none", "of", 0)), HasSubstr("a wrong check"));
}

TEST_F(ChangedKey, NumbersAndFilesAreThoseOfTheScreens) {
  for (const nlohmann::ordered_json& seen : {nlohmann::ordered_json(0), nlohmann::ordered_json(5),
                                             nlohmann::ordered_json(-3), nlohmann::ordered_json("2")})
    EXPECT_THAT(said([&](auto& key) { key["seen"] = seen; }),
                HasSubstr("seen is not a whole number from 1 to 4"));
  EXPECT_THAT(said([](auto& key) { key["seen"] = 3; }),
              HasSubstr("not every comparison is shown to 3 people"));
  EXPECT_THAT(said([](auto& key) { key["people"][0]["screens"] = key["people"][1]["screens"]; }),
              HasSubstr("not every comparison"));
  EXPECT_THAT(said([](auto& key) { key["seed"] = -7; }), HasSubstr("seed is not a whole number"));
  EXPECT_THAT(said([](auto& key) { key["seed"] = 8; }), HasSubstr("is not the name of the image"));
  EXPECT_THAT(said([](auto& key) { key["images"].erase(key["images"].begin()); }),
              HasSubstr("images has not the"));
  EXPECT_THAT(said([](auto& key) { key["images"].begin().value()["model"] = "x"; }),
              HasSubstr("is not the name"));
  EXPECT_THAT(said([](auto& key) { key["prompts"].clear(); }), HasSubstr("there are 0 prompts"));
  EXPECT_THAT(said([](auto& key) { key["prompts"][0] = std::string(100'001, 'x'); }),
              HasSubstr("a prompt has more"));
  EXPECT_THAT(said([](auto& key) { key["title"] = std::string(100'001, 'x'); }),
              HasSubstr("title has more than"));
}

}  // namespace
}  // namespace pixart::study

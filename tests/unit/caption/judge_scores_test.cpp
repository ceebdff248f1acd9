#include "judge_scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "scratch_folder.h"

namespace pixart::caption {
namespace {

using ::testing::HasSubstr;

Verdict said(double value) {
  return {.state = VerdictState::kAnswered, .label = value >= 0.5 ? "yes" : "no", .value = value};
}
Verdict unanswered() { return {.state = VerdictState::kUnanswered, .reason = "refusal"}; }

// A question about an image of its own group, that depends on others.
ReadQuestion ask(int64_t row, const std::string& id, std::vector<std::string> depends = {},
                 const std::string& category = "") {
  return {.question =
              {.row = row, .id = id, .text = id + "?", .category = category, .group = std::to_string(row)},
          .depends = std::move(depends),
          .place = "here"};
}

QuestionSet set_of(std::vector<ReadQuestion> read, int parts = 1) {
  Problems problems;
  auto set = linked(std::move(read), parts, problems);
  problems.throw_if_any("test");
  return set;
}

const JudgeValue& value_of(const std::vector<JudgeValue>& values, const std::string& name) {
  for (const auto& own : values)
    if (own.name == name) return own;
  throw std::runtime_error("no value " + name);
}

TEST(Counted, AChildOfANoCountsNothing) {
  // c depends on b, which depends on a; they are listed backwards.
  const auto set = set_of({ask(0, "c", {"b"}), ask(0, "b", {"a"}), ask(0, "a")});
  EXPECT_THAT(counted(set, {said(0.9), said(0.8), said(0.1)}),
              ::testing::ElementsAre(Counts::kNo, Counts::kNo, Counts::kNo));
  EXPECT_THAT(counted(set, {said(0.9), said(0.2), said(0.7)}),
              ::testing::ElementsAre(Counts::kNo, Counts::kNo, Counts::kYes));
  EXPECT_THAT(counted(set, {said(0.9), said(0.8), unanswered()}),
              ::testing::ElementsAre(Counts::kUnknown, Counts::kUnknown, Counts::kUnknown));
  EXPECT_THAT(counted(set, {said(0.1), said(0.8), unanswered()})[0], Counts::kNo) << "whatever the parent is";
}

TEST(Linked, UnknownParentsCirclesAndTwinsAreProblems) {
  const auto problem = [](std::vector<ReadQuestion> read) {
    Problems problems;
    linked(std::move(read), 1, problems);
    return problems.empty() ? "" : problems.all().front();
  };
  EXPECT_THAT(problem({ask(0, "a", {"b"})}), HasSubstr("depends on the question b"));
  EXPECT_THAT(problem({ask(0, "a"), ask(1, "b", {"a"})}), HasSubstr("its image does not have"));
  EXPECT_THAT(problem({ask(0, "a", {"b"}), ask(0, "b", {"a"})}), HasSubstr("depends on itself"));
  EXPECT_THAT(problem({ask(0, "a"), ask(0, "a")}), HasSubstr("of an earlier question"));
  std::vector<ReadQuestion> chain;  // deep, without recursion
  for (int i = 0; i < 100'000; ++i)
    chain.push_back(
        ask(0, std::to_string(i), i == 0 ? std::vector<std::string>{} : std::vector{std::to_string(i - 1)}));
  EXPECT_EQ(problem(std::move(chain)), "");
}

TEST(Values, DpgIsTheMeanOverImages) {
  const auto set = set_of({ask(0, "1", {}, "entity"), ask(0, "2", {"1"}, "color"), ask(1, "1", {}, "entity"),
                           ask(1, "2", {"1"}, "color")});
  const auto values = judge_values(JudgeProtocol::kDpg, set, {said(0), said(1), said(1), said(0.6)});
  EXPECT_DOUBLE_EQ(value_of(values, "score").value, 50) << "0 and 1";
  EXPECT_EQ(value_of(values, "score").count, 2);
  EXPECT_NEAR(*value_of(values, "score").margin, 100 * 1.96 * 0.5, 1e-9) << "standard error of 0 and 1";
  EXPECT_DOUBLE_EQ(value_of(values, "category: color").value, 100) << "answers before dependencies";
  EXPECT_DOUBLE_EQ(value_of(values, "category: entity").value, 50);
  EXPECT_DOUBLE_EQ(value_of(values, "probability of yes").value, 65);
}

TEST(Values, GenEvalsTasksCountTheSame) {
  const auto set = set_of({ask(0, "a", {}, "colors"), ask(0, "b", {}, "colors"), ask(1, "a", {}, "colors"),
                           ask(2, "a", {}, "position")});
  const auto values = judge_values(JudgeProtocol::kGenEval, set, {said(1), said(0), said(1), said(1)});
  EXPECT_DOUBLE_EQ(value_of(values, "category: colors").value, 50) << "an image is right or wrong";
  EXPECT_DOUBLE_EQ(value_of(values, "score").value, 75);
}

TEST(Values, CompBenchMultipliesPhrases) {
  auto set = set_of({ask(0, "1", {}, "color"), ask(0, "2", {}, "color"), ask(1, "1", {}, "color")});
  set.has_scores = true;
  const auto values = judge_values(JudgeProtocol::kCompBench, set, {said(75), said(20), unanswered()});
  EXPECT_NEAR(value_of(values, "score").value, 15, 1e-9);
  EXPECT_EQ(value_of(values, "score").count, 1);
  EXPECT_NEAR(value_of(values, "score_lowest").value, 7.5, 1e-9);
  EXPECT_NEAR(value_of(values, "score_highest").value, 57.5, 1e-9);
}

TEST(Values, ImagesWithOpenQuestionsEnterNone) {
  const auto set = set_of({ask(0, "1"), ask(0, "2"), ask(1, "1")});
  const auto values = judge_values(JudgeProtocol::kQuestions, set, {said(1), Verdict{}, said(0)});
  EXPECT_DOUBLE_EQ(value_of(values, "score").value, 0);
  EXPECT_EQ(value_of(values, "score").count, 1);
}

TEST(Values, ImagesOfOnePromptAreOneForTheInterval) {
  auto read = std::vector{ask(0, "1"), ask(1, "1"), ask(2, "1"), ask(3, "1")};
  const std::vector<Verdict> verdicts = {said(1), said(1), said(0), said(0)};
  const double apart =
      *value_of(judge_values(JudgeProtocol::kQuestions, set_of(read), verdicts), "score").margin;
  read[1].question.group = "0", read[3].question.group = "2";
  const double together =
      *value_of(judge_values(JudgeProtocol::kQuestions, set_of(read), verdicts), "score").margin;
  EXPECT_NEAR(apart, 196 * std::sqrt(1.0 / 12), 1e-9);
  EXPECT_NEAR(together, 196 * 0.5, 1e-9);
}

// The answers of two judges about one image.
using AnswersOfTwo = std::vector<std::pair<int, int>>;

std::optional<double> plain_kappa(const std::vector<AnswersOfTwo>& images, size_t left_out) {
  double total = 0, equal = 0;
  std::map<int, double> first, second;
  for (size_t i = 0; i < images.size(); ++i) {
    if (i == left_out) continue;
    for (const auto& [a, b] : images[i]) ++total, ++first[a], ++second[b], equal += a == b ? 1 : 0;
  }
  double by_chance = 0;
  for (const auto& [answer, count] : first) by_chance += count / total * second[answer] / total;
  if (by_chance > 1 - 1e-12) return std::nullopt;
  return (equal / total - by_chance) / (1 - by_chance);
}

// The jackknife, with the whole table counted again for each image that is left out.
std::optional<double> plain_margin(const std::vector<AnswersOfTwo>& images) {
  std::vector<double> values;
  double mean = 0, squares = 0;
  for (size_t i = 0; i < images.size(); ++i) {
    const auto kappa = plain_kappa(images, i);
    if (!kappa) return std::nullopt;
    values.push_back(*kappa), mean += *kappa / double(images.size());
  }
  for (const double value : values) squares += std::pow(value - mean, 2);
  return 1.96 * std::sqrt(squares * double(images.size() - 1) / double(images.size()));
}

class AgreementTest : public pixart::testing::ScratchFolder {
 protected:
  Agreement agreement_of(const std::vector<AnswersOfTwo>& images) const {
    std::string one = "image,id,answer\n", two = one;
    for (size_t i = 0; i < images.size(); ++i)
      for (size_t id = 0; id < images[i].size(); ++id) {
        one += fmt::format("{}.png,{},{}\n", i, id, images[i][id].first);
        two += fmt::format("{}.png,{},{}\n", i, id, images[i][id].second);
      }
    return agreement(write("one.csv", one), write("two.csv", two));
  }
};

TEST_F(AgreementTest, KappaOfATableOfTwo) {
  // 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: agreement 0.7, by chance 0.5, kappa 0.4.
  std::string one, two = "image,answer\n";
  const int counts[] = {20, 5, 10, 15};
  const char* answers[][2] = {{"yes", "Yes"}, {"yes", "no"}, {"no", "yes"}, {"no", "NO"}};
  for (int cell = 0, image = 0; cell < 4; ++cell)
    for (int i = 0; i < counts[cell]; ++i, ++image) {
      one += R"({"image": ")" + std::to_string(image) + R"(.png", "part": 0, "id": "1", "answer": ")" +
             answers[cell][0] + "\"}\n";
      two += std::to_string(image) + ".png," + answers[cell][1] + "\n";
    }
  one += R"({"image": "x.png", "answer": "no"})"
         "\n"
         R"({"image": "y.png", "answer": null})";
  const auto result = agreement(write("one.jsonl", one), write("two.csv", two));
  EXPECT_EQ(result.compared, 50);
  EXPECT_EQ(result.equal, 35);
  EXPECT_EQ(result.only_first, 1);
  EXPECT_EQ(result.only_second, 0);
  EXPECT_NEAR(*result.kappa, 0.4, 1e-12);
  // Fleiss, Cohen and Everitt (1969) give a standard error of 0.1270 for this table.
  EXPECT_NEAR(*result.kappa_margin / 1.96, 0.1270, 0.005);
  EXPECT_THAT(describe(result), HasSubstr("Cohen's kappa: 0.400 +- "));
}

// Rounding: kappa is a quotient of whole numbers here, and one of sums of shares in the plain way.
TEST_F(AgreementTest, RandomTablesGiveWhatThePlainWayGives) {
  std::mt19937 random(7);
  const auto below = [&](int end) { return std::uniform_int_distribution(0, end - 1)(random); };
  for (int trial = 0; trial < 60; ++trial) {
    const int labels = 1 + below(trial % 2 == 0 ? 3 : 30), most = 1 + below(4);
    std::vector<AnswersOfTwo> images(size_t(2 + below(25)));
    for (auto& answers : images)
      for (int i = 0, count = 1 + below(most); i < count; ++i) {
        const int a = below(labels);
        answers.emplace_back(a, below(2) == 0 ? a : below(labels));
      }
    const auto result = agreement_of(images);
    const auto kappa = plain_kappa(images, images.size());
    ASSERT_EQ(result.kappa.has_value(), kappa.has_value()) << trial;
    if (!kappa) continue;
    EXPECT_NEAR(*result.kappa, *kappa, 1e-12) << trial;
    const auto margin = plain_margin(images);
    ASSERT_EQ(result.kappa_margin.has_value(), margin.has_value()) << trial;
    if (!margin) continue;
    EXPECT_NEAR(*result.kappa_margin, *margin, 1e-9) << trial;
  }
}

// Tables of 101 answers, counted again for each image, would take many minutes. Of answers that are drawn apart, chance is
// all, and Cohen (1960) gives the error.
TEST_F(AgreementTest, ManyImagesAndScoresTakeTheTimeOfTheirAnswers) {
  constexpr int kImages = 40'000, kScores = 101;
  std::mt19937 random(11);
  std::uniform_int_distribution score(0, kScores - 1);
  std::vector<AnswersOfTwo> images(kImages);
  for (auto& answers : images) answers.emplace_back(score(random), score(random));
  const auto result = agreement_of(images);
  EXPECT_EQ(result.compared, kImages);
  const double by_chance = 1.0 / kScores, error = std::sqrt(by_chance / (1 - by_chance) / kImages);
  EXPECT_NEAR(*result.kappa, 0, 5 * error);
  EXPECT_NEAR(*result.kappa_margin / 1.96 / error, 1, 0.2);
}

TEST_F(AgreementTest, ScoresAlsoHaveAWeightedKappa) {
  const auto one = write("one.jsonl",
                         R"({"image": "a", "answer": "1"}
{"image": "b", "answer": 2}
{"image": "c", "answer": "3"}
{"image": "d", "answer": "4"})");
  const auto two = write("two.jsonl",
                         R"({"image": "a", "answer": 2}
{"image": "b", "answer": 2}
{"image": "c", "answer": 3}
{"image": "d", "answer": 3})");
  // Squares of differences: 2 in all, and 6 by chance.
  const auto result = agreement(one, two);
  EXPECT_NEAR(*result.weighted_kappa, 1 - 2.0 / 6.0, 1e-12);
  EXPECT_NEAR(*result.kappa, 1.0 / 3, 1e-12);
}

TEST_F(AgreementTest, WhatCannotBeComparedIsExplained) {
  const auto yes = write("yes.jsonl", R"({"image": "a", "answer": "yes"})");
  EXPECT_THAT(describe(agreement(yes, yes)), HasSubstr("not defined"));
  EXPECT_THROW(agreement(yes, write("other.jsonl", R"({"image": "b", "answer": "yes"})")), UserError);
  EXPECT_THROW(agreement(yes, write("empty.jsonl", "")), UserError);
  EXPECT_THROW(agreement(yes, write("twice.jsonl", R"({"image": "a", "answer": "yes"}
{"image": "a", "answer": "no"})")),
               UserError);
  const auto hostile = write("hostile.jsonl", R"({"image": "a", "answer": "\u001b[2J"})");
  EXPECT_THAT(describe(agreement(hostile, yes)), ::testing::Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace pixart::caption

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "plan.h"
#include "scratch_folder.h"
#include "simulated.h"

namespace pixart::study {
namespace {

using pixart::testing::refusal;
using pixart::testing::request_of;
using ::testing::HasSubstr;

// Calls visit(person, trial) for the screens that are not checks.
template <class Visit>
void for_each_comparison(const std::vector<Person>& people, Visit visit) {
  for (size_t p = 0; p < people.size(); ++p)
    for (const auto& trial : people[p].trials)
      if (trial.check == Check::kNone) visit(p, trial);
}

std::vector<MakeRequest> requests() {
  return {request_of(2, 7, 5, 3),
          request_of(2, 8, 6, 4),
          request_of(3, 5, 4, 2),
          request_of(4, 6, 10, 3),
          request_of(2, 1, 2, 2),
          request_of(5, 10, 9, 9, Design::kRanking),
          request_of(3, 7, 4, 2, Design::kRanking),
          request_of(12, 3, 3, 1, Design::kRanking)};
}

TEST(Assign, EachComparisonIsSeenByTheAskedNumberOfDifferentPeople) {
  for (const auto& request : requests()) {
    std::map<std::pair<Question, std::pair<int64_t, std::set<int>>>, std::set<size_t>> seen;
    int64_t screens = 0;
    for_each_comparison(assign(request), [&](size_t person, const Trial& trial) {
      const std::set<int> models(trial.models.begin(), trial.models.end());
      ASSERT_EQ(models.size(), trial.models.size());
      auto& people = seen[{trial.question, {trial.prompt, models}}];
      EXPECT_TRUE(people.insert(person).second) << "the same one twice";
      ++screens;
    });
    const auto models = int64_t(request.models.size());
    const int64_t sets = request.design == Design::kPairs ? models * (models - 1) / 2 : 1;
    EXPECT_EQ(int64_t(seen.size()), sets * int64_t(request.prompts.size()) * 2);
    for (const auto& [comparison, people] : seen) EXPECT_EQ(int64_t(people.size()), request.seen);
    EXPECT_EQ(screens, sets * int64_t(request.prompts.size()) * 2 * request.seen);
  }
}

TEST(Assign, PeopleHaveTheSameWorkWithinOne) {
  for (const auto& request : requests()) {
    std::map<std::pair<size_t, Question>, int64_t> work;
    for_each_comparison(assign(request), [&](size_t person, const Trial& trial) {
      ++work[{person, trial.question}];
    });
    int64_t least = 1 << 30, most = 0;
    for (const auto& [person, count] : work) least = std::min(least, count), most = std::max(most, count);
    EXPECT_EQ(int64_t(work.size()), request.people * 2);
    EXPECT_LE(most - least, 1);
  }
}

// Over all screens, and over those of each prompt.
TEST(Assign, SidesAreBalancedWithinOne) {
  for (const auto& request : requests()) {
    std::map<std::tuple<Question, std::set<int>, int64_t>, std::map<std::pair<int, size_t>, int64_t>> places;
    for_each_comparison(assign(request), [&](size_t, const Trial& trial) {
      const std::set<int> models(trial.models.begin(), trial.models.end());
      for (const int64_t prompt : {int64_t{-1}, trial.prompt}) {
        if (prompt >= 0 && request.design == Design::kRanking) continue;
        auto& counts = places[{trial.question, models, prompt}];
        for (size_t i = 0; i < trial.models.size(); ++i)
          for (const int model : models) counts[{model, i}] += trial.models[i] == model;
      }
    });
    for (const auto& [group, counts] : places) {
      int64_t least = 1 << 30, most = 0;
      for (const auto& [place, count] : counts) least = std::min(least, count), most = std::max(most, count);
      EXPECT_LE(most - least, 1) << request.models.size() << " models, " << request.prompts.size()
                                 << " prompts";
    }
  }
}

TEST(Assign, QuestionsComeOneAfterTheOther) {
  for (const auto& person : assign(request_of(3, 5, 4, 2))) {
    bool is_second = false;
    for (const auto& trial : person.trials) {
      is_second = is_second || trial.question == Question::kAlignment;
      EXPECT_EQ(trial.question == Question::kAlignment, is_second);
    }
  }
}

TEST(Assign, RepeatsComeLaterWithTheImagesInTheOppositeOrder) {
  for (const auto& request : {request_of(3, 10, 4, 2), request_of(4, 20, 4, 2, Design::kRanking)})
    for (const auto& person : assign(request)) {
      std::map<Question, int64_t> repeats;
      for (size_t i = 0; i < person.trials.size(); ++i) {
        const Trial& trial = person.trials[i];
        if (trial.check != Check::kRepeat) continue;
        ++repeats[trial.question];
        ASSERT_LT(trial.of, int64_t(i));
        const Trial& first = person.trials[size_t(trial.of)];
        EXPECT_EQ(first.check, Check::kNone);
        EXPECT_EQ(std::vector<int>(first.models.rbegin(), first.models.rend()), trial.models);
        EXPECT_EQ(first.prompt, trial.prompt);
        EXPECT_EQ(first.question, trial.question);
        EXPECT_GT(int64_t(i) - trial.of, 1) << "at once";
      }
      for (const auto& [question, count] : repeats) EXPECT_EQ(count, request.repeats);
      EXPECT_EQ(repeats.size(), 2u);
    }
}

TEST(Assign, DestroyedImagesAreAmongTheScreens) {
  const auto request = request_of(3, 10, 4, 2);
  std::set<int64_t> positions;
  for (const auto& person : assign(request)) {
    int64_t count = 0;
    for (const auto& trial : person.trials) {
      if (trial.check != Check::kDegraded) continue;
      ++count;
      EXPECT_EQ(trial.models[0], trial.models[1]) << "the same image twice, of which one is destroyed";
      positions.insert(trial.of);
    }
    EXPECT_EQ(count, 2 * request.degraded);
  }
  EXPECT_EQ(positions, (std::set<int64_t>{0, 1}));
}

TEST(Assign, FewScreensHaveFewChecks) {
  for (const auto& person : assign(request_of(2, 1, 2, 2)))
    EXPECT_EQ(person.trials.size(), 4u);  // 1 + 1 destroyed, twice
}

TEST(Assign, IsAFunctionOfTheSeed) {
  auto request = request_of(3, 6, 3, 1);
  const auto orders = [&] {
    std::string text;
    for (const auto& person : assign(request))
      for (const auto& trial : person.trials) text += fmt::format("{} {} ", trial.prompt, trial.models[0]);
    return text;
  };
  const auto first = orders();
  EXPECT_EQ(orders(), first);
  request.seed = 8;
  EXPECT_NE(orders(), first);
}

TEST(ImageName, CannotBeToldWithoutTheSeed) {
  const auto study = pixart::testing::study_of(request_of(2, 2, 2, 1));
  std::set<std::string> names;
  for (const uint64_t seed : {7, 8})
    for (const int model : {0, 1})
      for (const bool is_degraded : {false, true})
        names.insert(image_name(study, seed, 0, model, is_degraded));
  EXPECT_EQ(names.size(), 8u);
}

// The plan that people get has no name of a model, and the prompt only where it is asked about.
TEST(Plan, SaysNothingOfTheModels) {
  auto request = request_of(2, 3, 2, 1);
  request.models[0].name = "secret-model";
  const auto study = pixart::testing::study_of(request);
  const auto plan = plan_json(study, request, ".png");
  EXPECT_EQ(plan.dump().find("secret-model"), std::string::npos);
  EXPECT_NE(key_json(study, request, ".png").dump().find("secret-model"), std::string::npos);
  for (const auto& person : plan.at("people"))
    for (const auto& screen : person.at("screens"))
      EXPECT_EQ(screen.contains("prompt"), screen.at("question") == "alignment");
}

class ReadPlan : public pixart::testing::ScratchFolder {
 protected:
  // What is said of the plan of a small study after a change.
  template <class Change>
  std::string said(Change change, Design design = Design::kPairs) {
    const auto request = request_of(3, 4, 4, 2, design);
    auto plan = plan_json(pixart::testing::study_of(request), request, ".png");
    change(plan);
    const auto file = write("plan.json", plan.dump());
    return refusal([&] { read_plan(file); });
  }
};

TEST_F(ReadPlan, HasTheScreensOfTheKey) {
  for (const auto& request : requests()) {
    const auto study = pixart::testing::study_of(request);
    const auto plan = read_plan(write("plan.json", plan_json(study, request, ".jpg").dump()));
    const auto key = read_key(write("key.json", key_json(study, request, ".jpg").dump()));
    EXPECT_EQ(plan.shape.people, shape_of(study).people);
    EXPECT_EQ(shape_of(key).people, shape_of(study).people);
    EXPECT_EQ(plan.shape.id, study.id);
  }
}

TEST_F(ReadPlan, WhatWasChangedIsRefused) {
  EXPECT_THAT(said([](auto& plan) { plan["people"][1]["name"] = "p01"; }),
              HasSubstr("'p01', which is given twice"));
  EXPECT_THAT(said([](auto& plan) { plan["people"][0]["screens"].clear(); }),
              HasSubstr("p01 has no screens"));
  EXPECT_THAT(said([](auto& plan) { plan["questions"] = {"quality", "quality"}; }), HasSubstr("asked twice"));
  EXPECT_THAT(said([](auto& plan) { plan["images"][0] = "../../study.key.json"; }),
              HasSubstr("not a name of"));
  EXPECT_THAT(said([](auto& plan) { plan["images"][0] = plan["images"][1]; }),
              HasSubstr("which is given twice"));
  EXPECT_THAT(said([](auto& plan) { plan["images"].push_back("0123456789abcdef.png"); }),
              HasSubstr("no screen shows one of the images"));
  EXPECT_THAT(said([](auto& plan) { plan["post"] = 1; }), HasSubstr("type must be string"));
  const auto screen_with = [&](const char* name, nlohmann::ordered_json value,
                               Design design = Design::kPairs) {
    const auto text = said([&](auto& plan) { plan["people"][0]["screens"][0][name] = value; }, design);
    EXPECT_THAT(text, HasSubstr("plan.json was changed or is damaged"));
    EXPECT_THAT(text, HasSubstr("screen 0 of p01: "));
    return text;
  };
  EXPECT_THAT(screen_with("images", {0, 1, 2}), HasSubstr("a wrong number of images"));
  EXPECT_THAT(screen_with("images", {1, 1}), HasSubstr("it shows an image twice"));
  EXPECT_THAT(screen_with("images", {0, 4294967296}), HasSubstr("an image is not a whole number"));
  EXPECT_THAT(screen_with("images", {0, -1}), HasSubstr("an image is not a whole number"));
  EXPECT_THAT(screen_with("prompt", "told"), HasSubstr("a prompt is told where it is not asked about"));
  EXPECT_THAT(screen_with("question", "beauty"), HasSubstr("unknown question 'beauty'"));
  EXPECT_THAT(screen_with("images", {0}, Design::kRanking), HasSubstr("a wrong number of images"));
}

}  // namespace
}  // namespace pixart::study

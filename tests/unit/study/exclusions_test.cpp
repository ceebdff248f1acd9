#include "exclusions.h"

#include <gmock/gmock.h>

#include "simulated.h"

namespace pixart::study {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Exclusions : public ::testing::Test {
 protected:
  Exclusions() : study_(pixart::testing::study_of(pixart::testing::request_of(3, 10, 3, 2))) {
    pixart::testing::Rater rater(1, 1);
    for (size_t i = 0; i < person().trials.size(); ++i)
      answers_[int64_t(i)] = {.person = person().name,
                              .trial = int64_t(i),
                              .order = rater.order(person().trials[i], {9, 0, -9}),
                              .milliseconds = 3000,
                              .seq = int64_t(i)};
  }
  const Person& person() const { return study_.people.front(); }
  std::vector<std::string> reasons(int64_t contradicted = 0) const {
    return reasons_to_exclude(person(), answers_, contradicted, {});
  }
  // Answers the screens of a kind by the positions.
  void answer(Check check, const std::vector<std::vector<int>>& order, int64_t most = 1000) {
    for (auto& [number, one] : answers_)
      if (person().trials[size_t(number)].check == check && most-- > 0) one.order = order;
  }
  void turn(Check check, int64_t most = 1000) {
    for (auto& [number, one] : answers_)
      if (person().trials[size_t(number)].check == check && most-- > 0) std::ranges::reverse(one.order);
  }

  Study study_;
  std::map<int64_t, Answer> answers_;
};

TEST_F(Exclusions, WhoLooksIsUsed) { EXPECT_THAT(reasons(), IsEmpty()); }

TEST_F(Exclusions, OneLapseIsForgiven) {
  turn(Check::kDegraded, 1);
  EXPECT_THAT(reasons(), IsEmpty()) << "7 of 8 by guessing: probability 0.035";
}

TEST_F(Exclusions, WhoMissesDestroyedImagesIsExcluded) {
  turn(Check::kDegraded, 2);
  EXPECT_THAT(reasons(), ElementsAre(HasSubstr("6 of 8 destroyed")));
}

TEST_F(Exclusions, ATieWithADestroyedImageIsAMiss) {
  answer(Check::kDegraded, {{0, 1}});
  EXPECT_THAT(reasons(), ElementsAre(HasSubstr("0 of 8 destroyed")));
}

TEST_F(Exclusions, WhoContradictsRepeatsIsExcluded) {
  turn(Check::kRepeat, 3);
  EXPECT_THAT(reasons(), IsEmpty());
  turn(Check::kRepeat, 3);
  turn(Check::kRepeat);
  EXPECT_THAT(reasons(), ElementsAre(HasSubstr("6 of 6 repeated")));
}

TEST_F(Exclusions, WhoIsTooFastIsExcluded) {
  for (auto& [number, one] : answers_) one.milliseconds = 400;
  EXPECT_THAT(reasons(), ElementsAre(HasSubstr("0.40 s")));
}

TEST_F(Exclusions, WhoStopsEarlyIsExcluded) {
  const auto half = int64_t(answers_.size() / 2);
  std::erase_if(answers_, [&](const auto& one) { return one.first >= half; });
  EXPECT_THAT(reasons(), ElementsAre(HasSubstr("incomplete")));
  answers_.clear();
  EXPECT_THAT(reasons(), ElementsAre("no answers"));
}

TEST_F(Exclusions, WhoAlwaysPressesOneKeyIsExcluded) {
  for (const Check check : {Check::kNone, Check::kRepeat, Check::kDegraded}) answer(check, {{0}, {1}});
  EXPECT_THAT(reasons(), ::testing::Contains(HasSubstr("the same position is best in 100 %")));
}

TEST_F(Exclusions, TwoPeopleWithOneNumberAreExcluded) {
  EXPECT_THAT(reasons(2), ElementsAre(HasSubstr("two different answers to 2 screens")));
}

TEST(Ranks, OfTiesAreEqual) {
  EXPECT_THAT(ranks_of({.order = {{2}, {0, 3}, {1}}}, 4), ElementsAre(1, 3, 0, 1));
}

}  // namespace
}  // namespace pixart::study

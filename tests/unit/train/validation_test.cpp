#include "validation.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "pixart/train/objectives.h"
#include "ranks.h"

namespace pixart::train {
namespace {

using ::testing::DoubleEq;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// Losses that name the sample and the timestep, or no timestep.
class NamedObjective : public Objective {
 public:
  explicit NamedObjective(int64_t timesteps) : timesteps_(timesteps) {}
  at::Tensor loss(const data::Batch&) override { return at::zeros({}); }
  at::Tensor held_out_losses(const data::Batch& sample) override {
    EXPECT_FALSE(at::GradMode::is_enabled());
    return at::arange(timesteps_, at::kDouble) + 100 * double(sample.plan.rows.at(0));
  }

 private:
  int64_t timesteps_;
};

HeldOut rows_of(std::vector<int64_t> rows) {
  return {.read = [](const data::MicroBatch& plan) { return data::Batch{.plan = plan}; },
          .rows = std::move(rows)};
}

TEST(Validation, RowsAreEvenlySpreadAndNoneIsRejected) {
  EXPECT_THAT(evenly_spread_rows(10, {}, 5), ElementsAre(0, 2, 4, 6, 8));
  EXPECT_THAT(evenly_spread_rows(10, {0, 2, 9}, 3), ElementsAre(1, 4, 6));
  EXPECT_THAT(evenly_spread_rows(3, {1}, 8), ElementsAre(0, 2));
  EXPECT_TRUE(evenly_spread_rows(2, {0, 1}, 8).empty());
}

TEST(Validation, MeansOverSamplesOnEveryNumberOfRanks) {
  for (const int world : {1, 2, 3, 7}) {
    std::vector<std::vector<double>> means(static_cast<size_t>(world));
    const auto errors = distributed::testing::with_ranks(world, 60, [&](distributed::Communicator& ranks) {
      NamedObjective objective(3);
      means[size_t(ranks.rank())] = held_out_losses(objective, rows_of({0, 1, 2, 3, 9}), ranks, "held out");
    });
    EXPECT_THAT(errors, Each(""));
    EXPECT_THAT(means, Each(ElementsAre(300, 301, 302))) << world;
  }
}

TEST(Validation, EndsOnAllRanksBeforeTheNextTurn) {
  std::vector<int> turns(2);
  const auto errors = distributed::testing::with_ranks(2, 60, [&](distributed::Communicator& ranks) {
    NamedObjective objective(1);
    const auto stop = [&] { return ++turns[size_t(ranks.rank())] == 3; };
    EXPECT_TRUE(
        held_out_losses(objective, rows_of({0, 1, 2, 3, 4, 5, 6, 7}), ranks, "held out", stop).empty());
  });
  EXPECT_THAT(errors, Each(""));
  EXPECT_THAT(turns, Each(3));
}

TEST(Validation, LinesHoldTheMeanAndEachTimestep) {
  std::map<std::string, double> line;
  add_held_out(line, "a", {1, 2, 6});
  add_held_out(line, "b", {5});
  EXPECT_THAT(line, UnorderedElementsAre(Pair("a", DoubleEq(3)), Pair("a_t0", 1), Pair("a_t1", 2),
                                         Pair("a_t2", 6), Pair("b", 5)));
}

TEST(Validation, NoiseIsOfTheRowAloneAndTimestepsAreTheMiddlesOfEighths) {
  const auto draw = held_out_inputs(5, 3, {1, 2, 2}, 1000), again = held_out_inputs(5, 3, {1, 2, 2}, 1000),
             other = held_out_inputs(5, 4, {1, 2, 2}, 1000);
  EXPECT_TRUE(at::equal(draw.t, at::tensor({62, 187, 312, 437, 562, 687, 812, 937}, at::kLong)));
  EXPECT_TRUE(at::equal(draw.noise, again.noise));
  EXPECT_FALSE(at::equal(draw.noise, other.noise));
  EXPECT_FALSE(at::equal(draw.noise[0], draw.noise[1]));
  EXPECT_EQ(draw.drop.sum().item<int64_t>(), 0);
  EXPECT_EQ(draw.posterior.abs().sum().item<double>(), 0);
}

}  // namespace
}  // namespace pixart::train

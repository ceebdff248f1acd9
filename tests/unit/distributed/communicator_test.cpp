// Collectives: the values, and the same bits on all ranks, which are those of the sum in the order of ranks.
#include "pixart/distributed/communicator.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cstdlib>

#include "ranks.h"

namespace pixart::distributed::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr double kCallTimeout = 60;

// Values whose sum depends on the order: many magnitudes, both signs. A function of rank and place.
at::Tensor values_of(int rank, int64_t count, at::ScalarType type) {
  const at::Tensor place = at::arange(count, at::kDouble);
  const at::Tensor wild =
      at::sin(place * 12.9898 + rank * 78.233) * at::pow(10.0, at::remainder(place * 7 + rank * 3, 9.0));
  return (type == at::kLong ? wild * 1e3 : wild).to(type);
}

at::Tensor ordered_sum(int world_size, int64_t count, at::ScalarType type) {
  at::Tensor sum = values_of(0, count, type);
  for (int r = 1; r < world_size; ++r) sum = sum + values_of(r, count, type);
  return sum;
}

class WorldSizes : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Communicator, WorldSizes, ::testing::Values(1, 2, 3, 4, 7));

TEST_P(WorldSizes, SumsAreThoseOfTheOrderOfRanks) {
  const int world_size = GetParam();
  for (const auto type : {at::kFloat, at::kDouble, at::kLong}) {
    // 8192 floats are the last that go in one round, the next are shared out unevenly.
    for (const int64_t count : {0, 1, 1000, 8193, 1'000'000}) {
      const at::Tensor expected = ordered_sum(world_size, count, type);
      const auto errors = with_ranks(world_size, kCallTimeout, [&](Communicator& ranks) {
        at::Tensor tensor = values_of(ranks.rank(), count, type);
        ranks.all_reduce_sum(tensor, "sum");
        if (!at::equal(tensor, expected)) throw InternalError("another sum");
      });
      EXPECT_THAT(errors, Each("")) << count << " elements of " << toString(type);
    }
  }
}

TEST(Communicator, TheOrderMattersForTheseValues) {
  const at::Tensor backwards =
      values_of(2, 1000, at::kFloat) + values_of(1, 1000, at::kFloat) + values_of(0, 1000, at::kFloat);
  EXPECT_FALSE(at::equal(backwards, ordered_sum(3, 1000, at::kFloat)));
}

TEST_P(WorldSizes, ReduceScatterAndGatherMakeTheSum) {
  const int world_size = GetParam();
  for (const int64_t part : {1, 1000, 100'000}) {
    const at::Tensor expected = ordered_sum(world_size, part * world_size, at::kFloat);
    const auto errors = with_ranks(world_size, kCallTimeout, [&](Communicator& ranks) {
      const at::Tensor mine = values_of(ranks.rank(), part * world_size, at::kFloat);
      at::Tensor own = at::empty({part}), whole = at::empty({part * world_size});
      ranks.reduce_scatter(mine, own, "scatter");
      if (!at::equal(own, expected.narrow(0, ranks.rank() * part, part))) throw InternalError("scatter");
      ranks.all_gather(own, whole, "gather");
      if (!at::equal(whole, expected)) throw InternalError("gather");
      // In place, as sharded optimizers do it.
      at::Tensor flat = mine.clone(), view = flat.narrow(0, ranks.rank() * part, part);
      ranks.reduce_scatter(flat, view, "scatter in place");
      ranks.all_gather(view, flat, "gather in place");
      if (!at::equal(flat, expected)) throw InternalError("in place");
    });
    EXPECT_THAT(errors, Each(""));
  }
}

TEST_P(WorldSizes, BroadcastGivesEachRootsBytes) {
  const int world_size = GetParam();
  const auto errors = with_ranks(world_size, kCallTimeout, [&](Communicator& ranks) {
    for (int root = 0; root < world_size; ++root) {
      at::Tensor tensor = values_of(ranks.rank(), 300'000, at::kDouble).to(at::kHalf);
      ranks.broadcast(tensor, root, "broadcast");
      if (!at::equal(tensor, values_of(root, 300'000, at::kDouble).to(at::kHalf)))
        throw InternalError("bytes");
      ranks.barrier("barrier");
    }
  });
  EXPECT_THAT(errors, Each(""));
}

TEST(Communicator, RanksThatDoDifferentThingsAreToldBoth) {
  const auto errors = with_ranks(2, kCallTimeout, [](Communicator& ranks) {
    at::Tensor tensor = at::zeros({ranks.rank() == 0 ? 10 : 11});
    ranks.all_reduce_sum(tensor, "step 4");
  });
  for (const auto& error : errors)
    EXPECT_THAT(error, AllOf(HasSubstr("do not make the same calls"), HasSubstr("of 40 bytes"),
                             HasSubstr("of 44 bytes")));
  const auto phases = with_ranks(
      2, kCallTimeout, [](Communicator& ranks) { ranks.barrier(ranks.rank() == 0 ? "step 4" : "step 5"); });
  for (const auto& error : phases)
    EXPECT_THAT(error, AllOf(HasSubstr("\"step 4\""), HasSubstr("\"step 5\"")));
}

TEST(Communicator, MisuseIsABugOfTheCaller) {
  const auto check = [](const std::function<void(Communicator&)>& misuse) {
    const auto errors =
        with_ranks(2, kCallTimeout, [&](Communicator& ranks) { EXPECT_THROW(misuse(ranks), InternalError); });
    EXPECT_THAT(errors, Each(""));
  };
  at::Tensor half = at::zeros({2}, at::kHalf), part = at::zeros({2}), whole = at::zeros({5});
  check([&](Communicator& ranks) { ranks.all_reduce_sum(half, "x"); });
  check([&](Communicator& ranks) { ranks.reduce_scatter(whole, part, "x"); });
  check([&](Communicator& ranks) { ranks.all_gather(part, whole, "x"); });
  check([&](Communicator& ranks) { ranks.broadcast(part, 2, "x"); });
  check([&](Communicator& ranks) {
    at::Tensor column = at::zeros({2, 2}).select(1, 0);
    ranks.all_reduce_sum(column, "x");
  });
}

TEST(CommunicatorOptions, TimeoutOfTheEnvironment) {
  ::setenv("PIXART_DIST_TIMEOUT", "12.5", 1);
  EXPECT_EQ(communicator_options_from_environment().timeout_seconds, 12.5);
  for (const char* wrong : {"0", "-1", "1m", "nan", "1e9"}) {
    ::setenv("PIXART_DIST_TIMEOUT", wrong, 1);
    EXPECT_THROW(communicator_options_from_environment(), UserError) << wrong;
  }
  ::unsetenv("PIXART_DIST_TIMEOUT");
  EXPECT_EQ(communicator_options_from_environment().timeout_seconds, CommunicatorOptions().timeout_seconds);
}

}  // namespace
}  // namespace pixart::distributed::testing

#include "own_gpu.h"

#include <gmock/gmock.h>

#include "ranks.h"

namespace pixart::distributed::testing {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

struct Place {
  std::string machine, gpu;
};

std::vector<std::string> errors_of(const std::vector<Place>& places) {
  return with_ranks(int(places.size()), 60, [&](Communicator& ranks) {
    const Place& place = places[size_t(ranks.rank())];
    try {
      check_own_gpus(ranks, place.machine, place.gpu);
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::kDevice);
      throw;
    }
  });
}

TEST(OwnGpu, EachRankHasItsOwn) {
  EXPECT_THAT(errors_of({{"a", "0000:01:00.0"}, {"a", "0000:02:00.0"}, {"b", "0000:01:00.0"}}), Each(""));
  EXPECT_THAT(errors_of({{"a", "0000:01:00.0"}}), Each(""));
}

TEST(OwnGpu, WhatIsNotKnownIsNotCompared) { EXPECT_THAT(errors_of({{"a", ""}, {"a", ""}}), Each("")); }

TEST(OwnGpu, TwoRanksOnOneAreNamedOnAllRanks) {
  EXPECT_THAT(errors_of({{"a", "0000:01:00.0"}, {"a", "0000:02:00.0"}, {"a", "0000:01:00.0"}}),
              Each(AllOf(HasSubstr("ranks 0, 2 use the same GPU (0000:01:00.0)"),
                         HasSubstr("CUDA_VISIBLE_DEVICES"))));
}

}  // namespace
}  // namespace pixart::distributed::testing

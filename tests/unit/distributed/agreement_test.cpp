#include "pixart/distributed/agreement.h"

#include <gmock/gmock.h>

#include "pixart/base/claim.h"
#include "ranks.h"

namespace pixart::distributed::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr double kTimeout = 60;

TEST(Agreement, FlagsAndNumbers) {
  for (const int world_size : {1, 3}) {
    const auto errors = with_ranks(world_size, kTimeout, [&](Communicator& ranks) {
      const bool is_last = ranks.rank() == world_size - 1;
      EXPECT_TRUE(any_rank(ranks, is_last, "one"));
      EXPECT_FALSE(any_rank(ranks, false, "none"));
      EXPECT_TRUE(all_agree(ranks, true, "all"));
      EXPECT_FALSE(all_agree(ranks, !is_last, "not all"));
      EXPECT_EQ(max_over_ranks(ranks, -1.5 - ranks.rank(), "max"), -1.5);
      EXPECT_EQ(sum_over_ranks(ranks, ranks.rank() + 1, "sum"), world_size * (world_size + 1) / 2);
    });
    EXPECT_THAT(errors, Each(""));
  }
}

TEST(Agreement, Strings) {
  const std::vector<std::string> texts = {"", std::string("a\0b", 3), std::string(100'000, 'x')};
  const auto errors = with_ranks(3, kTimeout, [&](Communicator& ranks) {
    EXPECT_EQ(gather_strings(ranks, texts[size_t(ranks.rank())], "gather"), texts);
    EXPECT_EQ(gather_strings(ranks, "", "nothing"), std::vector<std::string>(3));
    for (int root = 0; root < 3; ++root)
      EXPECT_EQ(broadcast_string(ranks, texts[size_t(ranks.rank())], root, "broadcast"), texts[size_t(root)]);
  });
  EXPECT_THAT(errors, Each(""));
}

TEST(Agreement, ErrorsAreThrownTogether) {
  const auto errors = with_ranks(3, kTimeout, [&](Communicator& ranks) {
    throw_together(ranks, std::nullopt, "all is well");
    std::optional<RankError> error;
    if (ranks.rank() > 0) error = RankError{fmt::format("no file {}", ranks.rank()), ExitCode::kStorage};
    try {
      throw_together(ranks, error, "opening");
    } catch (const UserError& thrown) {
      EXPECT_EQ(thrown.code(), ExitCode::kStorage);
      throw;
    }
  });
  EXPECT_THAT(errors, Each("rank 1: no file 1\nrank 2: no file 2"));
}

TEST(Agreement, WorkIsDoneTogetherOrFailsTogether) {
  std::vector<int> done(3);
  const auto errors = with_ranks(3, kTimeout, [&](Communicator& ranks) {
    all_together(ranks, "well", [&] { ++done[size_t(ranks.rank())]; });
    on_first_rank(ranks, "first", [&] { done[size_t(ranks.rank())] += 10; });
    on_first_rank(ranks, "badly", [] { throw UserError("no space", ExitCode::kStorage); });
  });
  EXPECT_EQ(done, (std::vector<int>{11, 1, 1}));
  EXPECT_THAT(errors, Each("rank 0: no space"));
}

// It would not answer either.
TEST(Agreement, ARankThatFoundAnotherSilentDoesNotWaitForIt) {
  const auto errors = with_ranks(2, kTimeout, [](Communicator& ranks) {
    all_together(ranks, "working", [&] {
      if (ranks.rank() == 0) throw SilentHolder("rank 1 is silent", 1);
    });
  });
  EXPECT_EQ(errors[0], "rank 1 is silent");
  EXPECT_THAT(errors[1], HasSubstr("rank 0"));
}

// Whichever rank is asked, and whenever: all learn it at the same time, also those that have finished.
TEST(Agreement, RanksWorkUntilOneIsAsked) {
  for (const int world_size : {1, 3}) {
    for (int who = -1; who < world_size; ++who) {
      std::vector<int> polls(static_cast<size_t>(world_size)), pieces = polls, results = polls, all = polls;
      const auto errors = with_ranks(world_size, kTimeout, [&](Communicator& ranks) {
        const auto self = size_t(ranks.rank());
        all[self] = int(10 * self);  // rank 0 has nothing to do
        results[self] = together_until(
            ranks, "working", [&] { return ++polls[self] >= 3 && int(self) == who; },
            [&](const std::function<bool()>& asked) {
              while (pieces[self] < all[self] && !asked()) ++pieces[self];
            });
        EXPECT_EQ(sum_over_ranks(ranks, 1, "afterwards"), world_size);
      });
      EXPECT_THAT(errors, Each(""));
      if (who < 0 || world_size == 1) {
        EXPECT_EQ(pieces, all);
        EXPECT_THAT(results, Each(0));
        continue;
      }
      for (size_t r = 0; r < pieces.size(); ++r) EXPECT_EQ(pieces[r], r == 0 ? 0 : 2) << who;
      EXPECT_THAT(results, Each(1));
    }
  }
}

TEST(Agreement, AnErrorEndsTheWorkOfAll) {
  std::vector<int> pieces(2);
  const auto errors = with_ranks(2, kTimeout, [&](Communicator& ranks) {
    together_until(
        ranks, "badly", [] { return false; },
        [&](const std::function<bool()>& asked) {
          if (ranks.rank() == 0) throw UserError("no space", ExitCode::kStorage);
          while (pieces[1] < 1000 && !asked()) ++pieces[1];
        });
  });
  EXPECT_THAT(errors, Each("rank 0: no space"));
  EXPECT_LT(pieces[1], 1000);
}

}  // namespace
}  // namespace pixart::distributed::testing

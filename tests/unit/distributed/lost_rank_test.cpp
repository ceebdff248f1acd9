// A rank that ends or hangs: the others end in time, and name it with its last phase.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <future>

#include "ranks.h"

namespace pixart::distributed::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr double kShort = 0.5, kLong = 30;

TEST(LostRank, OneThatEndsIsNamedAtOnce) {
  const double begun = monotonic_seconds();
  const auto errors = with_ranks(3, kLong, [](Communicator& ranks) {
    ranks.barrier("step 1: gradients");
    if (ranks.rank() == 1) return;
    at::Tensor tensor = at::zeros({1'000'000});
    ranks.all_reduce_sum(tensor, "step 2: gradients");
  });
  EXPECT_LT(monotonic_seconds() - begun, kLong / 3);
  EXPECT_EQ(errors[1], "");
  for (const int rank : {0, 2})
    EXPECT_THAT(errors[size_t(rank)],
                AllOf(HasSubstr("rank 1 has ended"), HasSubstr("last seen in \"step 1: gradients\""),
                      HasSubstr("waited for it in \"step 2: gradients\"")));
}

// Holds the lost rank back until the others have given up.
std::vector<std::string> hang_of_rank(int hanging, const std::function<void(Communicator&)>& others) {
  std::promise<void> release;
  const auto released = release.get_future().share();
  std::atomic<int> left = 2;
  return with_ranks(3, kShort, [&](Communicator& ranks) {
    ranks.barrier("step 1: gradients");
    if (ranks.rank() == hanging) {
      released.wait();
      return ranks.barrier("step 2: gradients");  // it wakes up too late
    }
    try {
      others(ranks);
    } catch (...) {
      if (--left == 0) release.set_value();
      throw;
    }
    if (--left == 0) release.set_value();
  });
}

TEST(LostRank, OneThatHangsIsNamedAfterTheTimeout) {
  const double begun = monotonic_seconds();
  const auto errors = hang_of_rank(2, [&](Communicator& ranks) {
    at::Tensor tensor = at::zeros({10'000'000});
    ranks.all_reduce_sum(tensor, "step 2: gradients");
  });
  const double seconds = monotonic_seconds() - begun;
  EXPECT_GE(seconds, kShort);
  EXPECT_LT(seconds, kShort + 5);
  // The hanging one learns what the others thought of it.
  EXPECT_THAT(errors, Each(AllOf(HasSubstr("no sign for 0.5 s of rank 2"),
                                 HasSubstr("last seen in \"step 1: gradients\""),
                                 HasSubstr("waits in \"step 2: gradients\""))));
}

TEST(LostRank, TheRootHangs) {
  const auto errors = hang_of_rank(0, [](Communicator& ranks) {
    at::Tensor tensor = at::zeros({1000});
    ranks.broadcast(tensor, 0, "first weights");
  });
  EXPECT_THAT(errors, Each(HasSubstr("of rank 0")));
}

TEST(LostRank, LaterCallsThrowTheSame) {
  const auto errors = with_ranks(2, kLong, [](Communicator& ranks) {
    if (ranks.rank() == 1) return;
    std::string first;
    try {
      ranks.barrier("a");
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::kDevice);
      first = error.what();
    }
    EXPECT_THAT(first, HasSubstr("rank 1 has ended"));
    EXPECT_THROW(
        {
          try {
            ranks.barrier("b");
          } catch (const UserError& error) {
            EXPECT_EQ(error.what(), first);
            throw;
          }
        },
        UserError);
  });
  EXPECT_THAT(errors, Each(""));
}

TEST(LostRank, AFailureOfOneReachesAll) {
  const auto errors = with_meshes(3, kLong, [&](std::unique_ptr<Mesh> mesh) {
    const std::vector<Part> nothing(3);
    mesh->exchange({.name = "barrier", .bytes = 0, .detail = 0, .phase = "start"}, nothing);
    if (mesh->rank() == 0) mesh->give_up("rank 0: the disk is full", 0, ExitCode::kStorage);
    mesh->exchange({.name = "barrier", .bytes = 0, .detail = 0, .phase = "end"}, nothing);
  });
  EXPECT_THAT(errors, Each("rank 0: the disk is full"));
}

// Two ranks of three wait in NCCL; rank 2 is in other work, in a call less, or its GPU is.
TEST(LostRank, InAHangTheOneThatIsLeastFarIsNamedByAll) {
  const CallProgress waits{.begun = 5, .returned = 5, .reached = 5, .done = 4};
  const std::vector<std::pair<CallProgress, std::string>> cases = {
      {{.begun = 4, .returned = 4, .reached = 4, .done = 4}, "call 5 of NCCL has not begun"},
      {{.begun = 5, .returned = 4, .reached = 4, .done = 4},
       "call 5 of NCCL has not returned from the library"},
      {{.begun = 5, .returned = 5, .reached = 4, .done = 4}, "the GPU has not reached call 5 of NCCL"}};
  for (const auto& [hanging, place] : cases) {
    const auto errors = with_meshes(3, kLong, [&](std::unique_ptr<Mesh> mesh) {
      mesh->answer_with([&, rank = mesh->rank()] { return rank == 2 ? hanging : waits; });
      const std::vector<Part> nothing(3);
      mesh->exchange({.name = "barrier", .bytes = 0, .detail = 0, .phase = "start"}, nothing);
      if (mesh->rank() == 0) mesh->announce_wait("the sum is not done on rank 0");
      mesh->exchange({.name = "barrier", .bytes = 0, .detail = 0, .phase = "end"}, nothing);
    });
    EXPECT_THAT(errors,
                Each("rank 2: " + place + "; the other ranks are further. the sum is not done on rank 0"));
  }
}

TEST(LostRank, InAHangOfAllNobodyIsNamed) {
  const auto errors = with_meshes(2, kLong, [&](std::unique_ptr<Mesh> mesh) {
    mesh->answer_with([] { return CallProgress{.begun = 1, .returned = 1, .reached = 1, .done = 0}; });
    const std::vector<Part> nothing(2);
    mesh->exchange({.name = "barrier", .bytes = 0, .detail = 0, .phase = "start"}, nothing);
    if (mesh->rank() == 0) mesh->announce_wait("the sum is not done on rank 0");
    mesh->exchange({.name = "barrier", .bytes = 0, .detail = 0, .phase = "end"}, nothing);
  });
  EXPECT_THAT(errors,
              Each("the sum is not done on rank 0. All ranks are equally far: the GPU has not finished call "
                   "1 of NCCL"));
}

TEST(LostRank, ASingleSlowestRankIsFoundWhereverTheOthersAre) {
  const auto delay_of = [](std::vector<CallProgress> ranks) { return find_delay(ranks); };
  EXPECT_THAT(delay_of({{9, 9, 8, 8}, {7, 7, 7, 6}, {9, 8, 8, 8}}).ranks, ::testing::ElementsAre(1));
  EXPECT_EQ(delay_of({{9, 9, 8, 8}, {7, 7, 7, 6}}).call, 7);
  EXPECT_THAT(delay_of({{3, 3, 3, 2}, {2, 2, 2, 2}, {3, 3, 3, 2}, {2, 2, 2, 2}}).ranks,
              ::testing::ElementsAre(1, 3));
  EXPECT_THAT(delay_of({}).ranks, ::testing::IsEmpty());
}

TEST(LostRank, AThreadThatWatchesSeesIt) {
  const auto errors = with_meshes(2, kLong, [&](std::unique_ptr<Mesh> mesh) {
    if (mesh->rank() == 1) return;
    std::optional<std::string> failure;
    for (const double end = monotonic_seconds() + kLong; !failure && monotonic_seconds() < end;)
      failure = mesh->look_for_failure();
    EXPECT_EQ(failure, "rank 1 has ended");
    EXPECT_THAT(mesh->silent_ranks(), ::testing::ElementsAre(1));
  });
  EXPECT_THAT(errors, Each(""));
}

}  // namespace
}  // namespace pixart::distributed::testing

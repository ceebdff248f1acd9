// The ranks find one another, or say who is missing.
#include "rendezvous.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <deque>

#include "ranks.h"
#include "strangers.h"

namespace pixart::distributed::testing {
namespace {

using pixart::testing::Stranger;
using pixart::testing::words_of_strangers;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kPatience = 2, kLongWait = 30;
constexpr double kSoon = 8;  // less than a gate gives a stranger to prove itself

TEST(Rendezvous, RanksThatDoNotComeAreNamed) {
  const int port = free_port();
  const double begun = monotonic_seconds();
  const auto errors = in_threads(2, [&](int rank) {
    meet(launch_of(rank, 4, port), {.timeout_seconds = kLongWait, .rendezvous_seconds = kPatience});
  });
  EXPECT_LT(monotonic_seconds() - begun, 2 * kPatience);
  EXPECT_THAT(errors, Each(HasSubstr("2 of 4 ranks did not come")));
  EXPECT_THAT(errors, Each(HasSubstr("in time: 2, 3.")));
}

TEST(Rendezvous, ARankZeroThatDoesNotComeIsNamed) {
  const int port = free_port();
  try {
    meet(launch_of(1, 2, port), {.timeout_seconds = kLongWait, .rendezvous_seconds = 0.3});
    FAIL() << "rank 0 was not there";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kDevice);
    EXPECT_THAT(error.what(),
                HasSubstr(fmt::format("cannot connect to rank 0 at 127.0.0.1:{}: Connection refused", port)));
  }
}

TEST(Rendezvous, ALateRankZeroIsWaitedFor) {
  const int port = free_port();
  const auto errors = in_threads(2, [&](int rank) {
    if (rank == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(300));  // the others have tried in vain by then
    meet(launch_of(rank, 2, port), {.timeout_seconds = kLongWait, .rendezvous_seconds = kLongWait});
  });
  EXPECT_THAT(errors, Each(""));
}

TEST(Rendezvous, TwoOfTheSameRankAreRefused) {
  const int port = free_port();
  const auto errors = in_threads(3, [&](int thread) {
    meet(launch_of(thread == 0 ? 0 : 1, 3, port),
         {.timeout_seconds = kLongWait, .rendezvous_seconds = kPatience});
  });
  EXPECT_THAT(errors, ::testing::Contains(HasSubstr("two processes say that they are rank 1")));
}

TEST(Rendezvous, AnotherWorldSizeIsRefused) {
  const int port = free_port();
  const auto errors = in_threads(2, [&](int rank) {
    meet(launch_of(rank, rank == 0 ? 2 : 3, port),
         {.timeout_seconds = kLongWait, .rendezvous_seconds = kPatience});
  });
  EXPECT_THAT(errors, Each(HasSubstr("rank 1 counts 3 ranks, rank 0 counts 2")));
}

TEST(Rendezvous, AnUnknownHostIsNamed) {
  Launch launch = launch_of(1, 2, 29500);
  launch.local_world_size = 1;
  launch.master_address = "no-such-host.invalid";
  try {
    meet(launch, {.timeout_seconds = kLongWait, .rendezvous_seconds = 0.2});
    FAIL() << "there is no such host";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("no-such-host.invalid:29500"));
  }
}

TEST(Rendezvous, AStrangerIsHungUpOn) {
  auto [listener, port] = listen_on("127.0.0.1");
  const std::vector<Address> addresses(2, {"127.0.0.1", port});
  const Stranger stranger(port, "GET / HTTP/1.1\r\nHost: somebody\r\n\r\n");
  const Socket& open_listener = listener;
  const Socket nowhere;
  Strangers counted[2];
  const auto errors = in_threads(2, [&](int rank) {
    const Launch launch = launch_of(rank, 2, 0);
    const auto links =
        connect_all(launch, addresses, session_key(launch), rank == 0 ? open_listener : nowhere,
                    monotonic_seconds() + kLongWait, counted[rank]);
    EXPECT_TRUE(links[size_t(1 - rank)].data.is_open() && links[size_t(1 - rank)].control.is_open());
  });
  EXPECT_THAT(errors, Each(""));
  EXPECT_TRUE(stranger.is_dropped());
  EXPECT_EQ(counted[0].foreign, 1);
  EXPECT_EQ(counted[1].all(), 0);
}

TEST(Rendezvous, StrangersDelayNoMeeting) {
  const int port = free_port();
  std::deque<Stranger> strangers;
  double begun = 0;
  const auto errors = in_threads(3, [&](int rank) {
    if (rank == 1) {
      // Rank 0 listens by then, and the others wait.
      connect_until({"127.0.0.1", port}, monotonic_seconds() + kLongWait, "rank 0");
      for (int i = 0; i < 25; ++i)
        for (const auto& words : words_of_strangers()) strangers.emplace_back(port, words);
      begun = monotonic_seconds();
    }
    const auto mesh =
        meet(launch_of(rank, 3, port), {.timeout_seconds = kLongWait, .rendezvous_seconds = kLongWait});
    EXPECT_EQ(mesh->world_size(), 3);
  });
  EXPECT_THAT(errors, Each(""));
  EXPECT_LT(monotonic_seconds() - begun, kSoon);
  for (const auto& stranger : strangers) EXPECT_TRUE(stranger.is_dropped());
}

TEST(Rendezvous, NobodyListensAfterwards) {
  const int port = free_port();
  const auto errors = in_threads(2, [&](int rank) {
    const auto mesh =
        meet(launch_of(rank, 2, port), {.timeout_seconds = kLongWait, .rendezvous_seconds = kLongWait});
    EXPECT_FALSE(Stranger(port).is_connected());
  });
  EXPECT_THAT(errors, Each(""));
}

TEST(Rendezvous, ARankWithAnotherTokenIsNotLetIn) {
  const int port = free_port();
  const auto errors = in_threads(2, [&](int rank) {
    Launch launch = launch_of(rank, 2, port);
    if (rank == 1) launch.token = "what somebody else knows";
    meet(launch, {.timeout_seconds = kLongWait, .rendezvous_seconds = kPatience});
  });
  EXPECT_THAT(errors[0], AllOf(HasSubstr("1 of 2 ranks did not come"),
                               HasSubstr("did not know the run token"), Not(HasSubstr(" 0 did not know"))));
  EXPECT_THAT(errors[1], HasSubstr("does not have the run token of rank 1. Is PIXART_RUN_TOKEN the same"));
}

TEST(Rendezvous, APortThatIsTakenIsSaid) {
  const auto [listener, port] = listen_on("127.0.0.1");
  try {
    meet(launch_of(0, 2, port), {.timeout_seconds = kLongWait, .rendezvous_seconds = kPatience});
    FAIL() << "the port is taken";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kDevice);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr(fmt::format("127.0.0.1:{}", port)), HasSubstr("Set MASTER_PORT to another")));
  }
}

// What `pixart launch` does: rank 0 takes the socket over, whose queue the others may be in already.
TEST(Rendezvous, AnInheritedSocketIsTaken) {
  auto [listener, port] = listen_on("127.0.0.1");
  const int door = ::dup(listener.get());
  listener.close();
  const auto errors = in_threads(2, [&, port = port](int rank) {
    Launch launch = launch_of(rank, 2, port);
    if (rank == 0) {
      launch.door = door;
      std::this_thread::sleep_for(std::chrono::milliseconds(300));  // the other one is in the queue by then
    }
    meet(launch, {.timeout_seconds = kLongWait, .rendezvous_seconds = kLongWait});
  });
  EXPECT_THAT(errors, Each(""));
  EXPECT_LT(::fcntl(door, F_GETFD), 0) << "it is still open";
}

TEST(Rendezvous, AStaleDescriptorIsNotTaken) {
  const int port = free_port();
  const auto [other, other_port] = listen_on("127.0.0.1");
  const int descriptor = other.get();
  const auto errors = in_threads(2, [&](int rank) {
    Launch launch = launch_of(rank, 2, port);
    if (rank == 0) launch.door = descriptor;  // listens, but elsewhere
    meet(launch, {.timeout_seconds = kLongWait, .rendezvous_seconds = kLongWait});
  });
  EXPECT_THAT(errors, Each(""));
  EXPECT_GE(::fcntl(descriptor, F_GETFD), 0) << "it was closed";
}

TEST(Rendezvous, ACommunicatorIsMade) {
  const int port = free_port();
  const auto errors = in_threads(3, [&](int rank) {
    CommunicatorOptions options;
    options.timeout_seconds = options.rendezvous_seconds = kLongWait;
    const auto ranks = make_communicator(launch_of(rank, 3, port), at::kCPU, options);
    EXPECT_EQ(ranks->rank(), rank);
    EXPECT_EQ(ranks->world_size(), 3);
    at::Tensor sum = at::full({3}, rank);
    ranks->all_reduce_sum(sum, "sum");
    EXPECT_TRUE(at::equal(sum, at::full({3}, 3)));
  });
  EXPECT_THAT(errors, Each(""));
}

}  // namespace
}  // namespace pixart::distributed::testing

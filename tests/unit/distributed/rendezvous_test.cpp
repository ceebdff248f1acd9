// The ranks find one another, or say who is missing.
#include "rendezvous.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "ranks.h"

namespace pixart::distributed::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

// LibTorch's store asks the name server about each connection, which may take five seconds where none
// answers.
constexpr double kPatience = 6, kLong = 30;

TEST(Rendezvous, RanksThatDoNotComeAreNamed) {
  const int port = free_port();
  const double begun = monotonic_seconds();
  const auto errors = in_threads(2, [&](int rank) {
    meet(launch_of(rank, 4, port), {.timeout_seconds = kLong, .rendezvous_seconds = kPatience});
  });
  EXPECT_LT(monotonic_seconds() - begun, 2 * kPatience);
  EXPECT_THAT(errors, Each(HasSubstr("2 of 4 ranks did not come")));
  EXPECT_THAT(errors, Each(HasSubstr("in time: 2, 3.")));
}

TEST(Rendezvous, ARankZeroThatDoesNotComeIsNamed) {
  const int port = free_port();
  try {
    meet(launch_of(1, 2, port), {.timeout_seconds = kLong, .rendezvous_seconds = 0.3});
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
    meet(launch_of(rank, 2, port), {.timeout_seconds = kLong, .rendezvous_seconds = kLong});
  });
  EXPECT_THAT(errors, Each(""));
}

TEST(Rendezvous, TwoOfTheSameRankAreRefused) {
  const int port = free_port();
  const auto errors = in_threads(3, [&](int thread) {
    meet(launch_of(thread == 0 ? 0 : 1, 3, port),
         {.timeout_seconds = kLong, .rendezvous_seconds = kPatience});
  });
  EXPECT_THAT(errors, ::testing::Contains(HasSubstr("two processes say that they are rank 1")));
}

TEST(Rendezvous, AnotherWorldSizeIsRefused) {
  const int port = free_port();
  const auto errors = in_threads(2, [&](int rank) {
    meet(launch_of(rank, rank == 0 ? 2 : 3, port),
         {.timeout_seconds = kLong, .rendezvous_seconds = kPatience});
  });
  EXPECT_THAT(errors, Each(HasSubstr("rank 1 counts 3 ranks, rank 0 counts 2")));
}

TEST(Rendezvous, AnUnknownHostIsNamed) {
  Launch launch = launch_of(1, 2, 29500);
  launch.master_address = "no-such-host.invalid";
  try {
    meet(launch, {.timeout_seconds = kLong, .rendezvous_seconds = 0.2});
    FAIL() << "there is no such host";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("no-such-host.invalid:29500"));
  }
}

TEST(Rendezvous, AStrangerIsHungUpOn) {
  auto [listener, port] = listen_on("127.0.0.1", false);
  const Address address{"127.0.0.1", port};
  const std::vector<Address> addresses(2, address);
  const double deadline = monotonic_seconds() + kLong;
  const Socket stranger = connect_until(address, deadline, "test");
  ASSERT_TRUE(write_until(stranger, "GET / HTTP/1.1\r\nHost: somebody\r\n\r\n", 34, deadline));
  const Socket& open_listener = listener;
  const auto errors = in_threads(2, [&](int rank) {
    const auto links = connect_all(rank, addresses, 42, open_listener, deadline);
    EXPECT_TRUE(links[size_t(1 - rank)].data.is_open() && links[size_t(1 - rank)].control.is_open());
  });
  EXPECT_THAT(errors, Each(""));
  char byte = 0;
  EXPECT_FALSE(read_until(stranger, &byte, 1, deadline));
}

TEST(Rendezvous, ACommunicatorIsMade) {
  const int port = free_port();
  const auto errors = in_threads(3, [&](int rank) {
    CommunicatorOptions options;
    options.timeout_seconds = options.rendezvous_seconds = kLong;
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

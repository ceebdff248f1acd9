// On which addresses ranks listen.
#include "interface.h"

#include <gmock/gmock.h>

#include "pixart/base/env.h"
#include "pixart/base/error.h"

namespace pixart::distributed {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

double soon() { return monotonic_seconds() + 5; }

Launch machines(int number, const std::string& master, const std::string& interface = "") {
  Launch launch;
  launch.world_size = 4;
  launch.local_world_size = 4 / number;
  launch.master_address = master;
  launch.master_port = 29500;
  launch.interface = interface;
  return launch;
}

std::string problem_of(const Launch& launch) {
  try {
    return "no problem: " + own_address(launch, monotonic_seconds() + 0.1);
  } catch (const UserError& error) {
    return error.what();
  }
}

TEST(Interface, RanksOfOneMachineUseTheLoopbackWhateverTheMasterIs) {
  for (const char* master : {"127.0.0.1", "localhost", "gpu-a.invalid"}) {
    const Launch launch = machines(1, master);
    EXPECT_EQ(own_address(launch, soon()), "127.0.0.1");
    EXPECT_EQ(to_string(meeting_place(launch, "127.0.0.1", soon())), "127.0.0.1:29500");
  }
}

TEST(Interface, ALoopbackMasterMeansThisMachine) {
  const Launch launch = machines(2, "127.0.0.1");
  EXPECT_EQ(own_address(launch, soon()), "127.0.0.1");
  EXPECT_EQ(to_string(meeting_place(launch, "127.0.0.1", soon())), "127.0.0.1:29500");
  EXPECT_THAT(own_address(machines(2, "localhost"), soon()), AnyOf("127.0.0.1", "::1"));
}

TEST(Interface, AnUnknownMasterIsNamed) {
  EXPECT_THAT(problem_of(machines(2, "gpu-a.invalid")),
              HasSubstr("rank 0 at MASTER_ADDR gpu-a.invalid:29500"));
}

TEST(Interface, TheOneThatIsNamed) {
  EXPECT_EQ(address_of_interface("lo"), "127.0.0.1");
  EXPECT_EQ(address_of_interface("no-such-one,lo"), "127.0.0.1");
  EXPECT_EQ(own_address(machines(2, "gpu-a.invalid", "lo"), soon()), "127.0.0.1");
  EXPECT_THAT(problem_of(machines(2, "localhost", "ib")),  // names are whole
              AllOf(HasSubstr("PIXART_SOCKET_IFNAME is 'ib'"), HasSubstr("lo")));
}

// /etc/hosts may give the machine's own name to the loopback: other machines would look for the ranks there.
TEST(Interface, NeverAllOfThem) {
  const std::string own = problem_of(machines(2, host_name()));
  for (const char* all : {"0.0.0.0", "no problem: ::\n"}) EXPECT_THAT(own + "\n", Not(HasSubstr(all)));
}

}  // namespace
}  // namespace pixart::distributed

#include "pixart/base/machine_fault.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <new>

namespace pixart {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(MachineFault, TellsTheMachineFromTheFile) {
  for (const int error : {EIO, ESTALE, ENOMEM, EMFILE, ENFILE, ETIMEDOUT, ENOTCONN})
    EXPECT_TRUE(is_machine_fault(error)) << error;
  for (const int error : {0, ENOENT, ENOTDIR, EACCES, EPERM, EISDIR, ELOOP, ENAMETOOLONG, ENXIO, EINVAL})
    EXPECT_FALSE(is_machine_fault(error)) << error;
  EXPECT_NO_THROW(check_machine("a.png", ENOENT));
  EXPECT_THROW(check_machine("a.png", EIO), MachineFault);
}

TEST(MachineFault, SaysWhatToDoAndHasTheExitCode) {
  EXPECT_EQ(MachineFault("a.png", EIO).code(), ExitCode::kStorage);
  EXPECT_EQ(MachineFault("a.png", EMFILE).code(), ExitCode::kDevice);
  EXPECT_EQ(MachineFault("a.png", ENOMEM).code(), ExitCode::kDevice);
  EXPECT_THAT(MachineFault("a.png", EMFILE).what(), AllOf(HasSubstr("a.png"), HasSubstr("ulimit -n")));
  EXPECT_THAT(MachineFault("a.png", ESTALE).what(), HasSubstr("file server"));
}

TEST(MachineFault, AreTriedAgain) {
  int calls = 0;
  retry_machine_faults("read a.png", [&] {
    if (++calls < 3) throw MachineFault("a.png", EIO);
  });
  EXPECT_EQ(calls, 3);
  retry_machine_faults("read a.png", [&] {
    if (++calls < 6) throw std::bad_alloc();
  });
  EXPECT_EQ(calls, 6);
}

TEST(MachineFault, AreThrownAfterSomeTries) {
  int calls = 0;
  const auto failing = [&] {
    ++calls;
    throw std::bad_alloc();
  };
  try {
    // Only the outer one tries again: five calls, not twenty-five.
    retry_machine_faults("read a.png", [&] { retry_machine_faults("read a piece", failing); });
    ADD_FAILURE() << "not thrown";
  } catch (const MachineFault& fault) {
    EXPECT_THAT(fault.what(), HasSubstr("read a.png"));
    EXPECT_EQ(fault.code(), ExitCode::kDevice);
  }
  EXPECT_EQ(calls, 5);
}

TEST(MachineFault, OtherErrorsPassAtOnce) {
  int calls = 0;
  EXPECT_THROW(retry_machine_faults("read",
                                    [&] {
                                      ++calls;
                                      throw UserError("bad", ExitCode::kStorage);
                                    }),
               UserError);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace pixart

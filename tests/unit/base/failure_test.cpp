#include "pixart/base/failure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

namespace pixart {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

fs::filesystem_error of_path(int error) {
  return {"status", "/data/of others", std::error_code(error, std::generic_category())};
}

std::system_error of_system(int error) { return std::system_error(error, std::generic_category()); }

TEST(Failure, ShortagesHaveOneCodeAndARemedy) {
  const std::runtime_error torch(
      "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
      "allocate 3888000000 bytes. Error code 12 (Cannot allocate memory)\nException raised from ...\nframe 0");
  const std::runtime_error onednn("could not create a primitive");
  for (const std::exception* error : std::initializer_list<const std::exception*>{&torch, &onednn}) {
    EXPECT_TRUE(is_shortage(*error));
    EXPECT_EQ(explain(*error).code, ExitCode::kDevice);
    EXPECT_THAT(explain(*error).message,
                AllOf(HasSubstr("too little memory"), HasSubstr("micro_batch_size"), Not(HasSubstr("\n"))));
  }
  EXPECT_THAT(explain(torch).message, HasSubstr("3.6 GiB were asked for"));
  set_remedies_of_run(false);
  EXPECT_THAT(explain(torch).message,
              AllOf(HasSubstr("too little memory"), Not(HasSubstr("micro_batch_size"))));
  set_remedies_of_run(true);
  EXPECT_THAT(explain(onednn).message, HasSubstr("could not create a primitive"));
  EXPECT_EQ(explain(std::bad_alloc()).code, ExitCode::kDevice);
  const auto threads = explain(of_system(EAGAIN)), files = explain(of_system(EMFILE));
  EXPECT_EQ(threads.code, ExitCode::kDevice);
  EXPECT_THAT(threads.message, AllOf(HasSubstr("threads"), HasSubstr("ulimit -u")));
  EXPECT_EQ(files.code, ExitCode::kDevice);
  EXPECT_THAT(files.message, HasSubstr("ulimit -n"));
}

TEST(Failure, FoldersAreNamed) {
  const std::vector<std::pair<int, ExitCode>> cases = {
      {EACCES, ExitCode::kBadInput}, {EPERM, ExitCode::kBadInput}, {ELOOP, ExitCode::kBadInput},
      {EIO, ExitCode::kStorage},     {ESTALE, ExitCode::kStorage}, {ENAMETOOLONG, ExitCode::kBadInput},
      {ENOSPC, ExitCode::kStorage},  {EROFS, ExitCode::kStorage},  {EMFILE, ExitCode::kDevice},
      {ENOMEM, ExitCode::kDevice}};
  for (const auto& [number, code] : cases) {
    const auto failure = explain(of_path(number));
    EXPECT_EQ(failure.code, code) << number;
    EXPECT_THAT(failure.message,
                AllOf(HasSubstr("/data/of others"), HasSubstr(std::generic_category().message(number)),
                      Not(HasSubstr("report"))));
  }
  EXPECT_FALSE(is_shortage(of_path(EACCES)));
  EXPECT_TRUE(is_shortage(of_path(EMFILE)));
}

TEST(Failure, ErrorsOfTheUserStayAsTheyAre) {
  const auto failure = explain(UserError("out of memory, says the user", ExitCode::kRequeue));
  EXPECT_EQ(failure.code, ExitCode::kRequeue);
  EXPECT_EQ(failure.message, "out of memory, says the user");
  EXPECT_FALSE(is_shortage(UserError("out of memory")));
}

TEST(Failure, WhateverElseIsABug) {
  const auto failure = explain(std::logic_error("an odd number"));
  EXPECT_EQ(failure.code, ExitCode::kInternal);
  EXPECT_THAT(failure.message, AllOf(HasSubstr("please report it"), HasSubstr("an odd number")));
  EXPECT_FALSE(is_shortage(std::logic_error("an odd number")));
}

}  // namespace
}  // namespace pixart

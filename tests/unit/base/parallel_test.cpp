#include "pixart/base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "thread_limit.h"

namespace pixart {
namespace {

TEST(Parallel, WorksOnEveryIndexOnce) {
  for (const int threads : {1, 2, 7}) {
    std::vector<std::atomic<int>> times(1000);
    for_each_in_parallel(
        1000, [&](int64_t i) { ++times[size_t(i)]; }, threads);
    for (const auto& count : times) EXPECT_EQ(count, 1);
  }
  for_each_in_parallel(0, [](int64_t) { FAIL(); });
}

TEST(Parallel, TheFirstFailureByIndexIsThrown) {
  for (int repeat = 0; repeat < 20; ++repeat) {
    try {
      for_each_in_parallel(
          100,
          [](int64_t i) {
            if (i % 10 == 3) throw std::runtime_error(std::to_string(i));
          },
          4);
      FAIL() << "not thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "3");
    }
  }
}

// 0: the system's refusal of a thread after `count` could be caught.
int code_of(int count, const std::function<void()>& work) {
  testing::refuse_threads_after(count);
  try {
    work();
  } catch (const std::system_error& error) {
    return error.code() == std::errc::resource_unavailable_try_again ? 0 : 1;
  }
  return 2;
}

TEST(Parallel, AThreadThatTheSystemRefusesIsAnErrorThatCanBeCaught) {
  for (const int count : {0, 2}) {
    EXPECT_EXIT(std::_Exit(code_of(count,
                                   [] {
                                     for_each_in_parallel(
                                         100, [](int64_t) {}, 4);
                                   })),
                ::testing::ExitedWithCode(0), "");
    EXPECT_EXIT(std::_Exit(code_of(count, [] { require_threads(3); })), ::testing::ExitedWithCode(0), "");
  }
}

TEST(Parallel, ThreadsThatAreRequiredHaveEndedAfterwards) {
  for (const int count : {0, 1, 20}) EXPECT_NO_THROW(require_threads(count));
}

}  // namespace
}  // namespace pixart

#include "pixart/base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

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

}  // namespace
}  // namespace pixart

#include "pixart/base/prefetch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <system_error>

#include "thread_limit.h"

namespace pixart {
namespace {

using Numbers = Prefetch<int, int>;

Numbers::NextJob counting(int n) {
  return [i = 0, n]() mutable -> std::optional<int> { return i < n ? std::optional(i++) : std::nullopt; };
}

TEST(Prefetch, ResultsComeInOrderForAnyThreadsAndDepth) {
  for (const int threads : {0, 1, 3, 8}) {
    for (const int depth : {1, 2, 50}) {
      Numbers squares(threads, depth, counting(200), [](int i) {
        if (i % 7 == 0) std::this_thread::yield();
        return i * i;
      });
      for (int i = 0; i < 200; ++i) ASSERT_EQ(squares.next(), i * i) << threads << " threads";
      EXPECT_EQ(squares.next(), std::nullopt);
      EXPECT_EQ(squares.next(), std::nullopt);
    }
  }
}

TEST(Prefetch, WorksNoFurtherAheadThanItsDepth) {
  std::atomic<int> begun{0};
  Numbers numbers(2, 3, counting(100), [&](int i) {
    ++begun;
    return i;
  });
  for (int taken = 1; taken <= 100; ++taken) {
    numbers.next();
    EXPECT_LE(begun, taken + 3);
  }
  EXPECT_EQ(begun, 100);
}

TEST(Prefetch, FailuresComeInTheirTurn) {
  for (const int threads : {0, 2}) {
    Numbers numbers(threads, 4, counting(10), [](int i) {
      if (i == 3) throw std::runtime_error("three");
      return i;
    });
    for (int i = 0; i < 3; ++i) EXPECT_EQ(numbers.next(), i);
    EXPECT_THROW(numbers.next(), std::runtime_error);
    EXPECT_EQ(numbers.next(), 4);
  }
  Numbers broken(
      2, 4, []() -> std::optional<int> { throw std::logic_error("no job"); }, [](int i) { return i; });
  EXPECT_THROW(broken.next(), std::logic_error);
  EXPECT_EQ(broken.next(), std::nullopt);
}

int code_of_refusal_after(int count) {
  testing::refuse_threads_after(count);
  try {
    const Numbers numbers(3, 4, counting(10), [](int i) { return i; });
  } catch (const std::system_error& error) {
    return error.code() == std::errc::resource_unavailable_try_again ? 0 : 1;
  }
  return 2;
}

TEST(Prefetch, AThreadThatTheSystemRefusesIsAnErrorThatCanBeCaught) {
  for (const int count : {0, 2})
    EXPECT_EXIT(std::_Exit(code_of_refusal_after(count)), ::testing::ExitedWithCode(0), "");
}

TEST(Prefetch, NoMemoryForAJobIsThrownOnceAndEndsIt) {
  for (const int threads : {0, 3}) {
    int given = 0;
    Numbers numbers(
        threads, 4,
        [&]() -> std::optional<int> {
          if (given == 2) throw std::bad_alloc();
          return given++;
        },
        [](int i) { return i; });
    EXPECT_EQ(numbers.next(), 0);
    EXPECT_EQ(numbers.next(), 1);
    EXPECT_THROW(numbers.next(), std::bad_alloc);
  }
}

TEST(Prefetch, MayBeLeftEarly) {
  std::atomic<int> begun{0};
  {
    Numbers numbers(3, 6, counting(1000000), [&](int i) { return ++begun, i; });
    numbers.next();
  }
  EXPECT_LT(begun, 100);
}

}  // namespace
}  // namespace pixart

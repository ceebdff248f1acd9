#include "pixart/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "pixart/base/env.h"

namespace pixart {

void require_threads(int count) {
  std::promise<void> end;
  const auto ended = end.get_future().share();
  std::vector<std::jthread> threads;  // joined here, also if one of them cannot be started
  try {
    for (int t = 0; t < count; ++t) threads.emplace_back([ended] { ended.wait(); });
  } catch (...) {
    end.set_value();
    throw;
  }
  end.set_value();
}

void for_each_in_parallel(int64_t n, const std::function<void(int64_t)>& work, int threads) {
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::atomic<int64_t> failed_at{n};
  std::exception_ptr failure;
  const auto loop = [&] {
    for (int64_t i; (i = next.fetch_add(1)) < failed_at;) {
      try {
        work(i);
      } catch (...) {
        const std::scoped_lock lock(mutex);
        if (i < failed_at) failed_at = i, failure = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> others;  // joined here, also if one of them cannot be started
    try {
      for (int64_t t = 1; t < std::min<int64_t>(threads > 0 ? threads : physical_cores(), n); ++t)
        others.emplace_back(loop);
    } catch (...) {
      failed_at = 0;
      throw;
    }
    loop();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace pixart

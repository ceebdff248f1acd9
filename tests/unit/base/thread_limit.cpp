#include "thread_limit.h"

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>

namespace {

constexpr int kNoLimit = -1;
std::atomic<int> threads_left = kNoLimit;

using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);

}  // namespace

// In place of the C library's.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                              void* argument) noexcept {
  if (threads_left == 0) return EAGAIN;
  if (threads_left != kNoLimit) --threads_left;
  static const auto next = reinterpret_cast<Create>(::dlsym(RTLD_NEXT, "pthread_create"));
  return next(thread, attributes, run, argument);
}

namespace pixart::testing {

void refuse_threads_after(int count) { threads_left = count; }

}  // namespace pixart::testing

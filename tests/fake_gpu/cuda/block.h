// One block of threads on the CPU. Threads are fibers that change only at barriers and shuffles; blocks run
// one after the other.
#pragma once
#include <cstdint>
#include <functional>
#include <source_location>

namespace cuda_on_cpu {

using Site = std::source_location;
constexpr unsigned kWarp = 32, kMostThreads = 1024;

// Runs body() for each thread, with enter(thread) before each piece of its work. Backwards, the last thread
// begins: a result that depends on the order then differs. Ends the process with a message if threads wait
// for each other at different barriers.
void run_block(unsigned threads, bool backwards, const std::function<void(unsigned)>& enter,
               const std::function<void()>& body);

// Called by a thread of the running block.
unsigned thread_of_block();
void wait_for_block(const Site& site);
void wait_for_warp(unsigned mask, const Site& site);
// The value that thread `lane` of the warp gives; all threads of `mask` give one at once.
uint64_t exchange_in_warp(unsigned mask, uint64_t value, unsigned lane, const Site& site);
// Ends the process.
[[noreturn]] void refuse(const char* what, const Site& site);

}  // namespace cuda_on_cpu

// Runs the same work for many indices on several threads.
#pragma once
#include <cstdint>
#include <functional>

namespace pixart {

// Calls work(i) once for each i in [0, n), on up to `threads` threads (0: as many as physical cores). If
// calls throw, the exception of the lowest failed index is thrown again; higher indices may be skipped. Throws
// std::system_error if a thread cannot be started.
void for_each_in_parallel(int64_t n, const std::function<void(int64_t)>& work, int threads = 0);

// Throws std::system_error unless the process can start `count` threads more. Libraries that start threads
// themselves may wait for ever for one that the system refuses, or end the process.
void require_threads(int count);

}  // namespace pixart

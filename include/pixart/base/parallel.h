// The same work for many indices, on several threads.
#pragma once
#include <cstdint>
#include <functional>

namespace pixart {

// Calls work(i) once for each i in [0, n), on up to `threads` threads (0: the physical cores). The exception
// of the lowest index that failed is thrown again; indices above it may not have been worked on.
void for_each_in_parallel(int64_t n, const std::function<void(int64_t)>& work, int threads = 0);

}  // namespace pixart

#include "launch.h"

#include <dlfcn.h>

#include <memory>

#include "../gpu/interface.h"
#include "../gpu/settings.h"
#include "traffic.h"

namespace cuda_on_cpu {

namespace {

constexpr int kInvalidConfiguration = 9;    // cudaErrorInvalidConfiguration
constexpr int kInvalidDeviceFunction = 98;  // cudaErrorInvalidDeviceFunction
constexpr size_t kMostShared = 227 << 10;   // bytes, of an H100
thread_local int t_error = 0;
std::vector<char> g_shared;

// Null without the fake GPU. Looked up each time: it may be loaded later.
template <class Function>
Function* find(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_DEFAULT, name));
}

unsigned threads_of(const dim3& block) { return block.x * block.y * block.z; }

bool is_valid(const Configuration& c) {
  const unsigned threads = threads_of(c.block);
  return c.grid.x > 0 && c.grid.y > 0 && c.grid.z > 0 && threads > 0 && threads <= kMostThreads &&
         c.shared_bytes <= kMostShared;
}

}  // namespace

int take_error() { return std::exchange(t_error, 0); }
void* dynamic_shared() { return g_shared.data(); }

void* translate(void* word, std::vector<Given>& given) {
  const auto seen_by_kernels = find<decltype(fake_gpu_seen_by_kernels)>("fake_gpu_seen_by_kernels");
  void* seen = seen_by_kernels == nullptr ? nullptr : seen_by_kernels(word);
  if (seen == nullptr) return word;
  given.push_back({word, seen});
  return seen;
}

void run_grid(const char* name, const Configuration& c, const std::vector<Given>& given,
              const std::function<void()>& body) {
  static std::mutex mutex;  // shared memory is one for all blocks
  static const bool backwards = fake_gpu::number_of("PIXART_FAKE_GPU_BACKWARDS", 0) != 0;
  t_error = is_valid(c) ? 0 : kInvalidConfiguration;
  if (fake_gpu::number_of("PIXART_FAKE_GPU_NO_KERNELS", 0) != 0) t_error = kInvalidDeviceFunction;
  const auto launch = find<decltype(fake_gpu_launch)>("fake_gpu_launch");
  if (t_error == 0 && launch != nullptr) t_error = launch(name, c.stream);
  if (t_error != 0) return;
  const std::scoped_lock lock(mutex);
  gridDim = c.grid;
  blockDim = c.block;
  begin_traffic(given);
  g_shared.assign(c.shared_bytes, char(255));
  const auto enter = [&](unsigned thread) {
    threadIdx = dim3(thread % c.block.x, thread / c.block.x % c.block.y, thread / (c.block.x * c.block.y));
  };
  for (unsigned z = 0; z < c.grid.z; ++z)
    for (unsigned y = 0; y < c.grid.y; ++y)
      for (unsigned x = 0; x < c.grid.x; ++x) {
        blockIdx = dim3(x, y, z);
        run_block(threads_of(c.block), backwards, enter, body);
        end_block();
      }
  if (const auto end = find<decltype(fake_gpu_end_launch)>("fake_gpu_end_launch"); end != nullptr) {
    const auto uses = uses_of_memory();
    end(name, c.stream, uses.data(), uses.size(), double(last_traffic().bytes_read),
        double(last_traffic().bytes_written));
  }
}

}  // namespace cuda_on_cpu

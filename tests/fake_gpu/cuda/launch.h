// kernel<<<grid, block, shared, stream>>>(arguments) as a call. Where the fake GPU is loaded, addresses of
// its memory in the arguments, also inside structs, become those that the host can read; other memory stays
// as it is.
#pragma once
#include <array>
#include <cstring>
#include <functional>
#include <mutex>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "block.h"

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace cuda_on_cpu {

// Of the thread that runs.
inline dim3 blockIdx, gridDim, blockDim, threadIdx;

struct Configuration {
  dim3 grid, block;
  size_t shared_bytes = 0;
  void* stream = nullptr;
};

int take_error();  // cudaGetLastError
void* dynamic_shared();
// The address for the host of what `word` holds; adds it to `used` if it is memory of a device.
void* translate(void* word, std::vector<void*>& used);
void run_grid(const char* name, const Configuration& configuration, const std::vector<void*>& used,
              const std::function<void()>& body);

template <class T>
T translate_argument(T argument, std::vector<void*>& used) {
  static_assert(std::is_trivially_copyable_v<T>, "arguments of kernels are copied as bytes");
  std::array<void*, sizeof(T) / sizeof(void*)> words;
  if constexpr (sizeof(T) >= sizeof(void*)) {
    const size_t size = words.size() * sizeof(void*);
    std::memcpy(words.data(), &argument, size);
    for (void*& word : words) word = translate(word, used);
    std::memcpy(static_cast<void*>(&argument), words.data(), size);
  }
  return argument;
}

template <class... Parameters, class... Arguments>
void launch(const char* name, const Configuration& configuration, void (*kernel)(Parameters...),
            Arguments... arguments) {
  std::vector<void*> used;
  const std::tuple<std::decay_t<Parameters>...> translated{
      translate_argument<std::decay_t<Parameters>>(arguments, used)...};
  run_grid(name, configuration, used, [&] { std::apply(kernel, translated); });
}

}  // namespace cuda_on_cpu

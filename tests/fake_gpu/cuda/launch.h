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
// Memory of a device that a kernel is given: its address, and that for the host.
struct Given {
  void *memory, *seen;
};
// The address for the host of what `word` holds; adds it to `given` if it is memory of a device.
void* translate(void* word, std::vector<Given>& given);
void run_grid(const char* name, const Configuration& configuration, const std::vector<Given>& given,
              const std::function<void()>& body);

template <class T>
T translate_argument(T argument, std::vector<Given>& given) {
  static_assert(std::is_trivially_copyable_v<T>, "arguments of kernels are copied as bytes");
  std::array<void*, sizeof(T) / sizeof(void*)> words;
  if constexpr (sizeof(T) >= sizeof(void*)) {
    const size_t size = words.size() * sizeof(void*);
    std::memcpy(words.data(), &argument, size);
    for (void*& word : words) word = translate(word, given);
    std::memcpy(static_cast<void*>(&argument), words.data(), size);
  }
  return argument;
}

template <class... Parameters, class... Arguments>
void launch(const char* name, const Configuration& configuration, void (*kernel)(Parameters...),
            Arguments... arguments) {
  std::vector<Given> given;
  const std::tuple<std::decay_t<Parameters>...> translated{
      translate_argument<std::decay_t<Parameters>>(arguments, given)...};
  run_grid(name, configuration, given, [&] { std::apply(kernel, translated); });
}

}  // namespace cuda_on_cpu

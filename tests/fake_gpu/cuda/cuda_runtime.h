// Stands in for CUDA's header of this name where the host's compiler compiles a kernel (kernel_source.py has
// replaced `kernel<<<...>>>(...)` before). Add what a new kernel needs.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "block.h"
#include "launch.h"
#include "traffic.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after the other

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

using cudaStream_t = void*;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidDeviceFunction = 98,
  cudaErrorIllegalAddress = 700
};
inline cudaError_t cudaGetLastError() { return cudaError_t(cuda_on_cpu::take_error()); }
inline const char* cudaGetErrorString(cudaError_t error) {
  if (error == cudaErrorIllegalAddress) return "an illegal memory access was encountered";
  if (error == cudaErrorInvalidDeviceFunction) return "invalid device function";
  return error == cudaSuccess ? "no error" : "invalid configuration argument";
}

using cuda_on_cpu::blockDim;
using cuda_on_cpu::blockIdx;
using cuda_on_cpu::gridDim;
using cuda_on_cpu::threadIdx;
constexpr int warpSize = cuda_on_cpu::kWarp;

inline void __syncthreads(cuda_on_cpu::Site site = cuda_on_cpu::Site::current()) {
  cuda_on_cpu::wait_for_block(site);
}
inline void __syncwarp(unsigned mask = 0xffffffff, cuda_on_cpu::Site site = cuda_on_cpu::Site::current()) {
  cuda_on_cpu::wait_for_warp(mask, site);
}

namespace cuda_on_cpu {

inline unsigned lane() { return thread_of_block() % kWarp; }

template <class T>
T shuffle(unsigned mask, T value, unsigned from, const Site& site) {
  static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange_in_warp(mask, bits, from, site);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace cuda_on_cpu

// As CUDA's, for the full width of a warp. A lane outside of it leaves the value as it is.
template <class T>
T __shfl_sync(unsigned mask, T value, int from, cuda_on_cpu::Site site = cuda_on_cpu::Site::current()) {
  return cuda_on_cpu::shuffle(mask, value, unsigned(from) % cuda_on_cpu::kWarp, site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, cuda_on_cpu::Site site = cuda_on_cpu::Site::current()) {
  return cuda_on_cpu::shuffle(mask, value, cuda_on_cpu::lane() ^ unsigned(lanes), site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned lanes,
                   cuda_on_cpu::Site site = cuda_on_cpu::Site::current()) {
  const unsigned me = cuda_on_cpu::lane(), from = me + lanes;
  return cuda_on_cpu::shuffle(mask, value, from < cuda_on_cpu::kWarp ? from : me, site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned lanes,
                 cuda_on_cpu::Site site = cuda_on_cpu::Site::current()) {
  const unsigned me = cuda_on_cpu::lane();
  return cuda_on_cpu::shuffle(mask, value, me >= lanes ? me - lanes : me, site);
}

template <class T>
T atomicAdd(T* sum, T value) {
  const T before = *sum;
  *sum = before + value;
  return before;
}
inline void sincospi(double x, double* sine, double* cosine) {
  constexpr long double kPi = 3.14159265358979323846264338327950288L;
  *sine = double(std::sin(kPi * x));
  *cosine = double(std::cos(kPi * x));
}
inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __frcp_rn(float x) { return 1.0F / x; }
inline float __fdividef(float a, float b) { return a / b; }
template <class T>
T __ldg(const T* value, cuda_on_cpu::Site site = cuda_on_cpu::Site::current()) {
  cuda_on_cpu::count_access(value, sizeof(T), /*writes=*/false, site);
  return *value;
}
template <class T>
T __ldcg(const T* value,
         cuda_on_cpu::Site site = cuda_on_cpu::Site::current()) {  // of memory that is written, too
  return __ldg(value, site);
}
template <class T>
void __stwb(T* place, T value, cuda_on_cpu::Site site = cuda_on_cpu::Site::current()) {
  cuda_on_cpu::count_access(place, sizeof(T), /*writes=*/true, site);
  *place = value;
}

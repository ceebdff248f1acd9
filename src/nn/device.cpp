#include "pixart/nn/device.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <malloc.h>

#include <algorithm>
#include <climits>
#include <filesystem>

#include "pixart/base/env.h"
#include "pixart/base/error.h"

namespace pixart::nn {

namespace {

// libtorch_cuda registers its kernels when it is loaded. It is not linked, so that machines without a GPU
// start quickly.
std::string load_cuda() {
  static const std::string problem = [] {
    if (::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr) return std::string();
    const char* reason = ::dlerror();
    return std::string(reason != nullptr ? reason : "unknown reason");
  }();
  return problem;
}

bool driver_present() {
  return std::filesystem::exists("/dev/nvidiactl") || std::filesystem::exists("/dev/dxg");
}

std::string cuda_problem(c10::DeviceIndex index) {
  if (!driver_present()) return "this machine has no NVIDIA driver (/dev/nvidiactl is missing)";
  if (const std::string problem = load_cuda(); !problem.empty())
    return "libtorch_cuda cannot be loaded: " + problem;
  if (!at::hasCUDA()) return "LibTorch finds no usable GPU (is the driver new enough for CUDA 13?)";
  const auto count = at::detail::getCUDAHooks().deviceCount();
  return index < count ? "" : fmt::format("there are {} GPUs, numbered from 0", int(count));
}

// SLURM may let each process see only its own GPU.
int gpu_of(int rank) {
  const bool only_one = load_cuda().empty() && at::hasCUDA() && at::detail::getCUDAHooks().deviceCount() == 1;
  return only_one ? 0 : rank;
}

const char* name_of(at::Float32MatmulPrecision precision) {
  if (precision == at::Float32MatmulPrecision::HIGHEST) return "highest";
  return precision == at::Float32MatmulPrecision::HIGH ? "high" : "medium";
}

}  // namespace

void configure_attention() { at::globalContext().setSDPUseCuDNN(false); }

FullFloat32::FullFloat32() : before_(name_of(at::globalContext().float32MatmulPrecision())) {
  at::globalContext().setFloat32MatmulPrecision("highest");
}
FullFloat32::~FullFloat32() { at::globalContext().setFloat32MatmulPrecision(before_); }

c10::Device select_device(const std::string& name, int rank) {
  configure_attention();
  if (name == "cpu") return at::kCPU;
  if (name == "auto" && !(driver_present() && cuda_problem(0).empty())) return at::kCPU;
  const bool numbered = name.rfind("cuda:", 0) == 0 && name.size() > 5 && name.size() < 8 &&
                        name.find_first_not_of("0123456789", 5) == std::string::npos;
  if (name != "auto" && name != "cuda" && !numbered)
    throw UserError(fmt::format("device '{}' is unknown; use auto, cpu, cuda or cuda:<number>.", name));
  const auto index = c10::DeviceIndex(numbered ? std::stoi(name.substr(5)) : gpu_of(rank));
  if (const std::string problem = cuda_problem(index); !problem.empty())
    throw UserError(fmt::format("device {} is not available: {}. Use device: cpu, or see `pixart doctor`.",
                                name, problem),
                    ExitCode::kDevice);
  return {at::kCUDA, index};
}

void set_num_threads(int64_t threads, int processes) {
  at::set_num_threads(int(threads > 0 ? threads : std::max(1, physical_cores() / processes)));
}

void keep_freed_memory() {
  constexpr int kLargestMapped = 32 << 20;  // the largest value that mallopt accepts
  ::mallopt(M_MMAP_THRESHOLD, kLargestMapped);
  ::mallopt(M_TRIM_THRESHOLD, INT_MAX);
}

std::optional<std::string> pci_bus_id(c10::Device device) {
  if (!device.is_cuda()) return {};
  // libtorch_cuda has loaded CUDA's run-time library, too.
  using Function = int (*)(char* id, int size, int device);
  const auto function = reinterpret_cast<Function>(::dlsym(RTLD_DEFAULT, "cudaDeviceGetPCIBusId"));
  char id[32] = {};
  if (function == nullptr || function(id, int(sizeof id), device.index()) != 0) return {};
  return id;
}

}  // namespace pixart::nn

#include "pixart/nn/device.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <malloc.h>

#include <algorithm>
#include <climits>
#include <cstring>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/gpu_driver.h"
#include "pixart/base/log.h"
#include "pixart/base/parallel.h"

namespace pixart::nn {

// libtorch_cuda registers its kernels when it is loaded. It is not linked, so that machines without a GPU
// start quickly.
std::string load_cuda() {
  static const std::string problem = [] {
    use_expandable_segments();
    if (::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr) return std::string();
    const char* reason = ::dlerror();
    return std::string(reason != nullptr ? reason : "unknown reason");
  }();
  return problem;
}

int cuda_version() {
  const auto& hooks = at::detail::getCUDAHooks();
  return hooks.hasCUDART() ? int(hooks.versionCUDART()) : 0;
}

namespace {

// CUDA shows this process only these GPUs, and numbers them from 0.
std::string visible_devices() {
  const auto visible = environment_variable("CUDA_VISIBLE_DEVICES");
  return visible ? fmt::format(" (CUDA_VISIBLE_DEVICES={})", *visible) : "";
}

// Why LibTorch has no GPU although there is a driver.
std::string no_gpu_problem() {
  const std::string problem = gpu_driver_problem(cuda_version());
  return fmt::format("LibTorch finds no usable GPU{}{}", visible_devices(),
                     problem.empty() ? "" : ": " + problem);
}

std::string cuda_problem(c10::DeviceIndex index) {
  if (!gpu_driver_present()) return "this machine has no NVIDIA driver (/dev/nvidiactl is missing)";
  if (const std::string problem = load_cuda(); !problem.empty())
    return "libtorch_cuda cannot be loaded: " + problem;
  if (!at::hasCUDA()) return no_gpu_problem();
  const auto count = at::detail::getCUDAHooks().deviceCount();
  if (index < count) return "";
  return fmt::format("{} visible, numbered from 0{}",
                     count == 1 ? "1 GPU is" : fmt::format("{} GPUs are", int(count)), visible_devices());
}

// SLURM may let each process see only its own GPU. If others see the same one, the communicator refuses them.
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

void use_expandable_segments() {
  if (environment_variable("PYTORCH_CUDA_ALLOC_CONF") || environment_variable("PYTORCH_ALLOC_CONF")) return;
  set_environment_variable("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True");
}

FullFloat32::FullFloat32() : before_(name_of(at::globalContext().float32MatmulPrecision())) {
  at::globalContext().setFloat32MatmulPrecision("highest");
}
FullFloat32::~FullFloat32() { at::globalContext().setFloat32MatmulPrecision(before_); }

AllowTf32::AllowTf32(bool is_wanted, c10::Device device) {
  if (!is_wanted || !device.is_cuda()) return;
  before_ = name_of(at::globalContext().float32MatmulPrecision());
  at::globalContext().setFloat32MatmulPrecision("high");
}
AllowTf32::~AllowTf32() {
  if (before_ != nullptr) at::globalContext().setFloat32MatmulPrecision(before_);
}

namespace {

// The CPU in place of a GPU that "auto" does not find. A machine with a driver was meant to train on its GPU.
c10::Device fall_back(const std::string& problem, bool needs_gpu) {
  if (needs_gpu && gpu_driver_present())
    throw UserError(
        fmt::format("device auto: {}. Several ranks and bfloat16 are not trained on the CPU unless "
                    "device: cpu says so; `pixart doctor` describes this machine.",
                    problem),
        ExitCode::kDevice);
  if (needs_gpu || gpu_driver_present()) log::warning("device auto: {}. The CPU is used.", problem);
  return at::kCPU;
}

}  // namespace

c10::Device select_device(const std::string& name, int rank, bool needs_gpu) {
  configure_attention();
  if (name == "cpu") return at::kCPU;
  if (name == "auto")
    if (const std::string problem = cuda_problem(0); !problem.empty()) return fall_back(problem, needs_gpu);
  const bool numbered = name.rfind("cuda:", 0) == 0 && name.size() > 5 && name.size() < 8 &&
                        name.find_first_not_of("0123456789", 5) == std::string::npos;
  if (name != "auto" && name != "cuda" && !numbered)
    throw UserError(fmt::format("device '{}' is unknown; use auto, cpu, cuda or cuda:<number>.", name));
  const auto index = c10::DeviceIndex(numbered ? std::stoi(name.substr(5)) : gpu_of(rank));
  if (const std::string problem = cuda_problem(index); !problem.empty())
    throw UserError(fmt::format("device {} is not available: {}. Use device: cpu, or see `pixart doctor`.",
                                name, problem),
                    ExitCode::kDevice);
  const c10::Device device(at::kCUDA, index);
  // Otherwise events and libraries of this thread would create a context on the first GPU.
  c10::impl::VirtualGuardImpl(at::kCUDA).setDevice(device);
  return device;
}

void wait_for(c10::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl gpu(device.type());
  gpu.synchronizeStream(gpu.getStream(device));
}

at::Tensor ready_for(const at::Tensor& tensor, c10::Device device) {
  if (!tensor.defined() || !tensor.is_cpu() || !device.is_cuda() || tensor.is_pinned()) return tensor;
  // By this thread alone: LibTorch's copy of a large tensor would start a team of threads in each thread of a
  // loader.
  const at::Tensor source = tensor.contiguous();
  at::Tensor pinned = at::empty(source.sizes(), source.options().pinned_memory(true));
  std::memcpy(pinned.mutable_data_ptr(), source.const_data_ptr(), source.nbytes());
  return pinned;
}

at::Tensor on_device(const at::Tensor& tensor, c10::Device device) {
  if (tensor.device() == device) return tensor;
  const bool to_gpu = tensor.is_cpu() && device.is_cuda();
  const at::Tensor source = ready_for(tensor, device);
  return source.to(device, source.scalar_type(), /*non_blocking=*/to_gpu);
}

void set_num_threads(int64_t threads, int processes) {
  const int share = std::max(1, physical_cores() / processes);
  ::mallopt(M_ARENA_MAX, std::max(2, share));  // the default is eight for each processor of the machine
  const int count = int(threads > 0 ? threads : share);
  require_threads(2 * count);  // LibTorch has two pools of that size
  at::set_num_threads(count);
}

void keep_freed_memory() {
  constexpr int kLargestMapped = 32 << 20;  // the largest value that mallopt accepts
  ::mallopt(M_MMAP_THRESHOLD, kLargestMapped);
  ::mallopt(M_TRIM_THRESHOLD, INT_MAX);
}

std::optional<std::string> pci_bus_id(c10::Device device) {
  if (!device.is_cuda()) return {};
  // CUDA's run-time library is one of those that libtorch_cuda has loaded.
  void* library = ::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_NOLOAD);
  if (library == nullptr) return {};
  using Function = int (*)(char* id, int size, int device);
  const auto function = reinterpret_cast<Function>(::dlsym(library, "cudaDeviceGetPCIBusId"));
  char id[32] = {};
  if (function == nullptr || function(id, int(sizeof id), device.index()) != 0) return {};
  return id;
}

std::string gpu_name(c10::Device device) {
  if (!device.is_cuda()) return "";
  return pci_bus_id(device).value_or(fmt::format("number {}{}", int(device.index()), visible_devices()));
}

}  // namespace pixart::nn

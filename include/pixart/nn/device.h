// Selects the device. libtorch_cuda is loaded at run time, in this module, and only if a GPU is requested.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <optional>
#include <string>

namespace pixart::nn {

// "cpu", "cuda", "cuda:1" or "auto" (a GPU if one works, otherwise the CPU). Without a number, it is the GPU
// with the number `rank` among those that this process sees, or the only one; it becomes the current device
// of the calling thread. Throws UserError(kDevice) with the remedy if the device is not available. If "auto"
// finds no usable GPU although there is a driver (base/gpu_driver.h), that is an error with `needs_gpu`,
// otherwise a warning.
c10::Device select_device(const std::string& name, int rank = 0, bool needs_gpu = false);

// Loads libtorch_cuda, and with it CUDA's run-time library and NCCL; returns why it cannot be loaded, or "".
// select_device() calls it only if there is a driver; it needs neither driver nor GPU.
std::string load_cuda();
// The version of CUDA that the loaded libtorch_cuda was built for, 12080 for 12.8; 0 if it is not known.
int cuda_version();

// Removes cuDNN's kernels from scaled_dot_product_attention, for the whole process; select_device() calls it.
// LibTorch prefers them on H100 and B200, and they build a plan for each shape, e.g. for each longest caption
// of a micro-batch: a new plan took 0.44 s forward and 0.55 s backward (B200, LibTorch 2.11,
// modelscope/FunASR#3704), up to 120 times per image shape and again after each start. FlashAttention and the
// memory-efficient kernel have no such plans.
void configure_attention();

// Lets LibTorch's allocator grow its blocks of GPU memory, unless PYTORCH_CUDA_ALLOC_CONF or
// PYTORCH_ALLOC_CONF is set: the shapes of micro-batches differ, and blocks of fixed sizes would leave gaps
// that nothing fits. select_device() calls it before it loads libtorch_cuda, which reads the variables.
void use_expandable_segments();

// While the object exists, matrix products of float32 tensors are computed in float32, not TF32 or bfloat16.
class FullFloat32 {
 public:
  FullFloat32();
  ~FullFloat32();
  FullFloat32(const FullFloat32&) = delete;
  FullFloat32& operator=(const FullFloat32&) = delete;

 private:
  const char* before_;
};

// While the object exists, a GPU may round the factors of float32 matrix products to TF32 (10 bits after the
// point; sums stay float32), which is faster on GPUs since Ampere. Nothing changes on a CPU, or if
// `is_wanted` is false.
class AllowTf32 {
 public:
  AllowTf32(bool is_wanted, c10::Device device);
  ~AllowTf32();
  AllowTf32(const AllowTf32&) = delete;
  AllowTf32& operator=(const AllowTf32&) = delete;

 private:
  const char* before_ = nullptr;  // null: unchanged
};

// Waits until the device has done the work of the current stream; a CPU always has.
void wait_for(c10::Device device);

// The tensor in memory from which on_device() copies at once: pinned if it is on the CPU and `device` is a
// GPU, otherwise (and if it is undefined) the tensor itself. Threads that prepare tensors for a GPU call it.
at::Tensor ready_for(const at::Tensor& tensor, c10::Device device);

// The tensor on `device`, in the same type; the tensor itself if it is there. A copy from the CPU to a GPU
// goes through pinned memory: from other memory it would make the host wait for the GPU.
at::Tensor on_device(const at::Tensor& tensor, c10::Device device);

// Intra-op threads; 0: the number of cores that this process may use, divided among `processes`. malloc gets as many
// arenas, as each keeps what was freed in it. Throws std::system_error if the system refuses that many.
void set_num_threads(int64_t threads, int processes = 1);

// Keeps freed memory in the process. Otherwise it would go back to the system after each pass and return page
// by page, which takes 3 % of a training step on a CPU. Blocks above 32 MiB still go back.
void keep_freed_memory();

// The PCI bus id of a GPU, "0000:3b:00.0", which identifies it outside CUDA (CUDA numbers only the GPUs that
// it sees). nullopt for a CPU, or if CUDA does not tell.
std::optional<std::string> pci_bus_id(c10::Device device);

// What tells a GPU from the others of its machine, for all processes of the machine: the PCI bus id, or else
// its number and CUDA_VISIBLE_DEVICES. "" for a CPU.
std::string gpu_name(c10::Device device);

}  // namespace pixart::nn

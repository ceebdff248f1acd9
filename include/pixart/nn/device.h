// Choosing the device. libtorch_cuda is loaded at run time, here, and only when a GPU is asked for.
#pragma once
#include <c10/core/Device.h>

#include <optional>
#include <string>

namespace pixart::nn {

// "cpu", "cuda", "cuda:1" or "auto" (a GPU if one answers, else the CPU). Where no number is given, it is
// `rank`'s: GPU number `rank` of those that this process sees, or the only one. Throws UserError(kDevice)
// with the remedy if the device is not to be had.
c10::Device select_device(const std::string& name, int rank = 0);

// Takes cuDNN's kernels out of scaled_dot_product_attention, for the whole process; select_device() does it.
// LibTorch would take them first on H100 and B200, and they build a plan for each shape. The longest caption
// of a micro-batch is such a shape: a new one took 0.44 s forward and 0.55 s backward (B200, LibTorch 2.11,
// modelscope/FunASR#3704), up to 120 times per picture shape and again after each start. FlashAttention and
// the memory-efficient kernel have no such plans.
void configure_attention();

// While it lives, matrix products of float32 numbers are computed in float32, not in TF32 or bfloat16.
class FullFloat32 {
 public:
  FullFloat32();
  ~FullFloat32();
  FullFloat32(const FullFloat32&) = delete;
  FullFloat32& operator=(const FullFloat32&) = delete;

 private:
  const char* before_;
};

// Intra-op threads: 0 means the number of cores that this process may use, shared with `processes` in all.
void set_num_threads(int64_t threads, int processes = 1);

// Memory that is freed stays with the process, instead of going back to the system at the end of each pass
// and returning page by page: 3 % of a training step on a CPU. Blocks above 32 MiB still go back.
void keep_freed_memory();

// The slot of a GPU, "0000:3b:00.0": its name outside CUDA, which numbers those that it sees. Nothing for a
// CPU, or where CUDA does not tell.
std::optional<std::string> pci_bus_id(c10::Device device);

}  // namespace pixart::nn

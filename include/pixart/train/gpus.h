// What devices can do, from their makers' data sheets: memory, peak rates and watts. Plans and MFU use it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pixart::train {

struct Gpu {
  std::string name;  // as on the command line
  // A device is the first in the table all of whose words its driver's name holds, in whatever case:
  // "NVIDIA A100-SXM4-80GB" has a100 and 80gb.
  std::vector<std::string> words;
  double memory_bytes = 0;  // what a process may use, the driver's own part taken off where known
  // Peak FLOP/s, multiply and add counted apart, without sparsity. `half` is bfloat16, or float16 where there
  // is no bfloat16.
  double half = 0, tf32 = 0, single = 0;
  double watts = 0;  // of the board at full load; 0: unknown
  bool has_bfloat16 = true;
  bool is_cpu = false;

  // Of matrix products; LibTorch computes float32 in full float32, not in tf32.
  double peak(bool bfloat16) const { return bfloat16 ? half : single; }
};

const std::vector<Gpu>& gpus();
std::vector<std::string> gpu_names();

// Throws UserError with the nearest name. "cpu" is this machine: `cores` and `memory_bytes` fill it in.
Gpu find_gpu(const std::string& name, int64_t cores = 1, double memory_bytes = 0);

// The GPU that NVML or CUDA calls so, or nullptr: no figure is better than a wrong one. A slice of a GPU has
// a share of it, and a laptop's GPU of the same number is another chip, so neither is known.
const Gpu* recognize_gpu(const std::string& driver_name);

}  // namespace pixart::train

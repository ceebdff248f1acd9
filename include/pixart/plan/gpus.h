// Memory, peak rates and power of devices, from the makers' data sheets. Plans and MFU use them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pixart/base/machine.h"
#include "pixart/run/run_config.h"

namespace pixart::plan {

struct Gpu {
  std::string name;  // its word on the command line
  // A device is the first row of the table whose words are all in the driver's name, in upper or lower case:
  // "NVIDIA A100-SXM4-80GB" contains a100 and 80gb.
  std::vector<std::string> words;
  double memory_bytes = 0;  // that a process may use, without the driver's own part where that is known
  // Peak FLOP/s without sparsity; a multiply-add counts as two. `half` is bfloat16, or float16 on devices
  // without bfloat16.
  double half = 0, tf32 = 0, single = 0;  // tf32 is 0 where there is none
  double watts = 0;                       // of the board at full load; 0: unknown
  bool has_bfloat16 = true;
  bool is_cpu = false;

  double peak(run::Precision precision) const;  // of matrix products
};

const std::vector<Gpu>& gpus();
std::vector<std::string> gpu_names();

// Throws UserError that suggests the nearest name. "cpu" is this machine, with `cores`, `memory_bytes` and
// `bfloat16`.
Gpu find_gpu(const std::string& name, int64_t cores = 1, double memory_bytes = 0,
             CpuBfloat16 bfloat16 = CpuBfloat16::kNone);

// The GPU with this name in NVML or CUDA, or nullptr if it is not known: no figure is better than a wrong
// one. Slices of a GPU (MIG) and laptop GPUs, which are other chips with the same number, are not known.
const Gpu* recognize_gpu(const std::string& driver_name);

}  // namespace pixart::plan

// What devices can do, for plans: memory, peak rates and watts from their makers' data sheets.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pixart::train {

struct Gpu {
  std::string name;         // as on the command line
  std::string words;        // as its driver calls it, in part: how a run's telemetry is recognised
  double memory_bytes = 0;  // what a process may use, the driver's own part taken off where known
  // Peak FLOP/s, multiply and add counted apart, dense. `half` is bfloat16, or float16 where there is no
  // bfloat16.
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

// The device whose driver calls it so ("NVIDIA A100-SXM4-80GB"), or nullptr.
const Gpu* recognize_gpu(const std::string& words);

}  // namespace pixart::train

#include "pixart/train/gpus.h"

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/base/words.h"

namespace pixart::train {

namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024, kMiB = 1024.0 * 1024, kTera = 1e12;

// Of one core with two 256-bit fused multiply-add units (AVX2): 32 FLOP a cycle at 2 GHz.
constexpr double kCoreFlops = 64e9;

}  // namespace

const std::vector<Gpu>& gpus() {
  // Longer words before shorter ones that they contain: the first match wins. Memory is what the driver
  // reports.
  static const std::vector<Gpu> table = {
      // NVIDIA A100 data sheet (SXM4): 312 bf16, 156 tf32, 19.5 fp32, 400 W; 40,960 and 81,920 MiB.
      {"a100-40", "A100-SXM4-40GB", 40 * kGiB, 312 * kTera, 156 * kTera, 19.5 * kTera, 400},
      {"a100-80", "A100-SXM4-80GB", 80 * kGiB, 312 * kTera, 156 * kTera, 19.5 * kTera, 400},
      // Same sheet, PCIe: 300 W.
      {"a100-80-pcie", "A100 80GB PCIe", 80 * kGiB, 312 * kTera, 156 * kTera, 19.5 * kTera, 300},
      // NVIDIA H100 data sheet (SXM5): 1,979 bf16 and 989 tf32 with sparsity, half of it dense; 67 fp32, 700
      // W.
      {"h100", "H100 80GB HBM3", 81559 * kMiB, 989.4 * kTera, 494.7 * kTera, 67 * kTera, 700},
      // Same sheet, PCIe: 1,513 bf16 and 756 tf32 with sparsity, 51 fp32, 350 W.
      {"h100-pcie", "H100 PCIe", 81559 * kMiB, 756 * kTera, 378 * kTera, 51 * kTera, 350},
      // NVIDIA H200 data sheet (SXM): rates of the H100, 141 GB, 700 W.
      {"h200", "H200", 143771 * kMiB, 989.4 * kTera, 494.7 * kTera, 67 * kTera, 700},
      // NVIDIA V100 data sheet and Volta white paper (SXM2): 125 fp16 in tensor cores, 15.7 fp32, 300 W; no
      // bf16, no tf32.
      {"v100", "V100-SXM2-32GB", 32 * kGiB, 125 * kTera, 0, 15.7 * kTera, 300, false},
      {"v100-16", "V100-SXM2-16GB", 16 * kGiB, 125 * kTera, 0, 15.7 * kTera, 300, false},
      // NVIDIA Ada white paper: 165.2 bf16 with float32 sums, 82.6 tf32, 82.6 fp32, 450 W; 24,564 MiB.
      {"rtx4090", "RTX 4090", 24564 * kMiB, 165.2 * kTera, 82.6 * kTera, 82.6 * kTera, 450},
      // NVIDIA GA102 white paper: 71 bf16 with float32 sums, 35.6 tf32, 35.6 fp32, 350 W.
      {"rtx3090", "RTX 3090", 24 * kGiB, 71 * kTera, 35.6 * kTera, 35.6 * kTera, 350},
      // NVIDIA L40S data sheet: 362 bf16, 183 tf32, 91.6 fp32, 350 W; 46,068 MiB with error correction.
      {"l40s", "L40S", 46068 * kMiB, 362 * kTera, 183 * kTera, 91.6 * kTera, 350},
      // NVIDIA L4 data sheet: 121 bf16, 60 tf32, 30.3 fp32, 72 W; 23,034 MiB.
      {"l4", "NVIDIA L4", 23034 * kMiB, 121 * kTera, 60 * kTera, 30.3 * kTera, 72},
      // NVIDIA T4 data sheet: 65 fp16, 8.1 fp32, 70 W; no bf16.
      {"t4", "T4", 15360 * kMiB, 65 * kTera, 0, 8.1 * kTera, 70, false},
      // This machine: rates and memory by cores; bfloat16 is computed at a third of float32 without AMX.
      {"cpu", "cpu", 0, kCoreFlops / 3, kCoreFlops, kCoreFlops, 0, true, true},
  };
  return table;
}

std::vector<std::string> gpu_names() {
  std::vector<std::string> names;
  for (const auto& gpu : gpus()) names.push_back(gpu.name);
  return names;
}

Gpu find_gpu(const std::string& name, int64_t cores, double memory_bytes) {
  const auto found =
      std::find_if(gpus().begin(), gpus().end(), [&](const Gpu& gpu) { return gpu.name == name; });
  if (found == gpus().end()) {
    throw UserError(fmt::format("no GPU is called '{}' here; known: {}.{}", name, join(gpu_names(), ", "),
                                did_you_mean(name, gpu_names())));
  }
  Gpu gpu = *found;
  if (gpu.is_cpu) {
    for (double* rate : {&gpu.half, &gpu.tf32, &gpu.single}) *rate *= double(cores);
    gpu.memory_bytes = memory_bytes;
  }
  return gpu;
}

const Gpu* recognize_gpu(const std::string& words) {
  for (const auto& gpu : gpus())
    if (words.find(gpu.words) != std::string::npos) return &gpu;
  return nullptr;
}

}  // namespace pixart::train

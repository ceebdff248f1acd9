#include "pixart/plan/gpus.h"

#include <algorithm>
#include <cctype>

#include "pixart/base/error.h"
#include "pixart/base/names.h"

namespace pixart::plan {

namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024, kMiB = 1024.0 * 1024, kTera = 1e12;

// One core with two 256-bit fused multiply-add units (AVX2): 32 FLOP per cycle at 2 GHz.
constexpr double kCoreFlops = 64e9;
// LibTorch's products of 512 to 1024 rows with AVX512-BF16 against float32: 2.1 to 2.2 (EPYC, one core). AMX is
// faster, and was not measured.
constexpr double kBfloat16Gain = 2;

// "NVIDIA A100-SXM4-80GB" -> nvidia, a100, sxm4, 80gb.
std::vector<std::string> words_of(const std::string& name) {
  std::vector<std::string> words(1);
  for (const char c : name) {
    if (c != ' ' && c != '-' && c != '_')
      words.back() += char(std::tolower(uint8_t(c)));
    else if (!words.back().empty())
      words.emplace_back();
  }
  return words;
}

}  // namespace

double Gpu::peak(run::Precision precision) const {
  if (precision == run::Precision::kBFloat16) return half;
  return precision == run::Precision::kTf32 && tf32 > 0 ? tf32 : single;
}

const std::vector<Gpu>& gpus() {
  // The first match wins, so variants come before their family, whose row is for all other variants. Memory
  // is the driver's figure. NVIDIA's data sheets give rates with sparsity since Ampere; dense rates are half
  // of these.
  static const std::vector<Gpu> table = {
      // NVIDIA HGX platform page: HGX B200, 36 / 18 PFLOPS with sparsity and 600 TFLOPS over 8 GPUs; 1,000 W.
      {"b200", {"b200"}, 183359 * kMiB, 2250 * kTera, 1125 * kTera, 75 * kTera, 1000},
      // NVIDIA GH200 data sheet, 96 GB: 1,979 / 989 with sparsity, 67; its watts include the CPU's.
      {"gh200", {"gh200"}, 97871 * kMiB, 989.5 * kTera, 494.5 * kTera, 67 * kTera, 0},
      // NVIDIA H200 data sheet: NVL 1,671 / 835 with sparsity, 60, 600 W; SXM 1,979 / 989, 67, 700 W; 141 GB.
      {"h200-nvl", {"h200", "nvl"}, 143771 * kMiB, 835.5 * kTera, 417.5 * kTera, 60 * kTera, 600},
      {"h200", {"h200"}, 143771 * kMiB, 989.5 * kTera, 494.5 * kTera, 67 * kTera, 700},
      // NVIDIA H100 data sheet: NVL 1,671 / 835 with sparsity, 60, 400 W; SXM 1,979 / 989, 67, 700 W. PCIe
      // (product brief): 1,513 / 756, 51, 350 W.
      {"h100-nvl", {"h100", "nvl"}, 95830 * kMiB, 835.5 * kTera, 417.5 * kTera, 60 * kTera, 400},
      {"h100-pcie", {"h100", "pcie"}, 81559 * kMiB, 756.5 * kTera, 378 * kTera, 51 * kTera, 350},
      {"h100", {"h100", "hbm3"}, 81559 * kMiB, 989.5 * kTera, 494.5 * kTera, 67 * kTera, 700},
      // NVIDIA H800 data sheet: SXM as H100 SXM, except float64.
      {"h800", {"h800", "hbm3"}, 81559 * kMiB, 989.5 * kTera, 494.5 * kTera, 67 * kTera, 700},
      // NVIDIA A100 data sheet: 312 / 156 / 19.5 in every form; SXM 400 W, PCIe 300 W, with 40 GB 250 W.
      {"a100-80-pcie", {"a100", "80gb", "pcie"}, 80 * kGiB, 312 * kTera, 156 * kTera, 19.5 * kTera, 300},
      {"a100-40-pcie", {"a100", "40gb", "pcie"}, 40 * kGiB, 312 * kTera, 156 * kTera, 19.5 * kTera, 250},
      {"a100-80", {"a100", "80gb"}, 80 * kGiB, 312 * kTera, 156 * kTera, 19.5 * kTera, 400},
      {"a100-40", {"a100"}, 40 * kGiB, 312 * kTera, 156 * kTera, 19.5 * kTera, 400},
      // A800: as A100, except NVLink.
      {"a800-pcie", {"a800", "80gb", "pcie"}, 80 * kGiB, 312 * kTera, 156 * kTera, 19.5 * kTera, 300},
      {"a800", {"a800"}, 80 * kGiB, 312 * kTera, 156 * kTera, 19.5 * kTera, 400},
      // NVIDIA A40 data sheet: 300 W; A30: 165 W; A10: 150 W.
      {"a40", {"a40"}, 46068 * kMiB, 149.7 * kTera, 74.8 * kTera, 37.4 * kTera, 300},
      {"a30", {"a30"}, 24576 * kMiB, 165 * kTera, 82 * kTera, 10.3 * kTera, 165},
      {"a10", {"a10"}, 23028 * kMiB, 125 * kTera, 62.5 * kTera, 31.2 * kTera, 150},
      // NVIDIA L40S data sheet: 362 / 183 / 91.6, 350 W. L40: 181 / 90.5 / 90.5, 300 W. L4: 72 W.
      {"l40s", {"l40s"}, 46068 * kMiB, 362 * kTera, 183 * kTera, 91.6 * kTera, 350},
      {"l40", {"l40"}, 46068 * kMiB, 181 * kTera, 90.5 * kTera, 90.5 * kTera, 300},
      {"l4", {"l4"}, 23034 * kMiB, 121 * kTera, 60 * kTera, 30.3 * kTera, 72},
      // NVIDIA Ada white paper, table of the RTX 4090, sums in float32: 450 W.
      {"rtx4090", {"rtx", "4090"}, 24564 * kMiB, 165.2 * kTera, 82.6 * kTera, 82.6 * kTera, 450},
      // NVIDIA GA102 white paper, table of the RTX 3090, sums in float32: 350 W.
      {"rtx3090", {"rtx", "3090"}, 24 * kGiB, 71 * kTera, 35.6 * kTera, 35.6 * kTera, 350},
      // NVIDIA V100 data sheet: only float16 in tensor cores; SXM2 125 / 15.7, 300 W; PCIe 112 / 14, 250 W.
      {"v100", {"v100", "sxm2", "32gb"}, 32 * kGiB, 125 * kTera, 0, 15.7 * kTera, 300, false},
      {"v100-16", {"v100", "sxm2"}, 16 * kGiB, 125 * kTera, 0, 15.7 * kTera, 300, false},
      {"v100-pcie", {"v100", "pcie", "32gb"}, 32 * kGiB, 112 * kTera, 0, 14 * kTera, 250, false},
      {"v100-16-pcie", {"v100", "pcie"}, 16 * kGiB, 112 * kTera, 0, 14 * kTera, 250, false},
      // NVIDIA T4 data sheet: only float16 in tensor cores; 65 / 8.1, 70 W.
      {"t4", {"t4"}, 15360 * kMiB, 65 * kTera, 0, 8.1 * kTera, 70, false},
      // This machine: rates per core; bfloat16 without instructions for it has a third of the rate of float32.
      {"cpu", {"cpu"}, 0, kCoreFlops / 3, kCoreFlops, kCoreFlops, 0, true, true},
  };
  return table;
}

std::vector<std::string> gpu_names() { return names_of(gpus()); }

Gpu find_gpu(const std::string& name, int64_t cores, double memory_bytes, CpuBfloat16 bfloat16) {
  Gpu gpu = row_named(gpus(), name, "GPU");
  if (gpu.is_cpu) {
    if (bfloat16 != CpuBfloat16::kNone) gpu.half = kBfloat16Gain * gpu.single;
    for (double* rate : {&gpu.half, &gpu.tf32, &gpu.single}) *rate *= double(cores);
    gpu.memory_bytes = memory_bytes;
  }
  return gpu;
}

const Gpu* recognize_gpu(const std::string& driver_name) {
  const auto words = words_of(driver_name);
  const auto holds = [&](const std::string& word) { return contains(words, word); };
  if (holds("mig") || holds("laptop") || holds("ti")) return nullptr;
  for (const auto& gpu : gpus())
    if (std::all_of(gpu.words.begin(), gpu.words.end(), holds)) return &gpu;
  return nullptr;
}

}  // namespace pixart::plan

#include "pixart/train/peak_flops.h"

#include <algorithm>
#include <vector>

namespace pixart::train {

namespace {

// A GPU is the first row all of whose words its name holds: "NVIDIA A100-SXM4-80GB" has A100. So variants
// stand before their family. Teraflops a second, dense; 0: it has none.
struct Row {
  std::vector<std::string_view> words;
  double bfloat16, tf32, float32;
};

const std::vector<Row>& table() {
  static const std::vector<Row> rows = {
      // NVIDIA HGX platform page: HGX B200, 36 / 18 PFLOPS with sparsity, 600 TFLOPS, over 8 GPUs.
      {{"B200"}, 2250, 1125, 75},
      // NVIDIA GH200 Grace Hopper data sheet: 1979 / 989 with sparsity, 67.
      {{"GH200"}, 989.5, 494.5, 67},
      // NVIDIA H200 data sheet: SXM 1979 / 989 with sparsity, 67; NVL 1671 / 835, 60.
      {{"H200", "NVL"}, 835.5, 417.5, 60},
      {{"H200"}, 989.5, 494.5, 67},
      // NVIDIA H100 data sheet, with sparsity: NVL 1671 / 835, 60; SXM 1979 / 989, 67. H100 PCIe (its product
      // brief): 1513 / 756, 51. CUDA calls SXM cards "NVIDIA H100 80GB HBM3".
      {{"H100", "NVL"}, 835.5, 417.5, 60},
      {{"H100", "PCIe"}, 756.5, 378, 51},
      {{"H100", "HBM3"}, 989.5, 494.5, 67},
      {{"H100", "SXM5"}, 989.5, 494.5, 67},
      // NVIDIA H800 data sheet: SXM as H100 SXM but for float64.
      {{"H800", "HBM3"}, 989.5, 494.5, 67},
      // NVIDIA A100 data sheet: 312 / 156 / 19.5 in every form; A800 differs in NVLink only.
      {{"A100"}, 312, 156, 19.5},
      {{"A800"}, 312, 156, 19.5},
      // NVIDIA A40, A30, A10 data sheets.
      {{"A40"}, 149.7, 74.8, 37.4},
      {{"A30"}, 165, 82, 10.3},
      {{"A10"}, 125, 62.5, 31.2},
      // NVIDIA L40S data sheet: 362 / 183 / 91.6. L40: 181 / 90.5 / 90.5. L4: 121 / 60 / 30.3.
      {{"L40S"}, 362, 183, 91.6},
      {{"L40"}, 181, 90.5, 90.5},
      {{"L4"}, 121, 60, 30.3},
      // NVIDIA Ada GPU Architecture white paper, table of the RTX 4090 (sums in float32).
      {{"RTX", "4090"}, 165.2, 82.6, 82.6},
      // NVIDIA Ampere GA102 GPU Architecture white paper, table of the RTX 3090 (sums in float32).
      {{"RTX", "3090"}, 71, 35.6, 35.6},
      // NVIDIA V100 and T4 data sheets: tensor cores for float16 only.
      {{"V100", "PCIE"}, 0, 0, 14},
      {{"V100", "SXM2"}, 0, 0, 15.7},
      {{"T4"}, 0, 0, 8.1},
  };
  return rows;
}

// "NVIDIA A100-SXM4-80GB" -> NVIDIA, A100, SXM4, 80GB.
std::vector<std::string_view> words_of(std::string_view name) {
  std::vector<std::string_view> words;
  while (!name.empty()) {
    const size_t end = std::min(name.find_first_of(" -_"), name.size());
    if (end > 0) words.push_back(name.substr(0, end));
    name.remove_prefix(std::min(end + 1, name.size()));
  }
  return words;
}

}  // namespace

std::optional<double> peak_flops(std::string_view name, Arithmetic arithmetic) {
  constexpr double kTera = 1e12;
  const auto words = words_of(name);
  const auto holds = [&](std::string_view word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  // A slice of a GPU has a share of it, a laptop's GPU of the same number is another chip.
  if (holds("MIG") || holds("Laptop") || holds("Ti")) return {};
  for (const auto& row : table()) {
    if (!std::all_of(row.words.begin(), row.words.end(), holds)) continue;
    const double peak = arithmetic == Arithmetic::kBfloat16 ? row.bfloat16
                        : arithmetic == Arithmetic::kTf32   ? row.tf32
                                                            : row.float32;
    return peak > 0 ? std::optional<double>(kTera * peak) : std::nullopt;
  }
  return {};
}

}  // namespace pixart::train

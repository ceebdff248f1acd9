// The largest rate at which a GPU multiplies matrices: what MFU is a share of.
#pragma once
#include <optional>
#include <string_view>

namespace pixart::train {

enum class Arithmetic {
  kFloat32,   // of the plain cores
  kTf32,      // float32 rounded to 10 bits, on tensor cores
  kBfloat16,  // on tensor cores, sums in float32
};

// FLOPs a second by the data sheet, without sparsity, of the GPU that NVML or CUDA calls `name`. Nothing for
// a GPU that is not in the table or does not have this arithmetic: no figure is better than a wrong one.
std::optional<double> peak_flops(std::string_view name, Arithmetic arithmetic);

}  // namespace pixart::train

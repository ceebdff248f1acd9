// Linear layers on a GPU that runs our kernels, as one operation with its own gradient. The gradient of the bias is a float32 sum,
// which is made while the gradients of the output's parts are put side by side, if there are several. A product in bfloat16 adds the
// gradient of its weight to the float32 sum that the weight's owner keeps (kept_copy.h), without rounding it.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

namespace pixart::nn {

// weight [out, in] in the type of x; the output is cut into `count` parts.
bool has_gpu_linear(const at::Tensor& x, const at::Tensor& weight, int64_t count = 1);

// x [..., in], bias [out] float32 or undefined -> parts [..., out / count].
std::vector<at::Tensor> gpu_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                   int64_t count);

// The product for a graph of which only gradients are wanted: a tensor of the shape of the output, without values.
at::Tensor gpu_linear_without_values(const at::Tensor& x, const at::Tensor& weight);

}  // namespace pixart::nn

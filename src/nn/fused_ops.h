// The operations between matrix products, each as one operation with its own gradient. On the CPU in float32
// they pass over memory once (kernels/fused_cpu.h), and on GPUs that run our kernels in float32 and bfloat16,
// too (kernels/fused_cuda.h); otherwise they call LibTorch's operations one after the other. The results do not
// depend on the number of threads. Those of layers.h that are about norms and residuals are here, too.
#pragma once
#include <ATen/core/Tensor.h>

#include <initializer_list>

namespace pixart::nn {

// Whether tensors of this kind and of rows of this width have fused forms; unset: the width of x.
bool has_fused_form(const at::Tensor& x, int64_t width = 0);

// Whether autograd records operations on one of these; otherwise they keep nothing for a backward pass.
bool needs_gradient(std::initializer_list<at::Tensor> inputs);

// x as the passes want it: contiguous and, on a GPU, divisible by what kernels read at once.
at::Tensor rows_in_place(const at::Tensor& x);

// gelu(x + bias), the tanh form; x [..., D], bias [D]; only if x has a fused form.
at::Tensor bias_gelu(const at::Tensor& x, const at::Tensor& bias);

}  // namespace pixart::nn

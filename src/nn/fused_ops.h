// The operations between matrix products, each as one operation with its own gradient. On the CPU in float32
// they pass over memory once (kernels/fused_cpu.h); otherwise they call LibTorch's operations one after the
// other. The results do not depend on the number of threads.
#pragma once
#include <ATen/core/Tensor.h>

#include <initializer_list>

namespace pixart::nn {

bool has_fused_form(const at::Tensor& x);

// Whether autograd records operations on one of these; otherwise they keep nothing for a backward pass.
bool needs_gradient(std::initializer_list<at::Tensor> inputs);

// gelu(x + bias), the tanh form; x [..., D], bias [D]; only if x has a fused form.
at::Tensor bias_gelu(const at::Tensor& x, const at::Tensor& bias);

// LayerNorm of x, then * (1 + scale) + shift; x [B, N, D], shift and scale [B, 1, D].
at::Tensor norm_then_modulate(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale,
                              double eps);

// x + gate * branch; x and branch [B, N, D], gate [B, 1, D].
at::Tensor add_gated(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& branch);

}  // namespace pixart::nn

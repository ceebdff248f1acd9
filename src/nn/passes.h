// Forward and backward of the operations between matrix products on tensors, without autograd: each passes over
// memory once. x [B, N, D] contiguous; modulations [B, 1, D], whose rows are contiguous. Private to fused_ops.
#pragma once
#include <ATen/core/Tensor.h>

#include <utility>

namespace pixart::nn {

// x + gate * (branch + bias); without a gate, a bias [D] float32 or a branch, what is left. Only a GPU's take a bias.
struct Addition {
  at::Tensor x, gate, branch, bias = {};
};

// Gradients of an Addition; undefined where nobody needs one.
struct AdditionGradients {
  at::Tensor x, gate, branch, bias = {};
};

struct Rounded {
  at::Tensor sum, rounded;  // `rounded` in the type of the branch; undefined if it is not wanted
};

struct Normed {
  at::Tensor sum, out;    // out = LayerNorm(sum) * (1 + scale) + shift; sum is x if nothing was added
  at::Tensor mean, rstd;  // [B * N]
};

struct NormGradients {
  AdditionGradients addition;
  at::Tensor shift, scale;
};

// What a backward pass has kept of a forward pass: the branch if its gate needs a gradient.
struct KeptAddition {
  at::Tensor gate, branch;
  bool has_branch = false;
  at::ScalarType type = at::kFloat;  // of the branch
  at::Tensor bias = {};              // if the gate needs a gradient
  bool with_bias = false;            // the bias needs one
};
struct KeptNorm {
  KeptAddition addition;
  at::Tensor sum, scale, mean, rstd;
  bool with_modulation = true;  // shift and scale need gradients
};

// Of one kind of device. The CPU's take float32 only.
struct Passes {
  at::Tensor (*bias_gelu)(const at::Tensor& x, const at::Tensor& bias);
  // Of x and bias.
  std::pair<at::Tensor, at::Tensor> (*bias_gelu_backward)(const at::Tensor& x, const at::Tensor& bias,
                                                          const at::Tensor& gradient);

  Rounded (*add)(const Addition& addition, bool rounds);
  // From the gradients of the sum and of what was rounded; one of them may be undefined.
  AdditionGradients (*add_backward)(const KeptAddition& kept, const Rounded& gradients);

  Normed (*norm)(const Addition& addition, const at::Tensor& shift, const at::Tensor& scale,
                 at::ScalarType out);
  // From the gradients of out and, if it is defined, of the sum.
  NormGradients (*norm_backward)(const KeptNorm& kept, const at::Tensor& out, const at::Tensor& sum);
};

extern const Passes kCpuPasses, kCudaPasses;

constexpr float kNormEps = 1e-6F;

}  // namespace pixart::nn

// Forward and backward of the operations between matrix products on tensors, without autograd: each passes over
// memory once. x [B, N, D] contiguous; modulations [B, 1, D], whose rows are contiguous. Private to fused_ops.
#pragma once
#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

namespace pixart::nn {

// x + gate * (branch + bias); without a gate, a bias [D] float32 or a branch, what is left. Only a GPU's take a bias.
struct Addition {
  at::Tensor x, gate, branch, bias = {};
};

// A branch that a GPU adds before that of an Addition, without gradients of its own: x takes that of their sum.
struct Earlier {
  at::Tensor gate, branch, bias = {};
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
  bool leaves_x = false;             // x takes both gradients as they are
  at::Tensor bias = {};              // if the gate needs a gradient
  bool with_bias = false;            // the bias needs one
};
struct KeptNorm {
  KeptAddition addition;
  at::Tensor sum, scale, mean, rstd;
  bool with_modulation = true;  // shift and scale need gradients
};

// Of what norm() makes; those of the sum may be undefined. `rounded`, from uses of the sum in the type of out, is a GPU's.
struct NormedGradients {
  at::Tensor out, sum, rounded = {};
};

// Of one kind of device. The CPU's take float32 only.
struct Passes {
  at::Tensor (*bias_gelu)(const at::Tensor& x, const at::Tensor& bias);
  // Of x and bias.
  std::pair<at::Tensor, at::Tensor> (*bias_gelu_backward)(const at::Tensor& x, const at::Tensor& bias,
                                                          const at::Tensor& gradient);

  // The sum, if it `sums`, and what is rounded, if it `rounds`.
  Rounded (*add)(const Addition& addition, bool sums, bool rounds);
  // From the gradients of the sum and of what was rounded; one of them may be undefined.
  AdditionGradients (*add_backward)(const KeptAddition& kept, const Rounded& gradients);

  Normed (*norm)(const Addition& addition, const Earlier& earlier, const at::Tensor& shift,
                 const at::Tensor& scale, at::ScalarType out);
  NormGradients (*norm_backward)(const KeptNorm& kept, const NormedGradients& gradients);
};

// Of a GPU: parts [..., D] side by side, [..., n D], and the sum of their rows in float32, if it is wanted.
struct Joined {
  at::Tensor rows, sums;
};
Joined join_on_cuda(const std::vector<at::Tensor>& parts, bool sums);

extern const Passes kCpuPasses, kCudaPasses;

constexpr float kNormEps = 1e-6F;

}  // namespace pixart::nn

// Attention in float32 on the CPU, as one operation with its own gradient, in place of LibTorch's
// (kernels/attention_cpu.h). Heads are read where the matrix products wrote them and texts where they are packed:
// nothing is copied, padded or masked, and the gradients are written into one tensor. The results depend neither
// on the number of threads nor on the other samples.
#pragma once
#include <ATen/core/Tensor.h>

namespace pixart::nn {

// Whether the two functions below take a tensor of this type and device.
bool has_fused_attention(const at::Tensor& x);

// qkv [B, N, 3D]: queries, keys and values, each head-major -> [B, N, D].
at::Tensor self_attention(const at::Tensor& qkv, int64_t num_heads);

// q [B, N, D], kv [S, 2D]: keys and values of all texts, one text after the other -> [B, N, D]. starts [B + 1]
// int64 on the CPU: where each text begins, and S.
at::Tensor text_attention(const at::Tensor& q, const at::Tensor& kv, const at::Tensor& starts,
                          int64_t num_heads);

}  // namespace pixart::nn

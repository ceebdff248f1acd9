// Attention on a GPU in half precision: texts of any lengths where they are packed, by the variable-length
// form of FlashAttention, and images by the kernel that is fastest on this GPU (attention_timing.h).
#pragma once
#include <ATen/core/Tensor.h>

#include "pixart/nn/layers.h"

namespace pixart::nn {

// Whether packed_attention() takes texts of this type, for heads of this size: FlashAttention takes 16-bit
// numbers and sizes that are multiples of 8, on GPUs since Ampere.
bool has_packed_attention(c10::Device device, at::ScalarType dtype, int64_t head_size);

// q [B, N, D], k and v [S, D], text.bounds and text.queries on the GPU -> [B, N, D]. The numbers of queries and
// keys that shape the kernel are the same for all captions. Neither queries, keys nor values are copied.
at::Tensor packed_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const TextLayout& text, int64_t num_heads);

// scaled_dot_product_attention: q [B, h, N, d], k and v [B, h, M, d] -> [B, h, N, d]; any strides, any
// device.
at::Tensor dense_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

}  // namespace pixart::nn

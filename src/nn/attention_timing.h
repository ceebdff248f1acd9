// Which kernel computes attention of fixed lengths fastest on this GPU. cuDNN's is faster than FlashAttention
// on some GPUs and slower on others, and kernels exist for few sizes of heads: 72 channels are computed as 96
// or 128, unless zeros make them a size that has a kernel. So the forms are timed, once for a GPU, a LibTorch
// and a shape.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace pixart::nn {

struct AttentionForm {
  bool cudnn = false;     // false: FlashAttention
  int64_t head_size = 0;  // heads are padded with zeros to this size
  friend bool operator==(const AttentionForm&, const AttentionForm&) = default;
};

std::string to_text(const AttentionForm& form);  // "flash of 72", "cudnn of 128"

// The forms that may be the fastest. With deterministic algorithms it is FlashAttention without padding, on
// all ranks.
std::vector<AttentionForm> forms_of(int64_t head_size, bool has_cudnn);

// softmax(q k^T / sqrt(d)) v; q [B, h, N, d], k and v [B, h, M, d].
at::Tensor attention_in(const AttentionForm& form, const at::Tensor& q, const at::Tensor& k,
                        const at::Tensor& v);

// Of q [B, h, N, d] on a GPU, in half precision, and `keys` keys. The first call for a shape times the forms,
// or reads what an earlier process found (in ${XDG_CACHE_HOME:-~/.cache}/pixart/attention), and logs the
// result. Another form than FlashAttention without padding has to be 5 % faster, so that noise does not
// choose. Forward and backward are timed, also for a call without gradients: a block that is computed again
// in backward has to give the same bits. Numbers of queries and keys count as the next power of two.
AttentionForm fastest_form(const at::Tensor& q, int64_t keys);

}  // namespace pixart::nn

// Attention of one head of one sample in float32, in the calling thread. Plain pointers, no LibTorch. The
// result depends on nothing but the head's own rows.
#pragma once
#include <cstdint>
#include <vector>

namespace pixart::nn::kernels {

// Rows of contiguous numbers, `stride` numbers apart.
struct ConstRows {
  const float* data;
  int64_t stride;
};
struct MutableRows {
  float* data;
  int64_t stride;
};

struct Head {
  ConstRows q, k, v;
  int64_t queries, keys, size;  // `size` numbers in each row; at least one key
};

// Of each query: the largest score, and 1 / (the sum of e^(score - largest)). Scores are divided by the root
// of the size.
struct Softmax {
  float *largest, *inverse;
};

// out = softmax(q k^T / sqrt(size)) v; writes `softmax` for the backward pass. `scratch` grows as needed and
// serves later calls.
void attention(const Head& head, MutableRows out, Softmax softmax, std::vector<float>& scratch);

struct HeadGradients {
  MutableRows q, k, v;  // written
};
// From what attention() wrote, and the gradient of `out`.
void attention_backward(const Head& head, ConstRows out, Softmax softmax, ConstRows gradient,
                        const HeadGradients& to, std::vector<float>& scratch);

}  // namespace pixart::nn::kernels

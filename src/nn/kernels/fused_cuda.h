// The operations of fused_ops.h on a GPU, forward and backward, each in one pass over memory. C++17, plain
// pointers, no LibTorch, because nvcc compiles this, too. Sums are float32; sums over rows have a fixed order,
// which depends on the rows of an image alone.
//
// All pointers are divisible by 16, widths by 8. Functions enqueue on `stream` (a cudaStream_t) of the current
// device; without rows a kernel is launched that does nothing. They return null, or CUDA's description of the
// error of the launch.
#pragma once
#include <cstdint>

namespace pixart::nn::kernels {

struct Bfloat16 {
  uint16_t bits;
};

constexpr int64_t kWidthUnit = 8;
constexpr int64_t kMostNormWidth = 4608;  // of a row that is normalised

// [images, tokens, width], contiguous.
struct ImageRows {
  int64_t images, tokens, width;
};

// [images, width] of float32; rows are `stride` numbers apart, 0 if all images have one.
struct PerImage {
  const float* data = nullptr;
  int64_t stride = 0;
};

// Sums of a backward pass over the rows of an image come in parts: [images, parts_of(rows), count, width] of
// float32, which sum_parts_cuda() adds.
int64_t parts_of(const ImageRows& rows);

// parts [groups, count, width + shared] -> sums [groups, width], and of the last columns, which all groups share, sums
// [shared]; added in order. width and shared are divisible by 4.
struct PartSizes {
  int64_t groups, count, width, shared = 0;
};
const char* sum_parts_cuda(const float* parts, float* sums, float* of_all, const PartSizes& sizes,
                           void* stream);

// out = gelu(x + bias), the tanh form; bias [width]. T is float or Bfloat16.
template <class T>
const char* bias_gelu_cuda(const T* x, const float* bias, T* out, const ImageRows& rows, void* stream);
template <class T>
struct BiasGeluGradients {
  T* x;
  float* parts;  // of the bias, count 1; gelu_parts_of() of them for an image
};
int64_t gelu_parts_of(const ImageRows& rows);
template <class T>
const char* bias_gelu_backward_cuda(const T* x, const float* bias, const T* gradient,
                                    const BiasGeluGradients<T>& to, const ImageRows& rows, void* stream);

// sum = x + gate * (branch + bias), or x + branch + bias without a gate; bias [width] is that of the product that made the
// branch, null if the branch has it. Its gradient is a sum over all images. rounded, if it is not null, is the sum in the type of
// the branch; then the sum itself may be null. Types here and below: (float, float), (float, Bfloat16), (Bfloat16, Bfloat16).
template <class X, class V>
struct GatedResidual {
  const X* x;
  PerImage gate;
  const V* branch;
  X* sum;
  V* rounded;
  const float* bias = nullptr;
};
template <class X, class V>
const char* gated_residual_cuda(const GatedResidual<X, V>& work, const ImageRows& rows, void* stream);

template <class X, class V>
struct GatedResidualGradients {
  const X* sum;
  const V* rounded;  // null: none
  PerImage gate;     // null: 1
  const V* branch;   // null: the gate needs no gradient
  X* to_x;           // null: it equals that of the sum, or nobody needs it
  V* to_branch;
  float* parts;  // of the gate, if there is a branch, and of the bias, if `with_bias`; null: not needed
  const float* bias = nullptr;
  bool with_bias = false;
};
template <class X, class V>
const char* gated_residual_backward_cuda(const GatedResidualGradients<X, V>& work, const ImageRows& rows,
                                         void* stream);

// sum = x + gate * (branch + bias); out = (sum - mean) * rstd * (1 + scale) + shift. Without a branch, nothing is added
// and no sum is written. mean and rstd = 1 / sqrt(variance + eps) of each row may be null. What is to be added to x first
// needs a branch.
template <class V>
struct EarlierBranch {
  PerImage gate;
  const V* branch = nullptr;  // null: nothing
  const float* bias = nullptr;
};
template <class X, class V>
struct ResidualNorm {
  const X* x;
  PerImage gate;
  const V* branch;
  PerImage shift, scale;
  X* sum;
  V* out;
  float *mean, *rstd;
  float eps;
  const float* bias = nullptr;
  EarlierBranch<V> earlier = {};
};
template <class X, class V>
const char* residual_norm_cuda(const ResidualNorm<X, V>& work, const ImageRows& rows, void* stream);

template <class X, class V>
struct ResidualNormGradients {
  const V* out;
  const X* sum_gradient;  // of the sum (or of x, without a branch) by its other uses; null: none
  const X* sum;           // the sum itself, or x
  const float *mean, *rstd;
  PerImage scale, gate;
  const V* branch;  // null: the gate needs no gradient
  X* to_x;
  V* to_branch;  // null: none
  float*
      parts;  // of shift, scale, of the gate, if there is a branch, and of the bias, if `with_bias`; null: not needed
  const float* bias = nullptr;
  bool with_bias = false;
  const V* rounded_gradient = nullptr;  // of the sum by uses in the type of the branch; null: none
};
template <class X, class V>
const char* residual_norm_backward_cuda(const ResidualNormGradients<X, V>& work, const ImageRows& rows,
                                        void* stream);

// out [rows, count * width]: the sources [rows, width] side by side. parts [join_parts_of(rows), count * width], if it is not
// null: sums of the columns.
constexpr int kMostJoined = 3;
template <class T>
struct JoinedRows {
  const T* sources[kMostJoined];
  int count;
  T* out;
  float* parts;
};
int64_t join_parts_of(int64_t rows);
template <class T>
const char* join_rows_cuda(const JoinedRows<T>& work, int64_t rows, int64_t width, void* stream);

}  // namespace pixart::nn::kernels

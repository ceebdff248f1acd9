// The operations of layers between matrix products, in one pass over rows of `width` float32 values, in the
// calling thread. Plain pointers, no LibTorch. Equal rows give equal results, wherever they are.
#pragma once
#include <cstdint>

namespace pixart::nn::kernels {

struct Rows {
  int64_t count, width;
};

// out = gelu(x + bias), the tanh form; bias [width].
void bias_gelu(const float* x, const float* bias, float* out, Rows rows);
// Gradients of x [rows, width] and bias [width]; writes both.
void bias_gelu_backward(const float* x, const float* bias, const float* gradient, float* to_x, float* to_bias,
                        Rows rows);

// out = (x - mean) * rstd * (1 + scale) + shift. mean and rstd = 1 / sqrt(variance + eps) belong to the row
// and are written, one value of each per row; shift, scale [width].
void modulated_norm(const float* x, const float* shift, const float* scale, float eps, float* out,
                    float* mean, float* rstd, Rows rows);
void modulated_norm_backward(const float* x, const float* mean, const float* rstd, const float* scale,
                             const float* gradient, float* to_x, float* to_shift, float* to_scale, Rows rows);

// out = a + b; out may be one of them.
void sum_of(const float* a, const float* b, float* out, Rows rows);

// out = x + gate * branch; gate [width]. The gradient of x equals the gradient of out.
void gated_residual(const float* x, const float* gate, const float* branch, float* out, Rows rows);
void gated_residual_backward(const float* gate, const float* branch, const float* gradient, float* to_gate,
                             float* to_branch, Rows rows);

}  // namespace pixart::nn::kernels

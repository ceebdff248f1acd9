// The loss of a micro-batch and its gradient: every loss of loss.h and training_loss.h. C++17, plain pointers, no
// LibTorch, because nvcc compiles this, too.
#pragma once
#include <cstdint>

#include "pixart/base/bfloat16_bits.h"

namespace pixart::diffusion::kernels {

// What the squared error compares with the model's prediction p: noise, x_start, v = alpha noise - sigma x_start, noise -
// x_start; or, of a model that predicts noise or x_start, the noise above kSnrNoiseAbove and x_start below, of which p
// gives the other one.
enum class Compared : int { kNoise, kXStart, kV, kFlow, kEitherOfNoise, kEitherOfXStart };
// kFrozenMean: the bound is added and trains the variance only. kOnly: it is the loss.
enum class Bound : int { kNone, kFrozenMean, kOnly };

constexpr int64_t kSnrNoiseAbove = 249;  // an index of the schedule

// Rows of a table [rows, num_steps] of float32, of which column t belongs to an image. A null pointer: not used.
struct LossTables {
  const float *alpha, *sigma, *weight;  // weight null: 1
  const float *recip_alpha, *recipm1;   // x_start = recip_alpha x_t - recipm1 noise
  const float *coef1, *coef2;           // of x_start and x_t in the posterior's mean
  const float *log_beta, *posterior_log_variance, *fixed_log_variance;
};

struct LossSetting {
  Compared compared;
  Bound bound;
  bool predicts_noise;       // of the bound: p is noise, otherwise x_start
  bool learns_variance;      // the output has 2C channels, the second half is the variance's fraction
  float bound_scale;         // number of steps or the like
  int64_t batch, per_image;  // B, n = C H W
  int64_t output_per_image;  // n or 2n; what follows n without learns_variance gets no gradient
  LossTables tables;
};

// Of one type of output: float or Bfloat16Bits.
template <class Output>
struct LossInputs {
  const Output* output;                // [B, output_per_image]
  const float *x_start, *x_t, *noise;  // [B, n]
  const int64_t* t;                    // [B]
};

struct LossResults {
  double* partials;  // [B, loss_chunks(n), 2], to work with
  float *loss, *mse,
      *vb;  // [B]; loss = weight * mse + vb (kOnly: vb). mse, vb are 0 if they are not in the loss
};

// An image is summed in pieces of a fixed size, so that its loss depends on nothing else.
constexpr int64_t kLossChunk = 1024;
PIXART_HOST_DEVICE inline int64_t loss_chunks(int64_t per_image) {
  return (per_image + kLossChunk - 1) / kLossChunk;
}

template <class Output>
void loss_cpu(const LossInputs<Output>& inputs, const LossSetting& setting, const LossResults& results);
// gradient [B, output_per_image], in the type of the output: that of sum(loss * scale), scale [B].
template <class Output>
void loss_gradient_cpu(const LossInputs<Output>& inputs, const LossSetting& setting, const float* scale,
                       Output* gradient);

// The same on the stream (a cudaStream_t) of the current device, one kernel for the pieces and one that adds them, and one
// for the gradient. Of no images a kernel is launched and does nothing. Returns null, or CUDA's description of the error.
// Defined if PIXART_WITH_CUDA is.
template <class Output>
const char* loss_cuda(const LossInputs<Output>& inputs, const LossSetting& setting,
                      const LossResults& results, void* stream);
template <class Output>
const char* loss_gradient_cuda(const LossInputs<Output>& inputs, const LossSetting& setting,
                               const float* scale, Output* gradient, void* stream);

}  // namespace pixart::diffusion::kernels

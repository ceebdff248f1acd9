// Noise, latents and noisy latents of a micro-batch in one pass. C++17, plain pointers, no LibTorch, because nvcc
// compiles this, too.
#pragma once
#include <cstdint>

namespace pixart::diffusion::kernels {

// B images of n elements each.
struct NoisingBuffers {
  const float* mean;     // [B, n], of the latents
  const float* log_var;  // [B, n]
  const float* shift;    // [channels]; x_start = (sample - shift) * scale
  const float* scale;    // [channels]
  // Noise that was drawn on the host; null: it is drawn here, by `positions`.
  const float* given_posterior;  // [B, n]
  const float* given_noise;      // [B, n]
  const int64_t* positions;      // [B], the streams of the random numbers
  const int64_t* t;              // [B], columns of `levels`
  const float* levels;           // [3, num_steps]: alpha, sigma, and the timestep that the model gets
  // Results:
  float* x_start;   // [B, n]
  float* noise;     // [B, n]; null with given_noise
  float* x_t;       // [B, n] = alpha * x_start + sigma * noise
  float* timestep;  // [B]
};

struct NoisingSizes {
  int64_t batch, per_image, per_channel;  // n, and n / channels
  int64_t num_steps;
  uint64_t noise_key, posterior_key;  // philox_key() of a seed and a purpose
};

void noising_cpu(const NoisingBuffers& buffers, const NoisingSizes& sizes);
// Fills out [batch, per_image] with the normal numbers of `key` and `positions`, as fill_normal() does with one
// row for each position. Only `batch`, `per_image` and noise_key of the sizes are used.
void normals_cpu(const int64_t* positions, float* out, const NoisingSizes& sizes);

// The same, enqueued on the stream (a cudaStream_t) of the current device; of no images the kernel is launched and
// does nothing. Returns null, or CUDA's description of the error of the launch. Defined if PIXART_WITH_CUDA is.
//
// Random integers are those of the host; normal numbers differ from the host's by one unit in the last place at
// most, because both compute in double and round once.
const char* noising_cuda(const NoisingBuffers& buffers, const NoisingSizes& sizes, void* stream);
const char* normals_cuda(const int64_t* positions, float* out, const NoisingSizes& sizes, void* stream);

}  // namespace pixart::diffusion::kernels

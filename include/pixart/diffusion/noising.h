// Noise and noisy latents of a micro-batch. On a GPU that runs our kernels, drawing the noise, adding it, and loss.h's losses
// with their gradients are one kernel each.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "pixart/base/random.h"

namespace pixart::diffusion {

// Why our kernels cannot run on `device`; "" if they can. Launches one on no images, the first time.
const std::string& kernel_problem(const at::Device& device);
bool has_kernels(const at::Device& device);  // false on a CPU, which has no need of them

// Latents as the autoencoder gives them: x_start = (sample - shift) * scale.
struct LatentMoments {
  at::Tensor mean, log_var;  // [B, C, H, W] float32
  at::Tensor shift, scale;   // [1, C, 1, 1] float32
};

// Normal numbers of a batch: those of the host, or what tells the device which ones to draw. Each depends only on the seed,
// the position, the purpose and its place, and not on who draws it: the device takes the same random integers, and its
// numbers differ from the host's by one unit in the last place at most.
struct DrawnNoise {
  at::Tensor noise,
      posterior;  // [B, C, H, W] float32; undefined: kNoise and kPosterior are drawn on the device
  uint64_t seed = 0;
  at::Tensor positions = {};  // [B] int64
};

struct NoisyLatents {
  at::Tensor x_start, noise, x_t;  // [B, C, H, W]
  at::Tensor timestep;             // [B], that the model gets
};

// [positions, shape...] float32 on the device of `positions` [B] int64, which has_kernels(): what fill_normal() gives for
// each position.
at::Tensor normals_on_device(uint64_t seed, const at::Tensor& positions, Purpose purpose,
                             at::IntArrayRef shape);

}  // namespace pixart::diffusion

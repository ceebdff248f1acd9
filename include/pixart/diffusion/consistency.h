// The loss with which a model is distilled into one that draws in a few steps of the sampler lcm: latent consistency
// distillation (Luo et al. 2023, arXiv 2310.04378), in the form of PixArt-delta (arXiv 2401.05252).
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "pixart/base/rule.h"
#include "pixart/diffusion/denoiser.h"
#include "pixart/diffusion/noise_schedule.h"
#include "pixart/diffusion/samplers.h"

namespace pixart::diffusion {

// Keys of a stage. The defaults are those of PixArt-LCM.
struct ConsistencyConfig {
  double least_guidance = 5.5, most_guidance = 5.5;
  double huber_width = 1e-3;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("least_guidance", s.least_guidance,
      "The teacher's classifier-free guidance scale is drawn for each sample between this and most_guidance, and "
      "becomes part of the student, which draws without guidance. A scale of s is w = s - 1 of the paper; "
      "PixArt-LCM has w = 4.5.",
      in_range(1, 100).needs_permission("the next steps draw from this range"));
    v("most_guidance", s.most_guidance, "The other end of the range.",
      in_range(1, 100).needs_permission("the next steps draw from this range"));
    v("huber_width", s.huber_width,
      "c of the pseudo-Huber loss sqrt(d^2 + c^2) - c of a difference d: the loss is a square below it, an "
      "absolute value above.",
      positive_up_to(10).needs_permission("the next steps compute this loss"));
  }
  void validate(std::vector<std::string>& problems) const;
  double mean_guidance() const { return (least_guidance + most_guidance) / 2; }
};

// A consistency model's answer is skip * x_t + out * x_0 at timestep t, so that it is x_t at t = 0: skip = d^2 /
// ((10 t)^2 + d^2), out = 10 t / sqrt((10 t)^2 + d^2), with the deviation of data d = 0.5.
struct BoundaryScalings {
  double skip, out;
};
BoundaryScalings boundary_scalings(double timestep);

// The networks of one step; each is called once. The last two are called without gradients.
struct ConsistencyNetworks {
  Denoiser student;
  Denoiser teacher_pair;  // input [B], output [2B]: with the condition, then with the null condition
  Denoiser target;        // the EMA of the student
};

class ConsistencyLoss {
 public:
  // `full`: without respacing, not of a flow; its steps are a multiple of kConsistencySteps.
  ConsistencyLoss(const NoiseSchedule& full, const ConsistencyConfig& config, at::Device device);

  // [B]: the pseudo-Huber distance between the student's answer at the noisy latent of timestep t_i = (i + 1) k - 1,
  // k = steps / kConsistencySteps, and the target's answer where one DDIM step of the guided teacher leads from there,
  // at t_(i - 1) (0 for i = 0). x_start, noise [B, C, H, W] float32; index [B] int64: i; guidance [B] float32.
  at::Tensor losses(const ConsistencyNetworks& networks, const at::Tensor& x_start, const at::Tensor& noise,
                    const at::Tensor& index, const at::Tensor& guidance) const;

 private:
  enum Row { kAlpha, kSigma, kTimestep, kSkip, kOut, kNumRows };
  struct Point;  // the latent and what belongs to its timestep
  Point point(const at::Tensor& table, const at::Tensor& index) const;
  at::Tensor answer(const Denoiser& network, const Point& point, const at::Tensor& latent) const;
  at::Tensor solver_step(const Denoiser& teacher_pair, const Point& from, const Point& to,
                         const at::Tensor& latent, const at::Tensor& guidance) const;

  Prediction prediction_;
  double huber_width_;
  at::Tensor start_, end_;  // [kNumRows, kConsistencySteps] float32, of t_i and of t_(i - 1)
};

}  // namespace pixart::diffusion

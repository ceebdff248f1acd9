// The IDDPM training loss with learned range variance (Nichol & Dhariwal 2021; PixArt-alpha
// diffusion/model/gaussian_diffusion.py training_losses).
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "pixart/diffusion/noise_schedule.h"

namespace pixart::diffusion {

struct LossConfig {
  bool learn_sigma = true;   // the output has 2C channels
  bool sigma_small = false;  // which fixed variance is used if it is not learned
  bool use_kl = false;       // only the variational bound
  bool rescale_learned_sigmas = false;
  bool snr = false;  // compare the noise above t = 249, x_0 below
};

// The schedule's tables on a device; gather() looks up one float32 value per sample.
class LossTables {
 public:
  LossTables(const NoiseSchedule& schedule, at::Device device);
  const NoiseSchedule& schedule() const { return schedule_; }
  Prediction prediction() const { return schedule_.prediction; }
  at::Device device() const { return all_.device(); }
  // [B] int64 -> [B, 1, 1, 1] float32; `table` is a table of NoiseSchedule.
  at::Tensor gather(std::vector<double> NoiseSchedule::*table, const at::Tensor& t) const;
  at::Tensor row(std::vector<double> NoiseSchedule::*table) const;  // [K] float32, a view
  // [B] int64 -> [B] float32: timestep_map[t].
  at::Tensor gather_timestep(const at::Tensor& t) const;

 private:
  NoiseSchedule schedule_;
  at::Tensor all_;  // [tables + 1, K]; the last row is timestep_map
};

// x_t = sqrt(a) x_0 + sqrt(1 - a) noise; t [B] int64 is the index of a kept step.
at::Tensor add_noise(const LossTables& tables, const at::Tensor& x_start, const at::Tensor& noise,
                     const at::Tensor& t);

// The timestep that the network gets: timestep_map[t], float32.
at::Tensor model_timestep(const LossTables& tables, const at::Tensor& t);

// p_mean_variance: the model's p(x_(t-1) | x_t), from `model_output` [B, C or 2C, H, W]; pred_xstart is never
// clipped. q_posterior: q(x_(t-1) | x_t, x_0), with pred_xstart = x_start.
struct MeanAndVariance {
  at::Tensor mean, log_variance, pred_xstart;  // [B, C, H, W]
};
MeanAndVariance p_mean_variance(const LossTables& tables, const LossConfig& config,
                                const at::Tensor& model_output, const at::Tensor& x_t, const at::Tensor& t);
MeanAndVariance q_posterior(const LossTables& tables, const at::Tensor& x_start, const at::Tensor& x_t,
                            const at::Tensor& t);

struct LossTerms {
  at::Tensor loss, mse, vb;  // [B]; mse, vb are undefined if the config does not use them
};
// loss = mse of what the schedule's model predicts + vb, the variational bound in bits. vb trains only the
// variance: the mean prediction in it is detached. With use_kl the loss is only the bound, not detached,
// times the number of kept steps. On a device that has_kernels() (noising.h) it is one kernel, its gradient another one, and
// only `loss` has a gradient; outputs in other types than float32 and bfloat16, and use_kl of a model that predicts v, are
// computed as on the CPU.
LossTerms iddpm_loss(const LossTables& tables, const LossConfig& config, const at::Tensor& model_output,
                     const at::Tensor& x_start, const at::Tensor& x_t, const at::Tensor& noise,
                     const at::Tensor& t);

}  // namespace pixart::diffusion

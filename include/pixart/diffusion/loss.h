// The IDDPM training loss with learned range variance (Nichol & Dhariwal 2021; PixArt-alpha
// diffusion/model/gaussian_diffusion.py training_losses).
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "pixart/diffusion/noise_schedule.h"

namespace pixart::diffusion {

struct LossConfig {
  bool learn_sigma = true;      // the output has 2C channels
  bool sigma_small = false;     // which fixed variance when not learned
  bool predict_xstart = false;  // the mean prediction is x_0, not the noise
  bool use_kl = false;          // the variational bound alone
  bool rescale_learned_sigmas = false;
  bool snr = false;  // compare noise above t = 249, x_0 below
};

// The schedule's tables on a device, gathered per sample as float32.
class LossTables {
 public:
  LossTables(const NoiseSchedule& schedule, at::Device device);
  const NoiseSchedule& schedule() const { return schedule_; }
  // [B] int64 -> [B, 1, 1, 1] float32; `table` is one of NoiseSchedule's.
  at::Tensor gather(std::vector<double> NoiseSchedule::*table, const at::Tensor& t) const;
  // [B] int64 -> [B] float32: timestep_map[t].
  at::Tensor gather_timestep(const at::Tensor& t) const;

 private:
  NoiseSchedule schedule_;
  at::Tensor all_;  // [tables + 1, K]; the last row is timestep_map
};

// x_t = sqrt(a) x_0 + sqrt(1 - a) noise; t [B] int64 index among the kept steps.
at::Tensor add_noise(const LossTables& tables, const at::Tensor& x_start, const at::Tensor& noise,
                     const at::Tensor& t);

// What the network is called with: timestep_map[t], float32.
at::Tensor model_timestep(const LossTables& tables, const at::Tensor& t);

// The model's p(x_(t-1) | x_t), from `model_output` [B, C or 2C, H, W]; pred_xstart is never clipped.
// q_posterior is q(x_(t-1) | x_t, x_0) itself, with pred_xstart = x_start.
struct MeanAndVariance {
  at::Tensor mean, log_variance, pred_xstart;  // [B, C, H, W]
};
MeanAndVariance p_mean_variance(const LossTables& tables, const LossConfig& config,
                                const at::Tensor& model_output, const at::Tensor& x_t, const at::Tensor& t);
MeanAndVariance q_posterior(const LossTables& tables, const at::Tensor& x_start, const at::Tensor& x_t,
                            const at::Tensor& t);

struct LossTerms {
  at::Tensor loss, mse, vb;  // [B]; mse, vb undefined where the config has none
};
// loss = mse (noise, or x_0 with predict_xstart) + vb, the variational bound in bits, which trains the
// variance alone: its mean prediction is detached. With use_kl the bound alone, not detached, times the
// number of kept steps.
LossTerms iddpm_loss(const LossTables& tables, const LossConfig& config, const at::Tensor& model_output,
                     const at::Tensor& x_start, const at::Tensor& x_t, const at::Tensor& noise,
                     const at::Tensor& t);

}  // namespace pixart::diffusion

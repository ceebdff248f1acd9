// The noise schedule and its derived tables, in float64 (PixArt-alpha
// diffusion/model/{gaussian_diffusion,respace}.py).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"

namespace pixart::diffusion {

// All tables have one entry per kept step; index 0 has the least noise.
struct NoiseSchedule {
  int64_t num_train_steps = 1000;
  std::vector<int64_t> timestep_map;  // kept indices of the full process, increasing
  std::vector<double> betas, alphas_cumprod, alphas_cumprod_prev, alphas_cumprod_next;
  std::vector<double> sqrt_alphas_cumprod, sqrt_one_minus_alphas_cumprod, log_one_minus_alphas_cumprod;
  std::vector<double> sqrt_recip_alphas_cumprod, sqrt_recipm1_alphas_cumprod;
  std::vector<double> posterior_variance, posterior_log_variance_clipped, posterior_mean_coef1,
      posterior_mean_coef2;
  std::vector<double> log_betas;                 // upper end of the learned variance
  std::vector<double> fixed_large_log_variance;  // log beta; at index 0 the clipped posterior's
  int64_t num_steps() const { return int64_t(betas.size()); }
};

// What a model predicts of a noisy latent.
enum class Prediction { kEpsilon };
inline EnumWords<Prediction> enum_words(Prediction) { return {{"epsilon", Prediction::kEpsilon}}; }

// The diffusion process that a model is trained for; the defaults are those of DiT and PixArt-alpha.
struct Process {
  std::string schedule = "linear";  // a name that make_noise_schedule() knows
  int64_t num_train_steps = 1000;
  Prediction prediction = Prediction::kEpsilon;
};

// name: "linear" or "squaredcos_cap_v2". respacing: "" keeps all steps; "ddimN"; or "a,b,..." for sections.
// Throws UserError for an unknown name or an impossible respacing.
NoiseSchedule make_noise_schedule(const std::string& name, int64_t num_train_steps,
                                  const std::string& respacing = "");
NoiseSchedule make_noise_schedule(const Process& process, const std::string& respacing = "");

// The schedule in continuous time t in [1/steps, 1], for the DPM and SA solvers: log alpha is piecewise
// linear through the points ((i+1)/steps, 1/2 log alphas_cumprod_i).
class ContinuousSchedule {
 public:
  explicit ContinuousSchedule(const NoiseSchedule& full);  // without respacing
  double log_alpha(double t) const;
  double alpha(double t) const;
  double sigma(double t) const;
  double lambda(double t) const;   // log alpha - log sigma
  double model_t(double t) const;  // the network's timestep: (t - 1/steps) * 1000
  int64_t num_train_steps() const { return steps_; }

 private:
  int64_t steps_;
  std::vector<double> log_alphas_;
};

}  // namespace pixart::diffusion

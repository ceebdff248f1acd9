// The noise schedule and its derived tables, in float64 (PixArt-alpha
// diffusion/model/{gaussian_diffusion,respace}.py).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"

namespace pixart::diffusion {

// What a model predicts of a noisy latent x = alpha x_0 + sigma noise.
enum class Prediction {
  kEpsilon,  // the noise
  kXStart,   // x_0
  kV,        // alpha noise - sigma x_0 (Salimans & Ho 2022)
  kFlow      // noise - x_0 on the straight path alpha = 1 - sigma (Lipman et al. 2023)
};
inline EnumWords<Prediction> enum_words(Prediction) {
  return {{"epsilon", Prediction::kEpsilon},
          {"x_start", Prediction::kXStart},
          {"v", Prediction::kV},
          {"flow", Prediction::kFlow}};
}

// Whether the bound, which trains the channels of the variance, exists with it (see loss.h).
inline bool trains_variance(Prediction prediction) {
  return prediction == Prediction::kEpsilon || prediction == Prediction::kXStart;
}

// All tables have one entry per kept step; index 0 has the least noise.
struct NoiseSchedule {
  int64_t num_train_steps = 1000;
  Prediction prediction = Prediction::kEpsilon;  // of the model; not kFlow
  std::vector<int64_t> timestep_map;             // kept indices of the full process, increasing
  std::vector<double> betas, alphas_cumprod, alphas_cumprod_prev, alphas_cumprod_next;
  std::vector<double> sqrt_alphas_cumprod, sqrt_one_minus_alphas_cumprod, log_one_minus_alphas_cumprod;
  std::vector<double> sqrt_recip_alphas_cumprod, sqrt_recipm1_alphas_cumprod;
  std::vector<double> posterior_variance, posterior_log_variance_clipped, posterior_mean_coef1,
      posterior_mean_coef2;
  std::vector<double> log_betas;                 // upper end of the learned variance
  std::vector<double> fixed_large_log_variance;  // log beta; at index 0 the clipped posterior's
  int64_t num_steps() const { return int64_t(betas.size()); }
};

// The diffusion process that a model is trained for; the defaults are those of DiT and PixArt-alpha.
struct Process {
  std::string schedule = "linear";  // a name that make_noise_schedule() knows
  int64_t num_train_steps = 1000;
  Prediction prediction = Prediction::kEpsilon;
  // The noisiest step is pure noise (Lin et al. 2024). Not with kEpsilon, whose x_0 is then unknown; kFlow has
  // it anyway.
  bool zero_terminal_snr = false;
  // The model is distilled so that one evaluation leads from any noise level to x_0 (ConsistencyLoss): it draws with
  // the sampler lcm, without guidance. Not with kFlow.
  bool consistency = false;
  double shift = 1;  // of kFlow: more than 1 moves training and sampling towards noise (see shifted())

  bool is_flow() const { return prediction == Prediction::kFlow; }
};

// The noise level of a straight path: shift sigma / (1 + (shift - 1) sigma) (Esser et al. 2024, 5.3.2).
double shifted(double sigma, double shift);

// name: "linear" or "squaredcos_cap_v2". respacing: "" keeps all steps; "ddimN"; or "a,b,..." for sections.
// Throws UserError for an unknown name or an impossible respacing.
NoiseSchedule make_noise_schedule(const std::string& name, int64_t num_train_steps,
                                  const std::string& respacing = "");
// Of a process that is not kFlow. With zero_terminal_snr the last alphas_cumprod is 0, and tables that divide
// by it are infinite there.
NoiseSchedule make_noise_schedule(const Process& process, const std::string& respacing = "");

// The schedule in continuous time t in [1/steps, 1], for the DPM and SA solvers: log alpha is piecewise
// linear through the points ((i+1)/steps, 1/2 log alphas_cumprod_i). A last alphas_cumprod of 0 counts as
// kSmallestAlphasCumprod.
inline constexpr double kSmallestAlphasCumprod = 0x1p-24;  // as in diffusers: far below any trained level
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

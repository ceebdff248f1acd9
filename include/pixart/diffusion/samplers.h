// Samplers: pure functions over a Denoiser. Latents are [B, C, H, W], from noise to the result; x_0 is never
// clipped. What the model predicts is in the schedule or the process. Results match the official PixArt-alpha
// code (diffusion/{iddpm,dpm_solver,sa_sampler,lcm_scheduler}.py); those of flow and UniPC match diffusers'
// schedulers.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pixart/base/rule.h"
#include "pixart/diffusion/denoiser.h"
#include "pixart/diffusion/loss.h"
#include "pixart/diffusion/noise_schedule.h"

namespace pixart::diffusion {

// Noise for step k = 0, 1, ..., in the shape of the latent; called only for steps that draw noise.
using NoiseSource = std::function<at::Tensor(int64_t step)>;
// Called after each step with the number of finished steps and the state; may be empty.
using StepCallback = std::function<void(int64_t step, const at::Tensor& latent)>;

// DPM-Solver++ 2M, midpoint, uniform in time (Lu et al. 2022); for num_steps < 10 it ends with lower order.
at::Tensor sample_dpm_solver_pp(const Denoiser& denoiser, const NoiseSchedule& full, at::Tensor latent,
                                int64_t num_steps, const StepCallback& callback = {});

// The same on the straight paths of a flow model (diffusers' DPMSolverMultistepScheduler with
// use_flow_sigmas).
at::Tensor sample_flow_dpm_solver_pp(const Denoiser& denoiser, const Process& flow, at::Tensor latent,
                                     int64_t num_steps, const StepCallback& callback = {});

// Euler's and Heun's method for a flow model. Heun evaluates the model twice a step, once in the last.
at::Tensor sample_euler(const Denoiser& denoiser, const Process& flow, at::Tensor latent, int64_t num_steps,
                        const StepCallback& callback = {});
at::Tensor sample_heun(const Denoiser& denoiser, const Process& flow, at::Tensor latent, int64_t num_steps,
                       const StepCallback& callback = {});

// UniPC-2 with predictor and corrector, in the B2 form (Zhao et al. 2023), for a model of any kind; one
// evaluation per step.
at::Tensor sample_unipc(const Denoiser& denoiser, const Process& process, at::Tensor latent,
                        int64_t num_steps, const StepCallback& callback = {});

// Ancestral IDDPM on a respaced schedule; `config` tells whether the variance is learned.
at::Tensor sample_iddpm(const Denoiser& denoiser, const NoiseSchedule& respaced, const LossConfig& config,
                        at::Tensor latent, const NoiseSource& noise, const StepCallback& callback = {});

struct DdimOptions {
  double eta = 0;     // 0: deterministic; 1: as much noise as the ancestral sampler
  NoiseSource noise;  // may be empty if eta is 0
  StepCallback callback;
};
// DDIM on a respaced schedule (Song et al. 2021).
at::Tensor sample_ddim(const Denoiser& denoiser, const NoiseSchedule& respaced, at::Tensor latent,
                       const DdimOptions& options);

struct SaSolverOptions {
  int64_t num_steps = 25;
  double eta = 1;     // noise level for 0.2 <= t <= 0.8; 0 solves the ordinary differential equation
  NoiseSource noise;  // may be empty if eta is 0
  StepCallback callback;
};
// SA-Solver (Xue et al. 2023): second-order predictor and corrector, one evaluation per step.
at::Tensor sample_sa_solver(const Denoiser& denoiser, const NoiseSchedule& full, at::Tensor latent,
                            const SaSolverOptions& options);

// Steps of the solver of a distilled model's teacher; the sampler lcm uses some of them.
inline constexpr int64_t kConsistencySteps = 50;
struct LcmOptions {
  int64_t num_steps = 4;
  int64_t origin_steps = kConsistencySteps;  // steps of the teacher's solver; num_steps of them are used
  NoiseSource noise;
  StepCallback callback;
  StepCallback denoised;  // gets the prediction of each step, before noise is added again
};
// Multi-step consistency sampling (Luo et al. 2023), for a model that was distilled for it.
at::Tensor sample_lcm(const Denoiser& denoiser, const NoiseSchedule& full, at::Tensor latent,
                      const LcmOptions& options);

std::vector<std::string> sampler_names();

// A sampler and its settings: keys of run files, options of commands.
struct SamplerConfig {
  std::string sampler = "dpm_solver_pp";  // see sampler_names()
  int64_t num_steps = 20;
  double guidance = 4.5;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("sampler", s.sampler, "Name of the sampler.", one_of(sampler_names()).free());
    v("num_steps", s.num_steps, "Sampling steps.", in_range(1, 1000).free());
    v("guidance", s.guidance, "Classifier-free guidance scale; 1 turns it off.", in_range(1, 100).free());
  }
};

// What a command or a stage draws with where nothing else is said: the defaults above, or 4 steps of lcm without guidance
// for a consistency model.
SamplerConfig default_sampler(const Process& process);

// The number of latent channels that official code guides: 3 with iddpm and ddim, otherwise all.
int64_t guided_channels(const std::string& name, int64_t latent_channels);

// Why this sampler cannot draw with a model that predicts this; "" if it can. Throws UserError for an unknown
// name.
std::string sampler_problem(const std::string& name, Prediction prediction);

// Runs the sampler with that name, without guidance (see guide()). Throws UserError that lists the known
// names, or the samplers that fit. `learn_sigma`: the model's variance is learned. A model that predicts v
// does not have a trained one, whatever channels it has.
at::Tensor sample(const SamplerConfig& config, const Denoiser& denoiser, const Process& process,
                  bool learn_sigma, at::Tensor latent, const NoiseSource& noise,
                  const StepCallback& callback = {});

}  // namespace pixart::diffusion

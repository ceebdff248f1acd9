#include "pixart/diffusion/samplers.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iterator>

#include "pixart/base/error.h"
#include "pixart/base/names.h"

namespace pixart::diffusion {

namespace {

constexpr int64_t kAncestralGuidedChannels = 3;

struct Request {
  const Denoiser& denoiser;
  const Process& process;
  int64_t num_steps;
  bool learn_sigma;
  at::Tensor latent;
  const NoiseSource& noise;
  const StepCallback& callback;

  NoiseSchedule full() const { return make_noise_schedule(process); }
  NoiseSchedule respaced() const { return make_noise_schedule(process, std::to_string(num_steps)); }
};

at::Tensor dpm_solver_pp(const Request& r) {
  return sample_dpm_solver_pp(r.denoiser, r.full(), r.latent, r.num_steps, r.callback);
}

at::Tensor iddpm(const Request& r) {
  LossConfig config;
  config.learn_sigma = r.learn_sigma;
  return sample_iddpm(r.denoiser, r.respaced(), config, r.latent, r.noise, r.callback);
}

at::Tensor ddim(const Request& r) {
  return sample_ddim(r.denoiser, r.respaced(), r.latent,
                     {.eta = 0, .noise = r.noise, .callback = r.callback});
}

at::Tensor sa_solver(const Request& r) {
  SaSolverOptions options;
  options.num_steps = r.num_steps;
  options.noise = r.noise;
  options.callback = r.callback;
  return sample_sa_solver(r.denoiser, r.full(), r.latent, options);
}

at::Tensor lcm(const Request& r) {
  LcmOptions options;
  options.num_steps = r.num_steps;
  options.noise = r.noise;
  options.callback = r.callback;
  return sample_lcm(r.denoiser, r.full(), r.latent, options);
}

struct NamedSampler {
  const char* name;
  at::Tensor (*run)(const Request&);
  bool guides_three_channels;
};
constexpr NamedSampler kSamplers[] = {
    {"dpm_solver_pp", dpm_solver_pp, false}, {"iddpm", iddpm, true}, {"ddim", ddim, true},
    {"sa_solver", sa_solver, false},         {"lcm", lcm, false},
};

const NamedSampler& find_sampler(const std::string& name) { return row_named(kSamplers, name, "sampler"); }

}  // namespace

std::vector<std::string> sampler_names() { return names_of(kSamplers); }

int64_t guided_channels(const std::string& name, int64_t latent_channels) {
  return find_sampler(name).guides_three_channels ? std::min(kAncestralGuidedChannels, latent_channels)
                                                  : latent_channels;
}

at::Tensor sample(const SamplerConfig& config, const Denoiser& denoiser, const Process& process,
                  bool learn_sigma, at::Tensor latent, const NoiseSource& noise,
                  const StepCallback& callback) {
  return find_sampler(config.sampler)
      .run({denoiser, process, config.num_steps, learn_sigma, std::move(latent), noise, callback});
}

}  // namespace pixart::diffusion

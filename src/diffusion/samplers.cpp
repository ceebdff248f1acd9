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

// The same answer without the channels of the variance, which only the bound trains.
Denoiser without_variance(const Denoiser& denoiser) {
  return [denoiser](const at::Tensor& latent, const at::Tensor& timestep) {
    return denoiser(latent, timestep).narrow(1, 0, latent.size(1));
  };
}

at::Tensor iddpm(const Request& r) {
  LossConfig config;
  config.learn_sigma = r.learn_sigma && trains_variance(r.process.prediction);
  const Denoiser denoiser = config.learn_sigma ? r.denoiser : without_variance(r.denoiser);
  return sample_iddpm(denoiser, r.respaced(), config, r.latent, r.noise, r.callback);
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

using SampleProcess = at::Tensor (*)(const Denoiser&, const Process&, at::Tensor, int64_t,
                                     const StepCallback&);

template <SampleProcess kSample>
at::Tensor on_process(const Request& r) {
  return kSample(r.denoiser, r.process, r.latent, r.num_steps, r.callback);
}

using Run = at::Tensor (*)(const Request&);

struct NamedSampler {
  const char* name;
  Run run;       // with a schedule of betas; nullptr: impossible
  Run run_flow;  // on straight paths; nullptr: impossible
  bool guides_three_channels;

  Run run_for(Prediction prediction) const { return prediction == Prediction::kFlow ? run_flow : run; }
};
constexpr NamedSampler kSamplers[] = {
    {"dpm_solver_pp", dpm_solver_pp, on_process<sample_flow_dpm_solver_pp>, false},
    {"iddpm", iddpm, nullptr, true},
    {"ddim", ddim, nullptr, true},
    {"sa_solver", sa_solver, nullptr, false},
    {"lcm", lcm, nullptr, false},
    {"unipc", on_process<sample_unipc>, on_process<sample_unipc>, false},
    {"euler", nullptr, on_process<sample_euler>, false},
    {"heun", nullptr, on_process<sample_heun>, false},
};

const NamedSampler& find_sampler(const std::string& name) { return row_named(kSamplers, name, "sampler"); }

}  // namespace

std::vector<std::string> sampler_names() { return names_of(kSamplers); }

SamplerConfig default_sampler(const Process& process) {
  return process.consistency ? SamplerConfig{.sampler = "lcm", .num_steps = 4, .guidance = 1}
                             : SamplerConfig{};
}

int64_t guided_channels(const std::string& name, int64_t latent_channels) {
  return find_sampler(name).guides_three_channels ? std::min(kAncestralGuidedChannels, latent_channels)
                                                  : latent_channels;
}

std::string sampler_problem(const std::string& name, Prediction prediction) {
  if (find_sampler(name).run_for(prediction) != nullptr) return "";
  std::vector<std::string> fitting;
  for (const auto& row : kSamplers)
    if (row.run_for(prediction) != nullptr) fitting.emplace_back(row.name);
  return fmt::format("sampler {} cannot draw with a model that predicts {}; use {}", name,
                     word_of(prediction), join(fitting, ", "));
}

at::Tensor sample(const SamplerConfig& config, const Denoiser& denoiser, const Process& process,
                  bool learn_sigma, at::Tensor latent, const NoiseSource& noise,
                  const StepCallback& callback) {
  if (const auto problem = sampler_problem(config.sampler, process.prediction); !problem.empty())
    throw UserError(problem + ".");
  const Request request{denoiser, process, config.num_steps, learn_sigma, std::move(latent), noise, callback};
  return find_sampler(config.sampler).run_for(process.prediction)(request);
}

}  // namespace pixart::diffusion

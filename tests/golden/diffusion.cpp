// Golden kinds noise_schedule, iddpm_loss, training_loss, consistency_loss, sampler, timestep_sampler, timestep_density.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "golden.h"
#include "golden_device.h"
#include "golden_objectives.h"
#include "pixart/base/error.h"
#include "pixart/diffusion/consistency.h"
#include "pixart/diffusion/loss.h"
#include "pixart/diffusion/samplers.h"
#include "pixart/diffusion/timestep_sampler.h"
#include "pixart/diffusion/training_loss.h"

namespace pixart::diffusion {
namespace {

using testing::expect_golden;
using testing::golden_cases;
using testing::GoldenCase;
using testing::prediction_of;

Process process_of(const nlohmann::json& config) {
  Process process;
  process.schedule = config.value("schedule", process.schedule);
  process.num_train_steps = config.value("steps", process.num_train_steps);
  process.prediction = prediction_of(config);
  process.zero_terminal_snr = config.value("zero_terminal_snr", false);
  process.shift = config.value("shift", 1.0);
  return process;
}

NoiseSchedule schedule_of(const GoldenCase& c) {
  return make_noise_schedule(process_of(c.config()), c.config().value("respacing", ""));
}

at::Tensor as_tensor(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

const std::vector<double>* table(const NoiseSchedule& s, const std::string& name) {
  static const std::map<std::string, std::vector<double> NoiseSchedule::*> kTables = {
      {"betas", &NoiseSchedule::betas},
      {"alphas_cumprod", &NoiseSchedule::alphas_cumprod},
      {"alphas_cumprod_prev", &NoiseSchedule::alphas_cumprod_prev},
      {"alphas_cumprod_next", &NoiseSchedule::alphas_cumprod_next},
      {"sqrt_alphas_cumprod", &NoiseSchedule::sqrt_alphas_cumprod},
      {"sqrt_one_minus_alphas_cumprod", &NoiseSchedule::sqrt_one_minus_alphas_cumprod},
      {"log_one_minus_alphas_cumprod", &NoiseSchedule::log_one_minus_alphas_cumprod},
      {"sqrt_recip_alphas_cumprod", &NoiseSchedule::sqrt_recip_alphas_cumprod},
      {"sqrt_recipm1_alphas_cumprod", &NoiseSchedule::sqrt_recipm1_alphas_cumprod},
      {"posterior_variance", &NoiseSchedule::posterior_variance},
      {"posterior_log_variance_clipped", &NoiseSchedule::posterior_log_variance_clipped},
      {"posterior_mean_coef1", &NoiseSchedule::posterior_mean_coef1},
      {"posterior_mean_coef2", &NoiseSchedule::posterior_mean_coef2},
  };
  const auto found = kTables.find(name);
  return found == kTables.end() ? nullptr : &(s.*found->second);
}

void check_continuous(const GoldenCase& c) {
  const ContinuousSchedule continuous(make_noise_schedule(c.config().at("schedule"), c.config().at("steps")));
  using Function = double (ContinuousSchedule::*)(double) const;
  const std::map<std::string, Function> functions = {{"log_alpha", &ContinuousSchedule::log_alpha},
                                                     {"alpha", &ContinuousSchedule::alpha},
                                                     {"sigma", &ContinuousSchedule::sigma},
                                                     {"lambda", &ContinuousSchedule::lambda},
                                                     {"model_t", &ContinuousSchedule::model_t}};
  const at::Tensor t = c.tensor("in.continuous.t").to(at::kDouble);
  for (const auto& [name, function] : functions) {
    std::vector<double> values;
    for (int64_t i = 0; i < t.numel(); ++i) values.push_back((continuous.*function)(t[i].item<double>()));
    expect_golden(c, "out.continuous." + name, as_tensor(values));
  }
}

TEST(Golden, NoiseSchedule) {
  for (const auto& c : golden_cases("noise_schedule")) {
    SCOPED_TRACE(c.name);
    const NoiseSchedule schedule = schedule_of(c);
    expect_golden(c, "out.timestep_map", at::tensor(schedule.timestep_map, at::kLong));
    int64_t num_tables = 0;
    for (const auto& [name, want] : c.tensors) {
      if (!name.starts_with("out.") || name.starts_with("out.continuous.") || name == "out.timestep_map")
        continue;
      const auto* values = table(schedule, name.substr(4));
      ASSERT_NE(values, nullptr) << name;
      expect_golden(c, name, as_tensor(*values));
      ++num_tables;
    }
    EXPECT_EQ(num_tables, 13);
    if (c.has("in.continuous.t")) check_continuous(c);
  }
}

LossConfig loss_config_of(const nlohmann::json& config) {
  LossConfig result;
  result.learn_sigma = config.at("learn_sigma");
  result.sigma_small = config.value("sigma_small", false);
  result.use_kl = config.value("use_kl", false);
  result.rescale_learned_sigmas = config.value("rescale_learned_sigmas", false);
  result.snr = config.value("snr", false);
  return result;
}

TEST(Golden, IddpmLoss) {
  for (const auto& c : golden_cases("iddpm_loss")) {
    SCOPED_TRACE(c.name);
    const LossConfig config = loss_config_of(c.config());
    const at::Device device = testing::golden_device();
    const LossTables tables(schedule_of(c), device);
    const at::Tensor x_start = c.tensor("in.x_start").to(device), noise = c.tensor("in.noise").to(device),
                     t = c.tensor("in.t").to(device);
    at::Tensor output = c.tensor("in.model_output").clone().to(device).set_requires_grad(true);

    const at::Tensor x_t = add_noise(tables, x_start, noise, t);
    expect_golden(c, "out.x_t", x_t);
    const at::Tensor model_t = model_timestep(tables, t);
    EXPECT_EQ(model_t.scalar_type(), at::kFloat);
    expect_golden(c, "out.model_t", model_t);

    const MeanAndVariance p = p_mean_variance(tables, config, output, x_t, t),
                          q = q_posterior(tables, x_start, x_t, t);
    expect_golden(c, "out.pred_xstart", p.pred_xstart);
    expect_golden(c, "out.mean", p.mean);
    expect_golden(c, "out.log_variance", p.log_variance);
    expect_golden(c, "out.posterior_mean", q.mean);
    expect_golden(c, "out.posterior_log_variance", q.log_variance);

    const LossTerms terms = iddpm_loss(tables, config, output, x_start, x_t, noise, t);
    expect_golden(c, "out.loss", terms.loss);
    EXPECT_EQ(terms.mse.defined(), c.has("out.mse"));
    EXPECT_EQ(terms.vb.defined(), c.has("out.vb"));
    if (c.has("out.mse")) expect_golden(c, "out.mse", terms.mse);
    if (c.has("out.vb")) expect_golden(c, "out.vb", terms.vb);

    torch::autograd::backward({terms.loss.mean()}, {});
    expect_golden(c, "grad.model_output", output.grad());
  }
}

// The stand-in for the network that tests/golden/README.md describes.
Denoiser stand_in(const GoldenCase& c, const at::Tensor& condition) {
  const double gain = c.config().at("model").at("gain"), slope = c.config().at("model").at("slope");
  const bool learn_sigma = c.config().at("learn_sigma");
  const Prediction prediction = prediction_of(c.config());
  const at::Tensor y = condition.view({-1, 1, 1, 1});
  return [=](const at::Tensor& latent, const at::Tensor& timestep) {
    const int64_t times = y.size(0) / latent.size(0);  // two with guidance
    const at::Tensor x = latent.repeat({times, 1, 1, 1}), t = timestep.repeat({times});
    const at::Tensor u = (t.view({-1, 1, 1, 1}) + 1) / 1000, q = 0.1 * u + 9.95 * u.square();
    const at::Tensor clean = gain * at::tanh(slope * x + y);
    if (prediction == Prediction::kXStart) return clean;
    if (prediction == Prediction::kFlow) return (x - clean) / (t.view({-1, 1, 1, 1}) / 1000);
    const at::Tensor alpha = at::exp(-q / 2), sigma = at::sqrt(-at::expm1(-q));
    const at::Tensor noise = (x - alpha * clean) / sigma;
    if (prediction == Prediction::kV) return alpha * noise - sigma * clean;
    return learn_sigma ? at::cat({noise, at::sin(3 * x + 4 * u + y)}, 1) : noise;
  };
}

Denoiser denoiser_of(const GoldenCase& c, std::vector<double>& timesteps) {
  const double scale = c.config().at("guidance_scale");
  Denoiser denoiser = scale == 1 ? stand_in(c, c.tensor("in.y"))
                                 : guide(stand_in(c, at::cat({c.tensor("in.y"), c.tensor("in.y_null")})),
                                         scale, c.config().at("guided_channels"));
  return [denoiser, &timesteps](const at::Tensor& x, const at::Tensor& t) {
    timesteps.push_back(t[0].item<double>());
    return denoiser(x, t);
  };
}

struct Trajectory {
  std::vector<at::Tensor> states, denoised;
  at::Tensor result;
};

Trajectory run_sampler(const GoldenCase& c, const Denoiser& denoiser) {
  const auto& config = c.config();
  const std::string name = config.at("sampler");
  const int64_t num_steps = config.at("num_steps");
  const at::Tensor start = c.tensor("in.x_T"),
                   draws = c.has("in.noise") ? c.tensor("in.noise") : at::Tensor();
  Trajectory found;
  const NoiseSource noise = [&](int64_t step) { return draws[step]; };
  const StepCallback record = [&](int64_t step, const at::Tensor& latent) {
    found.states.push_back(latent);
    EXPECT_EQ(size_t(step), found.states.size());
  };
  const Process process = process_of(config);
  if (process.is_flow() || name == "unipc") {
    SamplerConfig choice;
    choice.sampler = name;
    choice.num_steps = num_steps;
    found.result = sample(choice, denoiser, process, false, start, noise, record);
    return found;
  }
  const NoiseSchedule schedule = schedule_of(c);
  if (name == "dpm_solver_pp") {
    found.result = sample_dpm_solver_pp(denoiser, schedule, start, num_steps, record);
  } else if (name == "iddpm") {
    found.result = sample_iddpm(denoiser, schedule, loss_config_of(config), start, noise, record);
  } else if (name == "ddim") {
    found.result =
        sample_ddim(denoiser, schedule, start, {.eta = config.at("eta"), .noise = noise, .callback = record});
  } else if (name == "sa_solver") {
    found.result = sample_sa_solver(
        denoiser, schedule, start,
        {.num_steps = num_steps, .eta = config.at("eta"), .noise = noise, .callback = record});
  } else if (name == "lcm") {
    const StepCallback answer = [&](int64_t, const at::Tensor& denoised) {
      found.denoised.push_back(denoised);
    };
    found.result = sample_lcm(denoiser, schedule, start,
                              {.num_steps = num_steps,
                               .origin_steps = config.at("origin_steps"),
                               .noise = noise,
                               .callback = record,
                               .denoised = answer});
  } else {
    throw UserError("no such sampler: " + name);
  }
  return found;
}

TEST(Golden, Sampler) {
  for (const auto& c : golden_cases("sampler")) {
    SCOPED_TRACE(c.name);
    std::vector<double> timesteps;
    const Trajectory found = run_sampler(c, denoiser_of(c, timesteps));
    ASSERT_EQ(found.states.size(), c.config().at("num_steps").get<size_t>());
    expect_golden(c, "out.x_0", found.result);
    expect_golden(c, "out.model_t", as_tensor(timesteps));
    if (c.has("out.denoised")) expect_golden(c, "out.denoised", at::stack(found.denoised));
    const std::string prefix = "out.x.";
    for (const auto& [name, want] : c.tensors) {
      if (!name.starts_with(prefix)) continue;
      expect_golden(c, name, found.states.at(std::stoul(name.substr(prefix.size())) - 1));
    }
  }
}

TEST(Golden, TrainingLoss) {
  for (const auto& c : golden_cases("training_loss")) {
    SCOPED_TRACE(c.name);
    const DiffusionConfig config = testing::training_config(c.config());
    std::vector<std::string> problems;
    config.validate(problems);
    EXPECT_TRUE(problems.empty());
    const at::Device device = testing::golden_device();
    const TrainingLoss loss(config, device);
    const at::Tensor output = c.tensor("in.model_output").clone().to(device).set_requires_grad(true);
    // Other channels, those of the variance, are not in the loss.
    const at::Tensor variance = at::full_like(output, 3.0).set_requires_grad(true);
    const Denoiser model = [&](const at::Tensor& x, const at::Tensor& t) {
      expect_golden(c, "out.x_t", x);
      expect_golden(c, "out.model_t", t);
      return at::cat({output, variance}, 1);
    };
    const at::Tensor losses = loss.losses(model, c.tensor("in.x_start").to(device),
                                          c.tensor("in.noise").to(device), c.tensor("in.t").to(device));
    expect_golden(c, "out.loss", losses);
    torch::autograd::backward({losses.mean()}, {});
    expect_golden(c, "grad.model_output", output.grad());
    EXPECT_EQ(variance.grad().abs().max().item<float>(), 0);
  }
}

TEST(Golden, ConsistencyLoss) {
  for (const auto& c : golden_cases("consistency_loss")) {
    SCOPED_TRACE(c.name);
    const ConsistencyConfig config{.huber_width = c.config().at("huber_width")};
    const ConsistencyLoss loss(schedule_of(c), config, at::kCPU);
    const at::Tensor student = c.tensor("in.student").clone().set_requires_grad(true);
    // A network that must be called with the case's latent and timestep.
    const auto called = [&](const at::Tensor& answer, const std::string& latent, const std::string& t) {
      return [&c, answer, latent, t](const at::Tensor& x, const at::Tensor& timestep) {
        expect_golden(c, "out." + latent, x);
        expect_golden(c, "out." + t, timestep);
        return answer;
      };
    };
    const at::Tensor pair = at::cat({c.tensor("in.teacher"), c.tensor("in.teacher_null")});
    const at::Tensor losses = loss.losses(
        {.student = called(student, "latent", "model_t"),
         .teacher_pair = called(pair, "latent", "model_t"),
         .target = called(c.tensor("in.target"), "target_latent", "target_t")},
        c.tensor("in.x_start"), c.tensor("in.noise"), c.tensor("in.index"), c.tensor("in.guidance"));
    expect_golden(c, "out.loss", losses);
    torch::autograd::backward({losses.mean()}, {});
    expect_golden(c, "grad.student", student.grad());
  }
}

TEST(Golden, TimestepDensity) {
  for (const auto& c : golden_cases("timestep_density")) {
    SCOPED_TRACE(c.name);
    const at::Tensor normal = c.tensor("in.normal");
    std::vector<int64_t> t;
    for (int64_t i = 0; i < normal.numel(); ++i)
      t.push_back(logit_normal_timestep(normal[i].item<double>(), c.config().at("logit_mean"),
                                        c.config().at("logit_std"), c.config().at("num_timesteps")));
    expect_golden(c, "out.t", at::tensor(t, at::kLong));
  }
}

std::vector<double> timestep_weights(const GoldenCase& c) {
  const auto& config = c.config();
  const std::string name = config.at("name");
  if (name == "uniform") return uniform_timestep_weights(config.at("num_timesteps"));
  if (name != "loss-second-moment") throw UserError("no such timestep sampler: " + name);
  const at::Tensor t = c.tensor("in.history_t").contiguous(), loss = c.tensor("in.history_loss").contiguous();
  return second_moment_timestep_weights(config.at("num_timesteps"), config.at("history_per_term"),
                                        config.at("uniform_prob"),
                                        {t.const_data_ptr<int64_t>(), size_t(t.numel())},
                                        {loss.const_data_ptr<double>(), size_t(loss.numel())});
}

TEST(Golden, TimestepSampler) {
  for (const auto& c : golden_cases("timestep_sampler")) {
    SCOPED_TRACE(c.name);
    const auto weights = timestep_weights(c);
    expect_golden(c, "out.weights", as_tensor(weights));
    const at::Tensor u = c.tensor("in.u");
    std::vector<int64_t> t;
    std::vector<float> importance;
    for (int64_t i = 0; i < u.numel(); ++i) {
      const WeightedTimestep draw = draw_timestep(weights, u[i].item<double>());
      t.push_back(draw.t);
      importance.push_back(draw.importance);
    }
    expect_golden(c, "out.t", at::tensor(t, at::kLong));
    expect_golden(c, "out.importance", at::tensor(importance, at::kFloat));
  }
}

}  // namespace
}  // namespace pixart::diffusion

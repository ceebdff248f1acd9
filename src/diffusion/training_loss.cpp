#include "pixart/diffusion/training_loss.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "kernel_calls.h"
#include "pixart/base/error.h"

namespace pixart::diffusion {

namespace {

// The parts of a noisy latent = alpha x_0 + sigma noise.
struct Levels {
  std::vector<double> alpha, sigma, timestep, weight;
};

Levels levels_of(const NoiseSchedule& schedule) {
  Levels levels{schedule.sqrt_alphas_cumprod, schedule.sqrt_one_minus_alphas_cumprod, {}, {}};
  levels.timestep.assign(schedule.timestep_map.begin(), schedule.timestep_map.end());
  return levels;
}

Levels levels_of_flow(const Process& flow) {
  Levels levels;
  for (int64_t i = 0; i < flow.num_train_steps; ++i) {
    const double sigma = shifted(double(i + 1) / double(flow.num_train_steps), flow.shift);
    levels.alpha.push_back(1 - sigma);
    levels.sigma.push_back(sigma);
    levels.timestep.push_back(sigma * double(flow.num_train_steps));
  }
  return levels;
}

// How often the squared error of the prediction contains that of x_0, and of the noise.
double errors_of_xstart(Prediction prediction, double alpha, double sigma) {
  if (prediction == Prediction::kXStart) return 1;
  return prediction == Prediction::kEpsilon ? sigma * sigma / (alpha * alpha) : sigma * sigma;
}
double errors_of_noise(Prediction prediction, double alpha, double sigma) {
  if (prediction == Prediction::kEpsilon) return 1;
  return prediction == Prediction::kXStart ? alpha * alpha / (sigma * sigma) : alpha * alpha;
}

double weight_of(const DiffusionConfig& c, double alpha, double sigma) {
  const double snr = alpha * alpha / (sigma * sigma);
  switch (c.loss_weighting) {
    case LossWeighting::kMinSnr:
      return std::min(snr, c.min_snr_gamma) * errors_of_xstart(c.prediction, alpha, sigma);
    case LossWeighting::kP2:
      return errors_of_noise(c.prediction, alpha, sigma) / std::pow(1 + snr, c.p2_gamma);
    case LossWeighting::kNone:
    case LossWeighting::kReleasedSnr:
      break;
  }
  return 1;
}

at::Tensor stacked(Levels levels, const DiffusionConfig& config, at::Device device) {
  for (size_t i = 0; i < levels.alpha.size(); ++i)
    levels.weight.push_back(weight_of(config, levels.alpha[i], levels.sigma[i]));
  std::vector<at::Tensor> rows;
  for (const auto* row : {&levels.alpha, &levels.sigma, &levels.timestep, &levels.weight})
    rows.push_back(at::tensor(*row, at::kDouble));
  return at::stack(rows).to(at::kFloat).to(device);
}

LossConfig loss_config(const DiffusionConfig& config) {
  LossConfig loss;
  loss.learn_sigma = config.variational_bound != BoundUse::kNone;
  loss.use_kl = config.variational_bound == BoundUse::kOnly;
  loss.snr = config.loss_weighting == LossWeighting::kReleasedSnr;
  return loss;
}

bool has_weights(const DiffusionConfig& config) {
  return config.loss_weighting == LossWeighting::kMinSnr || config.loss_weighting == LossWeighting::kP2;
}

at::Tensor per_sample(const at::Tensor& values) { return values.view({-1, 1, 1, 1}); }

LossTerms terms_of(const LossTables& tables, const LossConfig& loss, const at::Tensor& model_output,
                   const NoisyLatents& noisy, const at::Tensor& t) {
  at::Tensor output = model_output.to(noisy.x_start.scalar_type());
  if (!loss.learn_sigma) output = output.narrow(1, 0, noisy.x_start.size(1));
  return iddpm_loss(tables, loss, output, noisy.x_start, noisy.x_t, noisy.noise, t);
}

}  // namespace

at::Tensor published_losses(const LossTables& tables, const Denoiser& model, const at::Tensor& x_start,
                            const at::Tensor& noise, const at::Tensor& t) {
  const NoisyLatents noisy{x_start, noise, add_noise(tables, x_start, noise, t), model_timestep(tables, t)};
  return terms_of(tables, {}, model(noisy.x_t, noisy.timestep), noisy, t).loss;
}

TrainingLoss::TrainingLoss(LossTables tables)
    : tables_(std::move(tables)), levels_(stacked(levels_of(tables_->schedule()), {}, tables_->device())) {
  config_.prediction = tables_->prediction();
}

TrainingLoss::TrainingLoss(const DiffusionConfig& config, at::Device device)
    : config_(config), loss_(loss_config(config)) {
  const Process process = config.process();
  if (!process.is_flow()) tables_.emplace(make_noise_schedule(process), device);
  levels_ = stacked(tables_ ? levels_of(tables_->schedule()) : levels_of_flow(process), config, device);
}

at::Tensor TrainingLoss::level(Level which, const at::Tensor& t) const {
  return levels_[which].index_select(0, t);
}

at::Tensor TrainingLoss::noisy(const at::Tensor& x_start, const at::Tensor& noise,
                               const at::Tensor& t) const {
  return per_sample(level(kAlpha, t)) * x_start + per_sample(level(kSigma, t)) * noise;
}

NoisyLatents TrainingLoss::noisy_latents(const at::Tensor& x_start, const at::Tensor& noise,
                                         const at::Tensor& t) const {
  return {x_start, noise, noisy(x_start, noise, t), model_timestep(t)};
}

NoisyLatents TrainingLoss::noised(const LatentMoments& latents, const DrawnNoise& drawn,
                                  const at::Tensor& t) const {
  if (has_kernels(latents.mean.device())) return noised_by_kernel(levels_, latents, drawn, t);
  PIXART_CHECK(drawn.noise.defined() && drawn.posterior.defined(), "no noise for {}",
               latents.mean.device().str());
  const at::Tensor deviation = (0.5 * latents.log_var).exp();
  const at::Tensor sample = latents.mean + deviation * drawn.posterior;
  return noisy_latents((sample - latents.shift) * latents.scale, drawn.noise, t);
}

at::Tensor TrainingLoss::losses(const Denoiser& model, const at::Tensor& x_start, const at::Tensor& noise,
                                const at::Tensor& t) const {
  return losses(model, noisy_latents(x_start, noise, t), t);
}

at::Tensor TrainingLoss::losses(const Denoiser& model, const NoisyLatents& noisy, const at::Tensor& t) const {
  return losses(loss_, has_weights(config_), model, noisy, t);
}

at::Tensor TrainingLoss::unweighted_losses(const Denoiser& model, const at::Tensor& x_start,
                                           const at::Tensor& noise, const at::Tensor& t) const {
  return unweighted_losses(model, noisy_latents(x_start, noise, t), t);
}

at::Tensor TrainingLoss::unweighted_losses(const Denoiser& model, const NoisyLatents& noisy,
                                           const at::Tensor& t) const {
  LossConfig loss = loss_;
  loss.snr = false;
  return losses(loss, false, model, noisy, t);
}

KernelLoss TrainingLoss::kernel_loss(const LossConfig& loss, bool weighted) const {
  KernelLoss result;
  if (trains_variance(config_.prediction)) {
    result = kernel_loss_of(*tables_, loss);
  } else {
    const bool is_flow = config_.prediction == Prediction::kFlow;
    result.compared = is_flow ? kernels::Compared::kFlow : kernels::Compared::kV;
    result.tables.alpha = levels_[kAlpha].const_data_ptr<float>();
    result.tables.sigma = levels_[kSigma].const_data_ptr<float>();
  }
  result.owners.push_back(levels_);
  if (weighted) result.tables.weight = levels_[kWeight].const_data_ptr<float>();
  return result;
}

at::Tensor TrainingLoss::losses(const LossConfig& loss, bool weighted, const Denoiser& model,
                                const NoisyLatents& noisy, const at::Tensor& t) const {
  const at::Tensor output = model(noisy.x_t, noisy.timestep);
  if (takes_output(output, noisy.x_start))
    return loss_by_kernel(kernel_loss(loss, weighted), output, noisy, t).loss;
  if (!trains_variance(config_.prediction)) {
    const at::Tensor mse = of_prediction(output, noisy, t);
    return weighted ? level(kWeight, t) * mse : mse;
  }
  const LossTerms terms = terms_of(*tables_, loss, output, noisy, t);
  if (!weighted) return terms.loss;
  const at::Tensor mse = level(kWeight, t) * terms.mse;
  return terms.vb.defined() ? mse + terms.vb : mse;
}

at::Tensor TrainingLoss::of_prediction(const at::Tensor& model_output, const NoisyLatents& noisy,
                                       const at::Tensor& t) const {
  const auto& [x_start, noise, x_t, timestep] = noisy;
  const at::Tensor output = model_output.narrow(1, 0, x_start.size(1)).to(x_start.scalar_type());
  const at::Tensor target =
      config_.prediction == Prediction::kFlow
          ? noise - x_start
          : per_sample(level(kAlpha, t)) * noise - per_sample(level(kSigma, t)) * x_start;
  return (target - output).square().flatten(1).mean(1);
}

}  // namespace pixart::diffusion

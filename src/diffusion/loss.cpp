#include "pixart/diffusion/loss.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "kernel_calls.h"
#include "pixart/base/error.h"

namespace pixart::diffusion {

namespace {

constexpr double kRescaledSteps = 1000;  // rescale_learned_sigmas scales the bound by num_steps / this
constexpr double kSmallestProbability = 1e-12;
constexpr double kEdge = 0.999;           // values beyond it count as the first or last of 256 levels
constexpr double kHalfLevel = 1.0 / 255;  // half the distance of 256 levels in [-1, 1]

constexpr std::vector<double> NoiseSchedule::*kTables[] = {
    &NoiseSchedule::betas,
    &NoiseSchedule::alphas_cumprod,
    &NoiseSchedule::alphas_cumprod_prev,
    &NoiseSchedule::alphas_cumprod_next,
    &NoiseSchedule::sqrt_alphas_cumprod,
    &NoiseSchedule::sqrt_one_minus_alphas_cumprod,
    &NoiseSchedule::log_one_minus_alphas_cumprod,
    &NoiseSchedule::sqrt_recip_alphas_cumprod,
    &NoiseSchedule::sqrt_recipm1_alphas_cumprod,
    &NoiseSchedule::posterior_variance,
    &NoiseSchedule::posterior_log_variance_clipped,
    &NoiseSchedule::posterior_mean_coef1,
    &NoiseSchedule::posterior_mean_coef2,
    &NoiseSchedule::log_betas,
    &NoiseSchedule::fixed_large_log_variance,
};

at::Tensor mean_per_sample(const at::Tensor& x) { return x.flatten(1).mean(1); }

// The parts of the network's output, in the precision of x_t.
struct Output {
  at::Tensor prediction, variance;  // [B, C, H, W]; variance undefined unless learned
};

Output split(const LossConfig& config, const at::Tensor& model_output, const at::Tensor& x_t) {
  const int64_t channels = x_t.size(1), expected = config.learn_sigma ? 2 * channels : channels;
  PIXART_CHECK(model_output.dim() == 4 && model_output.size(1) == expected, "{} output channels, expected {}",
               model_output.dim() == 4 ? model_output.size(1) : -1, expected);
  const at::Tensor output = model_output.to(x_t.scalar_type());
  if (!config.learn_sigma) return {output, {}};
  return {output.narrow(1, 0, channels), output.narrow(1, channels, channels)};
}

at::Tensor xstart_from_noise(const LossTables& tables, const at::Tensor& noise, const at::Tensor& x_t,
                             const at::Tensor& t) {
  return tables.gather(&NoiseSchedule::sqrt_recip_alphas_cumprod, t) * x_t -
         tables.gather(&NoiseSchedule::sqrt_recipm1_alphas_cumprod, t) * noise;
}

at::Tensor noise_from_xstart(const LossTables& tables, const at::Tensor& x_start, const at::Tensor& x_t,
                             const at::Tensor& t) {
  return (tables.gather(&NoiseSchedule::sqrt_recip_alphas_cumprod, t) * x_t - x_start) /
         tables.gather(&NoiseSchedule::sqrt_recipm1_alphas_cumprod, t);
}

at::Tensor v_of(const LossTables& tables, const at::Tensor& x_start, const at::Tensor& noise,
                const at::Tensor& t) {
  return tables.gather(&NoiseSchedule::sqrt_alphas_cumprod, t) * noise -
         tables.gather(&NoiseSchedule::sqrt_one_minus_alphas_cumprod, t) * x_start;
}

at::Tensor xstart_from_prediction(const LossTables& tables, const at::Tensor& prediction,
                                  const at::Tensor& x_t, const at::Tensor& t) {
  if (tables.prediction() == Prediction::kXStart) return prediction;
  if (tables.prediction() == Prediction::kEpsilon) return xstart_from_noise(tables, prediction, x_t, t);
  PIXART_CHECK(tables.prediction() == Prediction::kV, "a loss for {}", word_of(tables.prediction()));
  return tables.gather(&NoiseSchedule::sqrt_alphas_cumprod, t) * x_t -
         tables.gather(&NoiseSchedule::sqrt_one_minus_alphas_cumprod, t) * prediction;
}

at::Tensor posterior_mean(const LossTables& tables, const at::Tensor& x_start, const at::Tensor& x_t,
                          const at::Tensor& t) {
  return tables.gather(&NoiseSchedule::posterior_mean_coef1, t) * x_start +
         tables.gather(&NoiseSchedule::posterior_mean_coef2, t) * x_t;
}

at::Tensor log_variance(const LossTables& tables, const LossConfig& config, const at::Tensor& variance,
                        const at::Tensor& x_t, const at::Tensor& t) {
  if (!config.learn_sigma) {
    const auto table = config.sigma_small ? &NoiseSchedule::posterior_log_variance_clipped
                                          : &NoiseSchedule::fixed_large_log_variance;
    return tables.gather(table, t).expand_as(x_t);
  }
  const at::Tensor fraction = (variance + 1) / 2;
  return fraction * tables.gather(&NoiseSchedule::log_betas, t) +
         (1 - fraction) * tables.gather(&NoiseSchedule::posterior_log_variance_clipped, t);
}

MeanAndVariance p_from_split(const LossTables& tables, const LossConfig& config, const Output& output,
                             const at::Tensor& x_t, const at::Tensor& t) {
  const at::Tensor pred_xstart = xstart_from_prediction(tables, output.prediction, x_t, t);
  return {.mean = posterior_mean(tables, pred_xstart, x_t, t),
          .log_variance = log_variance(tables, config, output.variance, x_t, t),
          .pred_xstart = pred_xstart};
}

at::Tensor normal_kl(const MeanAndVariance& q, const MeanAndVariance& p) {
  return 0.5 * (-1.0 + p.log_variance - q.log_variance + at::exp(q.log_variance - p.log_variance) +
                (q.mean - p.mean).square() * at::exp(-p.log_variance));
}

at::Tensor approximate_normal_cdf(const at::Tensor& z) {
  return 0.5 * (1.0 + at::tanh(std::sqrt(2.0 / std::numbers::pi) * (z + 0.044715 * z.pow(3))));
}

at::Tensor safe_log(const at::Tensor& probability) {
  return probability.clamp_min(kSmallestProbability).log();
}

// Log likelihood of x_start as one of 256 levels. The published code uses the tanh form of the distribution,
// and the loss must match it.
at::Tensor discretized_log_likelihood(const at::Tensor& x_start, const MeanAndVariance& p) {
  const at::Tensor centered = x_start - p.mean, inverse_deviation = at::exp(-0.5 * p.log_variance);
  const at::Tensor upper = approximate_normal_cdf(inverse_deviation * (centered + kHalfLevel));
  const at::Tensor lower = approximate_normal_cdf(inverse_deviation * (centered - kHalfLevel));
  return at::where(x_start < -kEdge, safe_log(upper),
                   at::where(x_start > kEdge, safe_log(1.0 - lower), safe_log(upper - lower)));
}

// [B], in bits per element: KL from q to p; at the least noisy step the negative log likelihood.
at::Tensor variational_bound(const LossTables& tables, const MeanAndVariance& p, const at::Tensor& x_start,
                             const at::Tensor& x_t, const at::Tensor& t) {
  const at::Tensor kl = mean_per_sample(normal_kl(q_posterior(tables, x_start, x_t, t), p));
  const at::Tensor likelihood = mean_per_sample(discretized_log_likelihood(x_start, p));
  return at::where(t == 0, -likelihood, kl) / std::numbers::ln2;
}

struct Pair {
  at::Tensor target, prediction;
};

Pair compared(const LossTables& tables, const LossConfig& config, const at::Tensor& prediction,
              const at::Tensor& x_start, const at::Tensor& x_t, const at::Tensor& noise,
              const at::Tensor& t) {
  const bool is_xstart = tables.prediction() == Prediction::kXStart;
  if (tables.prediction() == Prediction::kV) return {v_of(tables, x_start, noise, t), prediction};
  if (!config.snr) return {is_xstart ? x_start : noise, prediction};
  const at::Tensor predicted_noise = is_xstart ? noise_from_xstart(tables, prediction, x_t, t) : prediction;
  const at::Tensor predicted_xstart = is_xstart ? prediction : xstart_from_noise(tables, prediction, x_t, t);
  const at::Tensor noisy = (t > kernels::kSnrNoiseAbove).view({-1, 1, 1, 1});
  return {at::where(noisy, noise, x_start), at::where(noisy, predicted_noise, predicted_xstart)};
}

}  // namespace

LossTables::LossTables(const NoiseSchedule& schedule, at::Device device) : schedule_(schedule) {
  std::vector<at::Tensor> rows;
  for (const auto table : kTables) rows.push_back(at::tensor(schedule_.*table, at::kDouble));
  rows.push_back(at::tensor(schedule_.timestep_map, at::kLong).to(at::kDouble));
  all_ = at::stack(rows).to(at::kFloat).to(device);
}

at::Tensor LossTables::row(std::vector<double> NoiseSchedule::*table) const {
  const auto* found = std::find(std::begin(kTables), std::end(kTables), table);
  PIXART_CHECK(found != std::end(kTables), "a table that is not NoiseSchedule's");
  return all_[found - std::begin(kTables)];
}

at::Tensor LossTables::gather(std::vector<double> NoiseSchedule::*table, const at::Tensor& t) const {
  return row(table).index_select(0, t).view({-1, 1, 1, 1});
}

at::Tensor LossTables::gather_timestep(const at::Tensor& t) const {
  return all_[int64_t(std::size(kTables))].index_select(0, t);
}

at::Tensor add_noise(const LossTables& tables, const at::Tensor& x_start, const at::Tensor& noise,
                     const at::Tensor& t) {
  return tables.gather(&NoiseSchedule::sqrt_alphas_cumprod, t) * x_start +
         tables.gather(&NoiseSchedule::sqrt_one_minus_alphas_cumprod, t) * noise;
}

at::Tensor model_timestep(const LossTables& tables, const at::Tensor& t) { return tables.gather_timestep(t); }

MeanAndVariance p_mean_variance(const LossTables& tables, const LossConfig& config,
                                const at::Tensor& model_output, const at::Tensor& x_t, const at::Tensor& t) {
  return p_from_split(tables, config, split(config, model_output, x_t), x_t, t);
}

MeanAndVariance q_posterior(const LossTables& tables, const at::Tensor& x_start, const at::Tensor& x_t,
                            const at::Tensor& t) {
  return {.mean = posterior_mean(tables, x_start, x_t, t),
          .log_variance = tables.gather(&NoiseSchedule::posterior_log_variance_clipped, t).expand_as(x_t),
          .pred_xstart = x_start};
}

namespace {

kernels::Compared compared_with(const LossTables& tables, const LossConfig& config) {
  using kernels::Compared;
  if (tables.prediction() == Prediction::kV) return Compared::kV;
  if (tables.prediction() == Prediction::kXStart)
    return config.snr ? Compared::kEitherOfXStart : Compared::kXStart;
  return config.snr ? Compared::kEitherOfNoise : Compared::kNoise;
}

double bound_scale(const LossTables& tables, const LossConfig& config) {
  const double num_steps = double(tables.schedule().num_steps());
  if (config.use_kl) return num_steps;
  return config.rescale_learned_sigmas ? num_steps / kRescaledSteps : 1;
}

}  // namespace

KernelLoss kernel_loss_of(const LossTables& tables, const LossConfig& config) {
  KernelLoss loss{.compared = compared_with(tables, config),
                  .bound = config.use_kl        ? kernels::Bound::kOnly
                           : config.learn_sigma ? kernels::Bound::kFrozenMean
                                                : kernels::Bound::kNone,
                  .predicts_noise = tables.prediction() == Prediction::kEpsilon,
                  .learns_variance = config.learn_sigma,
                  .bound_scale = bound_scale(tables, config)};
  const auto row = [&](std::vector<double> NoiseSchedule::*table) {
    loss.owners.push_back(tables.row(table));
    return loss.owners.back().const_data_ptr<float>();
  };
  loss.tables = {.alpha = row(&NoiseSchedule::sqrt_alphas_cumprod),
                 .sigma = row(&NoiseSchedule::sqrt_one_minus_alphas_cumprod),
                 .weight = nullptr,
                 .recip_alpha = row(&NoiseSchedule::sqrt_recip_alphas_cumprod),
                 .recipm1 = row(&NoiseSchedule::sqrt_recipm1_alphas_cumprod),
                 .coef1 = row(&NoiseSchedule::posterior_mean_coef1),
                 .coef2 = row(&NoiseSchedule::posterior_mean_coef2),
                 .log_beta = row(&NoiseSchedule::log_betas),
                 .posterior_log_variance = row(&NoiseSchedule::posterior_log_variance_clipped),
                 .fixed_log_variance = row(config.sigma_small ? &NoiseSchedule::posterior_log_variance_clipped
                                                              : &NoiseSchedule::fixed_large_log_variance)};
  return loss;
}

LossTerms iddpm_loss(const LossTables& tables, const LossConfig& config, const at::Tensor& model_output,
                     const at::Tensor& x_start, const at::Tensor& x_t, const at::Tensor& noise,
                     const at::Tensor& t) {
  if (takes_output(model_output, x_start) && !(config.use_kl && tables.prediction() == Prediction::kV))
    return loss_by_kernel(kernel_loss_of(tables, config), model_output, {x_start, noise, x_t, {}}, t);
  const Output output = split(config, model_output, x_t);
  const double num_steps = double(tables.schedule().num_steps());
  LossTerms terms;
  if (config.use_kl) {
    terms.loss =
        num_steps * variational_bound(tables, p_from_split(tables, config, output, x_t, t), x_start, x_t, t);
    return terms;
  }
  const Pair pair = compared(tables, config, output.prediction, x_start, x_t, noise, t);
  terms.mse = mean_per_sample((pair.target - pair.prediction).square());
  terms.loss = terms.mse;
  if (config.learn_sigma) {
    const Output frozen_mean{output.prediction.detach(), output.variance};
    terms.vb = variational_bound(tables, p_from_split(tables, config, frozen_mean, x_t, t), x_start, x_t, t);
    if (config.rescale_learned_sigmas) terms.vb = terms.vb * (num_steps / kRescaledSteps);
    terms.loss = terms.loss + terms.vb;
  }
  return terms;
}

}  // namespace pixart::diffusion

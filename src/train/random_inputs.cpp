#include "random_inputs.h"

#include <ATen/ATen.h>

#include "pixart/base/error.h"
#include "pixart/diffusion/timestep_sampler.h"
#include "pixart/train/objectives.h"

namespace pixart::train {

namespace {

void fill_normal_row(at::Tensor& tensor, int64_t row, const RandomKey& key) {
  const int64_t size = tensor[row].numel();
  fill_normal(key, {tensor.data_ptr<float>() + row * size, size_t(size)});
}

}  // namespace

at::Tensor batch_normal(uint64_t seed, const std::vector<int64_t>& positions, Purpose purpose,
                        at::IntArrayRef shape) {
  std::vector<int64_t> full = {int64_t(positions.size())};
  full.insert(full.end(), shape.begin(), shape.end());
  at::Tensor result = at::empty(full, at::kFloat);
  for (size_t i = 0; i < positions.size(); ++i)
    fill_normal_row(result, int64_t(i), {seed, uint64_t(positions[i]), purpose});
  return result;
}

namespace {

// Without normal numbers.
DiffusionDraw draw_for_device(uint64_t seed, const std::vector<int64_t>& positions, int64_t num_steps,
                              double condition_dropout) {
  const int64_t count = int64_t(positions.size());
  DiffusionDraw draw{.noise = {},
                     .posterior = {},
                     .t = at::empty({count}, at::kLong),
                     .drop = at::empty({count}, at::kLong),
                     .seed = seed,
                     .positions = at::tensor(positions, at::kLong)};
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t position = uint64_t(positions[size_t(i)]);
    draw.t.data_ptr<int64_t>()[i] =
        int64_t(uniform_below({seed, position, Purpose::kTimestep}, uint64_t(num_steps)));
    draw.drop.data_ptr<int64_t>()[i] =
        uniform({seed, position, Purpose::kDropout}) < condition_dropout ? 1 : 0;
  }
  return draw;
}

DrawInputs uniform_draws(uint64_t seed, int64_t num_steps, double condition_dropout, NoiseFrom noise) {
  if (noise == NoiseFrom::kHost) return draws_by_sample(seed, num_steps, condition_dropout);
  return [=](const data::Batch& batch) {
    return draw_for_device(seed, batch.plan.positions, num_steps, condition_dropout);
  };
}

}  // namespace

at::IntArrayRef latent_shape_of(const data::Batch& batch) {
  return batch.mean.defined() ? batch.mean.sizes().slice(1) : at::IntArrayRef(batch.latent_shape);
}

DiffusionDraw draw_diffusion_inputs(uint64_t seed, const std::vector<int64_t>& positions,
                                    at::IntArrayRef latent_shape, int64_t num_steps,
                                    double condition_dropout) {
  DiffusionDraw draw = draw_for_device(seed, positions, num_steps, condition_dropout);
  draw.noise = batch_normal(seed, positions, Purpose::kNoise, latent_shape);
  draw.posterior = batch_normal(seed, positions, Purpose::kPosterior, latent_shape);
  draw.positions = at::Tensor();  // only a device needs them
  return draw;
}

DrawInputs draws_by_sample(uint64_t seed, int64_t num_steps, double condition_dropout) {
  return [=](const data::Batch& batch) {
    return draw_diffusion_inputs(seed, batch.plan.positions, latent_shape_of(batch), num_steps,
                                 condition_dropout);
  };
}

namespace {

at::Tensor logit_normal_timesteps(uint64_t seed, const std::vector<int64_t>& positions,
                                  const diffusion::DiffusionConfig& config, int64_t num_steps) {
  const at::Tensor normal = batch_normal(seed, positions, Purpose::kTimestep, {1});
  std::vector<int64_t> timesteps;
  for (int64_t i = 0; i < normal.numel(); ++i)
    timesteps.push_back(diffusion::logit_normal_timestep(normal.const_data_ptr<float>()[i], config.logit_mean,
                                                         config.logit_std, num_steps));
  return at::tensor(timesteps, at::kLong);
}

// The parts of a step belong to its samples in a random order, because a step is ordered by buckets.
at::Tensor stratified_timesteps(uint64_t seed, const data::MicroBatch& plan, int64_t batch_size,
                                int64_t num_steps) {
  const auto strata = permutation({seed, uint64_t(plan.step), Purpose::kStrata}, batch_size);
  std::vector<int64_t> timesteps;
  for (const int64_t position : plan.positions) {
    const double u = uniform({seed, uint64_t(position), Purpose::kTimestep});
    timesteps.push_back(
        diffusion::stratified_timestep(strata[size_t(position % batch_size)], batch_size, u, num_steps));
  }
  return at::tensor(timesteps, at::kLong);
}

}  // namespace

DrawInputs draws_by_sample(uint64_t seed, const diffusion::DiffusionConfig& config, int64_t batch_size,
                           double condition_dropout, NoiseFrom noise) {
  const int64_t num_steps = config.process().num_train_steps;
  const DrawInputs uniformly = uniform_draws(seed, num_steps, condition_dropout, noise);
  switch (config.timesteps) {
    case diffusion::TimestepDraw::kUniform:
      return uniformly;
    case diffusion::TimestepDraw::kLogitNormal:
      return [=](const data::Batch& batch) {
        DiffusionDraw draw = uniformly(batch);
        draw.t = logit_normal_timesteps(seed, batch.plan.positions, config, num_steps);
        return draw;
      };
    case diffusion::TimestepDraw::kStratified:
      return [=](const data::Batch& batch) {
        DiffusionDraw draw = uniformly(batch);
        draw.t = stratified_timesteps(seed, batch.plan, batch_size, num_steps);
        return draw;
      };
  }
  PIXART_CHECK(false, "timesteps {}", int(config.timesteps));
}

DrawInputs draws_for_consistency(uint64_t seed, const diffusion::ConsistencyConfig& config,
                                 double condition_dropout) {
  const DrawInputs uniformly = draws_by_sample(seed, diffusion::kConsistencySteps, condition_dropout);
  return [=](const data::Batch& batch) {
    DiffusionDraw draw = uniformly(batch);
    std::vector<double> scales;
    for (const int64_t position : batch.plan.positions)
      scales.push_back(config.least_guidance + uniform({seed, uint64_t(position), Purpose::kGuidance}) *
                                                   (config.most_guidance - config.least_guidance));
    draw.guidance = at::tensor(scales, at::kDouble).to(at::kFloat);
    return draw;
  };
}

DiffusionDraw held_out_inputs(uint64_t seed, int64_t row, at::IntArrayRef latent_shape, int64_t num_steps) {
  std::vector<int64_t> keys, timesteps;
  for (int64_t k = 0; k < kHeldOutTimesteps; ++k) {
    keys.push_back(row * kHeldOutTimesteps + k);
    timesteps.push_back(num_steps * (2 * k + 1) / (2 * kHeldOutTimesteps));
  }
  const at::Tensor noise = batch_normal(seed, keys, Purpose::kValidation, latent_shape);
  return {noise, at::zeros_like(noise), at::tensor(timesteps, at::kLong),
          at::zeros({kHeldOutTimesteps}, at::kLong)};
}

}  // namespace pixart::train

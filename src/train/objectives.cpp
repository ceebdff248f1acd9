#include "pixart/train/objectives.h"

#include <ATen/ATen.h>

#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/diffusion/timestep_sampler.h"
#include "pixart/features/image_reader.h"
#include "pixart/nn/device.h"

namespace pixart::train {

namespace {

void fill_normal_row(at::Tensor& tensor, int64_t row, const RandomKey& key) {
  const int64_t size = tensor[row].numel();
  fill_normal(key, {tensor.data_ptr<float>() + row * size, size_t(size)});
}

at::Tensor batch_normal(uint64_t seed, const std::vector<int64_t>& positions, Purpose purpose,
                        at::IntArrayRef shape) {
  std::vector<int64_t> full = {int64_t(positions.size())};
  full.insert(full.end(), shape.begin(), shape.end());
  at::Tensor result = at::empty(full, at::kFloat);
  for (size_t i = 0; i < positions.size(); ++i)
    fill_normal_row(result, int64_t(i), {seed, uint64_t(positions[i]), purpose});
  return result;
}

diffusion::LatentMoments moments_of(const DiffusionSetting& setting, const data::Batch& batch) {
  return {.mean = nn::on_device(batch.mean, setting.device),
          .log_var = nn::on_device(batch.log_var, setting.device),
          .shift = setting.codec->shift(),
          .scale = setting.codec->scale()};
}

diffusion::DrawnNoise noise_of(const DiffusionDraw& draw, at::Device device) {
  if (!draw.noise.defined())
    return {
        .noise = {}, .posterior = {}, .seed = draw.seed, .positions = nn::on_device(draw.positions, device)};
  return {.noise = nn::on_device(draw.noise, device), .posterior = nn::on_device(draw.posterior, device)};
}

// Of one sample of the batch.
at::IntArrayRef latent_shape_of(const data::Batch& batch) {
  return batch.mean.defined() ? batch.mean.sizes().slice(1) : at::IntArrayRef(batch.latent_shape);
}

DiffusionDraw held_out_draw(const DiffusionSetting& setting, const data::Batch& sample) {
  return held_out_inputs(setting.seed, sample.plan.rows.front(), sample.mean.sizes().slice(1),
                         setting.loss.num_steps());
}

// The batch's conditions on the device, captions in float32.
models::Condition condition_of(const data::Batch& batch, const DiffusionInputs& inputs, at::Device device) {
  const DiffusionDraw& draw = inputs.draw;
  models::Condition condition = models::moved({.label = batch.label,
                                               .caption = batch.caption,
                                               .mask = batch.mask,
                                               .layout = inputs.layout,
                                               .drop = draw.drop,
                                               .image_size = batch.image_size,
                                               .aspect_ratio = batch.aspect_ratio},
                                              device);
  if (condition.caption.defined()) condition.caption = condition.caption.to(at::kFloat);
  return condition;
}

// What prepare() added to the batch.
template <class Inputs>
const Inputs& inputs_in(const data::Batch& batch) {
  const auto* inputs = std::any_cast<Inputs>(&batch.inputs);
  PIXART_CHECK(inputs != nullptr, "a batch that was not prepared");
  return *inputs;
}

// Repeats the only sample of a batch for each held-out timestep.
data::Batch repeated(data::Batch batch) {
  for (at::Tensor* tensor : {&batch.mean, &batch.log_var, &batch.label, &batch.caption, &batch.mask,
                             &batch.image_size, &batch.aspect_ratio})
    if (tensor->defined()) *tensor = tensor->repeat_interleave(kHeldOutTimesteps, 0);
  return batch;
}

}  // namespace

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

at::Tensor diffusion_losses(const diffusion::LossTables& tables, const diffusion::Denoiser& model,
                            const at::Tensor& x_start, const at::Tensor& noise, const at::Tensor& t) {
  return diffusion::published_losses(tables, model, x_start, noise, t);
}

at::Tensor diffusion_loss(const diffusion::LossTables& tables, const diffusion::Denoiser& model,
                          const at::Tensor& x_start, const at::Tensor& noise, const at::Tensor& t) {
  return diffusion_losses(tables, model, x_start, noise, t).mean();
}

DiffusionInputs DiffusionObjective::inputs_of(const data::Batch& batch, DiffusionDraw draw) const {
  DiffusionInputs inputs{std::move(draw), {}};
  if (batch.mask.defined()) inputs.layout = nn::text_layout(batch.mask, batch.mask.size(0), setting_.device);
  return inputs;
}

void DiffusionObjective::prepare(data::Batch& batch) const {
  DiffusionInputs inputs = inputs_of(batch, setting_.draw(batch));
  auto& [draw, layout] = inputs;
  for (at::Tensor* tensor : {&draw.noise, &draw.posterior, &draw.t, &draw.drop, &draw.positions,
                             &layout.source, &layout.slot, &layout.mask})
    *tensor = nn::ready_for(*tensor, setting_.device);
  batch.inputs = std::move(inputs);
}

at::Tensor DiffusionObjective::loss(const data::Batch& batch) {
  return losses(batch, inputs_in<DiffusionInputs>(batch), true).mean();
}

at::Tensor DiffusionObjective::held_out_losses(const data::Batch& sample) {
  const data::Batch batch = repeated(sample);
  return losses(batch, inputs_of(batch, held_out_draw(setting_, sample)), false);
}

at::Tensor DiffusionObjective::losses(const data::Batch& samples, const DiffusionInputs& inputs,
                                      bool weighted) const {
  const auto device = setting_.device;
  const data::Batch batch = setting_.encode(samples);
  const DiffusionDraw& draw = inputs.draw;
  const models::Condition condition = condition_of(batch, inputs, device);
  const auto model = [&](const at::Tensor& x, const at::Tensor& t) {
    return model_.forward(x, t, condition);
  };
  const at::Tensor t = nn::on_device(draw.t, device);
  const auto noisy = setting_.loss.noised(moments_of(setting_, batch), noise_of(draw, device), t);
  return weighted ? setting_.loss.losses(model, noisy, t) : setting_.loss.unweighted_losses(model, noisy, t);
}

void AutoencoderObjective::prepare(data::Batch& batch) const {
  const models::VaeConfig& config = model_.config();
  const auto& positions = batch.plan.positions;
  const int64_t height = batch.image.size(2) / config.downscale(),
                width = batch.image.size(3) / config.downscale();
  const at::Tensor noise =
      noise_from_ == NoiseFrom::kDevice
          ? at::tensor(positions, at::kLong)
          : batch_normal(seed_, positions, Purpose::kPosterior, {config.latent_channels, height, width});
  batch.inputs = nn::ready_for(noise, device_);
  batch.image = nn::ready_for(batch.image, device_);
}

at::Tensor AutoencoderObjective::noise_for(const data::Batch& batch, const at::Tensor& mean) const {
  const at::Tensor given = nn::on_device(inputs_in<at::Tensor>(batch), device_);
  if (noise_from_ == NoiseFrom::kHost) return given;
  return diffusion::normals_on_device(seed_, given, Purpose::kPosterior, mean.sizes().slice(1));
}

at::Tensor AutoencoderObjective::loss(const data::Batch& batch) {
  const at::Tensor image = features::to_unit_range(nn::on_device(batch.image, device_));
  const models::Moments moments = model_.encode(image);
  return loss_of(image, moments, noise_for(batch, moments.mean));
}

at::Tensor AutoencoderObjective::held_out_losses(const data::Batch& sample) {
  const at::Tensor image = features::to_unit_range(sample.image.to(device_));
  const auto moments = model_.encode(image);
  return loss_of(image, moments, at::zeros_like(moments.mean)).view({1});
}

at::Tensor AutoencoderObjective::loss_of(const at::Tensor& image, const models::Moments& moments,
                                         const at::Tensor& noise) const {
  const at::Tensor decoded = model_.decode(moments.mean + (0.5 * moments.log_var).exp() * noise);
  const at::Tensor difference = decoded - image;
  const at::Tensor kl = 0.5 * (moments.mean.square() + moments.log_var.exp() - 1.0 - moments.log_var).mean();
  return difference.abs().mean() + difference.square().mean() + kl_weight_ * kl;
}

}  // namespace pixart::train

#include "pixart/train/objectives.h"

#include <ATen/ATen.h>

#include "pixart/base/random.h"

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

at::Tensor rows_of(const at::Tensor& table, const std::vector<int64_t>& rows) {
  return table.index_select(0, at::tensor(rows, at::kLong));
}

// Draws the latents of a micro-batch from their moments and normalises them.
at::Tensor draw_latents(const DiffusionData& data, const std::vector<int64_t>& rows,
                        const at::Tensor& posterior) {
  const at::Tensor sample = rows_of(data.latents.mean, rows) + rows_of(data.latents.std, rows) * posterior;
  return data.codec->normalize(sample.to(data.device));
}

}  // namespace

DiffusionDraw draw_diffusion_inputs(uint64_t seed, const std::vector<int64_t>& positions,
                                    at::IntArrayRef latent_shape, int64_t num_steps,
                                    double condition_dropout) {
  const int64_t count = int64_t(positions.size());
  DiffusionDraw draw{batch_normal(seed, positions, Purpose::kNoise, latent_shape),
                     batch_normal(seed, positions, Purpose::kPosterior, latent_shape),
                     at::empty({count}, at::kLong), at::empty({count}, at::kLong)};
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t position = uint64_t(positions[size_t(i)]);
    draw.t.data_ptr<int64_t>()[i] =
        int64_t(uniform_below({seed, position, Purpose::kTimestep}, uint64_t(num_steps)));
    draw.drop.data_ptr<int64_t>()[i] =
        uniform({seed, position, Purpose::kDropout}) < condition_dropout ? 1 : 0;
  }
  return draw;
}

at::Tensor diffusion_loss(const diffusion::LossTables& tables, const diffusion::Denoiser& model,
                          const at::Tensor& x_start, const at::Tensor& noise, const at::Tensor& t) {
  const at::Tensor x_t = diffusion::add_noise(tables, x_start, noise, t);
  const at::Tensor output = model(x_t, diffusion::model_timestep(tables, t));
  return diffusion::iddpm_loss(tables, {}, output, x_start, x_t, noise, t).loss.mean();
}

at::Tensor ClassConditionalObjective::loss(const MicroBatch& batch) {
  const auto draw = draw_diffusion_inputs(data_.seed, batch.positions, data_.latents.mean.sizes().slice(1),
                                          data_.tables.schedule().num_steps(), data_.condition_dropout);
  at::Tensor label = at::empty({int64_t(batch.rows.size())}, at::kLong);
  for (size_t i = 0; i < batch.rows.size(); ++i)
    label.data_ptr<int64_t>()[i] = labels_[size_t(batch.rows[i])];
  label.masked_fill_(draw.drop.to(at::kBool), model_.config().num_classes);
  label = label.to(data_.device);
  const at::Tensor x_start = draw_latents(data_, batch.rows, draw.posterior);
  const auto model = [&](const at::Tensor& x, const at::Tensor& t) { return model_.forward(x, t, label); };
  return diffusion_loss(data_.tables, model, x_start, draw.noise.to(data_.device), draw.t.to(data_.device));
}

at::Tensor TextConditionalObjective::loss(const MicroBatch& batch) {
  const auto draw = draw_diffusion_inputs(data_.seed, batch.positions, data_.latents.mean.sizes().slice(1),
                                          data_.tables.schedule().num_steps(), data_.condition_dropout);
  const auto text = captions_.batch(batch.rows);
  models::TextCondition condition{.caption = text.features.to(data_.device),
                                  .mask = text.mask.to(data_.device),
                                  .drop = draw.drop.to(data_.device),
                                  .image_size = {},
                                  .aspect_ratio = {}};
  if (model_.config().multi_scale) {
    condition.image_size = rows_of(data_.latents.original_sizes, batch.rows).to(data_.device);
    condition.aspect_ratio =
        at::ones({int64_t(batch.rows.size()), 1}, condition.image_size.options());  // of the square crop
  }
  const at::Tensor x_start = draw_latents(data_, batch.rows, draw.posterior);
  const auto model = [&](const at::Tensor& x, const at::Tensor& t) {
    return model_.forward(x, t, condition);
  };
  return diffusion_loss(data_.tables, model, x_start, draw.noise.to(data_.device), draw.t.to(data_.device));
}

at::Tensor AutoencoderObjective::loss(const MicroBatch& batch) {
  const at::Tensor image = pictures_.batch(batch.rows).to(device_);
  const auto moments = model_.encode(image);
  const at::Tensor noise =
      batch_normal(seed_, batch.positions, Purpose::kPosterior, moments.mean.sizes().slice(1)).to(device_);
  const at::Tensor decoded = model_.decode(moments.mean + (0.5 * moments.log_var).exp() * noise);
  const at::Tensor difference = decoded - image;
  const at::Tensor kl = 0.5 * (moments.mean.square() + moments.log_var.exp() - 1.0 - moments.log_var).mean();
  return difference.abs().mean() + difference.square().mean() + kl_weight_ * kl;
}

}  // namespace pixart::train

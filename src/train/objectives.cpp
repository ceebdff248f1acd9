#include "pixart/train/objectives.h"

#include <ATen/ATen.h>

#include <limits>

#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/features/image_reader.h"
#include "pixart/nn/device.h"
#include "random_inputs.h"

namespace pixart::train {

namespace {

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

DiffusionDraw held_out_draw(const DiffusionSetting& setting, const data::Batch& sample) {
  DiffusionDraw draw = held_out_inputs(setting.seed, sample.plan.rows.front(), sample.mean.sizes().slice(1),
                                       setting.num_steps());
  if (setting.distillation)
    draw.guidance = at::full({draw.t.size(0)}, setting.distillation->held_out_guidance, at::kFloat);
  return draw;
}

// The batch's conditions on the device, captions in float32.
models::Condition condition_of(const data::Batch& batch, const DiffusionInputs& inputs, at::Device device,
                               const features::LatentCodec& codec) {
  const DiffusionDraw& draw = inputs.draw;
  models::Condition condition = models::moved({.label = batch.label,
                                               .caption = batch.caption,
                                               .mask = batch.mask,
                                               .layout = inputs.layout,
                                               .drop = draw.drop,
                                               .image_size = batch.image_size,
                                               .aspect_ratio = batch.aspect_ratio},
                                              device);
  if (batch.control.defined()) condition.control = codec.normalize(nn::on_device(batch.control, device));
  return condition;
}

// [B, C, H, W] -> [B, C, K, p * p]: the patches of these tokens.
at::Tensor patches_of(const at::Tensor& latent, const at::Tensor& kept, int64_t patch) {
  const at::Tensor all =
      latent.unflatten(3, {-1, patch}).unflatten(2, {-1, patch}).transpose(3, 4).flatten(4, 5).flatten(2, 3);
  return all.gather(2, kept.unsqueeze(1).unsqueeze(3).expand({-1, all.size(1), -1, all.size(3)}));
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
                             &batch.image_size, &batch.aspect_ratio, &batch.control})
    if (tensor->defined()) *tensor = tensor->repeat_interleave(kHeldOutTimesteps, 0);
  return batch;
}

}  // namespace

at::Tensor diffusion_losses(const diffusion::LossTables& tables, const diffusion::Denoiser& model,
                            const at::Tensor& x_start, const at::Tensor& noise, const at::Tensor& t) {
  return diffusion::published_losses(tables, model, x_start, noise, t);
}

at::Tensor diffusion_loss(const diffusion::LossTables& tables, const diffusion::Denoiser& model,
                          const at::Tensor& x_start, const at::Tensor& noise, const at::Tensor& t) {
  return diffusion_losses(tables, model, x_start, noise, t).mean();
}

WeighSamples weights_by_part(const features::StageParts& parts, const std::vector<double>& weights) {
  if (weights.empty()) return {};
  return [parts, weights](const data::Batch& batch) {
    std::vector<float> result;
    for (const int64_t row : batch.plan.rows)
      result.push_back(float(weights[features::part_of(parts, row).first]));
    return at::tensor(result);
  };
}

DiffusionInputs DiffusionObjective::inputs_of(const data::Batch& batch, DiffusionDraw draw) const {
  DiffusionInputs inputs{.draw = std::move(draw), .layout = {}};
  if (batch.mask.defined()) inputs.layout = nn::text_layout(batch.mask, batch.mask.size(0), setting_.device);
  return inputs;
}

void DiffusionObjective::prepare(data::Batch& batch) const {
  DiffusionInputs inputs = inputs_of(batch, setting_.draw(batch));
  if (setting_.weigh) inputs.weights = setting_.weigh(batch);
  auto& [draw, layout, weights] = inputs;
  for (at::Tensor* tensor :
       {&draw.noise, &draw.posterior, &draw.t, &draw.drop, &draw.positions, &draw.kept, &draw.guidance,
        &layout.source, &layout.slot, &layout.mask, &layout.bounds, &weights})
    *tensor = nn::ready_for(*tensor, setting_.device);
  batch.inputs = std::move(inputs);
}

std::vector<std::string> DiffusionObjective::recorded_names() const {
  if (setting_.alignment.projection == nullptr) return {};
  return {"alignment_loss"};
}

at::Tensor DiffusionObjective::loss(const data::Batch& samples) {
  const auto& inputs = inputs_in<DiffusionInputs>(samples);
  const data::Batch batch = setting_.encode(samples);
  const auto& alignment = setting_.alignment;
  Blocks blocks;
  const bool aligns = alignment.at_step(batch.plan.step);
  const at::Tensor loss = losses(batch, inputs, true, aligns ? &blocks : nullptr).mean();
  if (alignment.projection != nullptr)
    recorded_ = at::full({1}, std::numeric_limits<double>::quiet_NaN(),
                         at::TensorOptions(at::kDouble).device(setting_.device));
  if (!aligns) return loss;
  const at::Tensor own = alignment_loss(batch, inputs.draw, blocks);
  recorded_ = own.detach().to(at::kDouble).view({1});
  return loss + alignment.config.weight * own;
}

at::Tensor DiffusionObjective::alignment_loss(const data::Batch& batch, const DiffusionDraw& draw,
                                              const Blocks& blocks) const {
  const auto& [config, projection, dtype] = setting_.alignment;
  const auto latent = batch.mean.sizes();
  const int64_t patch = model_.config().shape().patch_size;
  PIXART_CHECK(batch.teacher.defined(), "step {}: no features of the teacher", batch.plan.step);
  at::Tensor features = models::features_on_grid(nn::on_device(batch.teacher, setting_.device),
                                                 latent[2] / patch, latent[3] / patch);
  const at::Tensor& tokens = blocks.at(size_t(config.block));
  if (tokens.size(1) < features.size(1)) {  // some skip the block
    const at::Tensor kept = nn::on_device(draw.kept, setting_.device).unsqueeze(2);
    features = features.gather(1, kept.expand({-1, -1, features.size(2)}));
  }
  const at::Tensor projected = (*projection)(tokens.to(dtype.value_or(at::kFloat)));
  return models::alignment_losses(projected, features).mean();
}

at::Tensor DiffusionObjective::held_out_losses(const data::Batch& sample) {
  const data::Batch batch = repeated(sample);
  return losses(setting_.encode(batch), inputs_of(batch, held_out_draw(setting_, sample)), false);
}

at::Tensor DiffusionObjective::losses(const data::Batch& batch, const DiffusionInputs& inputs, bool weighted,
                                      Blocks* blocks) const {
  const auto device = setting_.device;
  const DiffusionDraw& draw = inputs.draw;
  const models::Condition condition = condition_of(batch, inputs, device, *setting_.codec);
  const auto model = [&](const at::Tensor& x, const at::Tensor& time) {
    return model_.forward(x, time, condition, blocks);
  };
  const at::Tensor t = nn::on_device(draw.t, device);
  const auto noisy = setting_.loss.noised(moments_of(setting_, batch), noise_of(draw, device), t);
  const at::Tensor each = setting_.distillation ? distilled_losses(condition, noisy, draw)
                          : draw.kept.defined() ? losses_of_kept(condition, noisy, draw, blocks)
                          : weighted            ? setting_.loss.losses(model, noisy, t)
                                                : setting_.loss.unweighted_losses(model, noisy, t);
  return inputs.weights.defined() ? each * nn::on_device(inputs.weights, device) : each;
}

// Of a step in which image tokens skip blocks.
at::Tensor DiffusionObjective::losses_of_kept(const models::Condition& condition,
                                              const diffusion::NoisyLatents& noisy, const DiffusionDraw& draw,
                                              Blocks* blocks) const {
  const auto& skipped = setting_.skipped;
  const at::Tensor kept = nn::on_device(draw.kept, setting_.device),
                   t = nn::on_device(draw.t, setting_.device);
  const models::Transformer model = model_.along({.kept = kept, .from = skipped.from, .to = skipped.to});
  const auto whole = [&](const at::Tensor& x, const at::Tensor& time) {
    return model.forward(x, time, condition, blocks);
  };
  if (!skipped.loss_of_kept) return setting_.loss.losses(whole, noisy, t);
  // The loss sees the patches of the kept tokens alone; the model sees the whole noisy latent.
  const auto part = [&](const at::Tensor& latent) {
    return patches_of(latent, kept, model_.config().shape().patch_size);
  };
  const auto model_of_part = [&](const at::Tensor&, const at::Tensor& time) {
    return part(whole(noisy.x_t, time));
  };
  return setting_.loss.losses(model_of_part,
                              {.x_start = part(noisy.x_start),
                               .noise = part(noisy.noise),
                               .x_t = part(noisy.x_t),
                               .timestep = noisy.timestep},
                              t);
}

// A dropped condition is the null condition for all three networks.
at::Tensor DiffusionObjective::distilled_losses(const models::Condition& condition,
                                                const diffusion::NoisyLatents& noisy,
                                                const DiffusionDraw& draw) const {
  const auto& [teacher, target, loss, held_out_guidance] = *setting_.distillation;
  const models::Condition both = models::joined(condition, teacher->null_of(condition));
  const auto with = [](const models::Transformer& network, const models::Condition& its) {
    return [&network, &its](const at::Tensor& x, const at::Tensor& t) { return network.forward(x, t, its); };
  };
  const auto there = [&](const at::Tensor& tensor) { return nn::on_device(tensor, setting_.device); };
  return loss.losses({.student = with(model_, condition),
                      .teacher_pair = with(*teacher, both),
                      .target = with(*target, condition)},
                     noisy.x_start, noisy.noise, there(draw.t), there(draw.guidance));
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

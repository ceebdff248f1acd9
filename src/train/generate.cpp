#include "pixart/train/generate.h"

#include <ATen/ATen.h>

#include <functional>

#include "pixart/base/random.h"
#include "pixart/data/transform.h"
#include "pixart/diffusion/samplers.h"

namespace pixart::train {

namespace {

constexpr int64_t kTrainSteps = 1000;

// Builds the denoiser of pictures first .. first + count - 1; guided ones get both halves in one call.
using MakeDenoiser = std::function<diffusion::Denoiser(int64_t first, int64_t count, bool guided)>;

struct LatentSpec {
  int64_t channels, side;
  bool learn_sigma;
};

at::Tensor noise_of(const GenerateOptions& options, int64_t first, int64_t count, const LatentSpec& spec,
                    Purpose purpose, int64_t step) {
  at::Tensor noise = at::empty({count, spec.channels, spec.side, spec.side}, at::kFloat);
  const size_t size = size_t(noise.numel() / count);
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t stream =
        uint64_t(options.first_index + first + i) * (kTrainSteps + 1) + uint64_t(step + 1);
    fill_normal({options.seed, stream, purpose}, {noise.data_ptr<float>() + size_t(i) * size, size});
  }
  return noise;
}

std::vector<Image> generate_batches(const MakeDenoiser& make, int64_t total, const LatentSpec& spec,
                                    const LatentCodec& codec, at::Device device,
                                    const GenerateOptions& options) {
  at::NoGradGuard no_grad;
  std::vector<Image> images;
  const bool guided = options.guidance != 1.0;
  for (int64_t first = 0; first < total; first += options.batch_size) {
    const int64_t count = std::min(options.batch_size, total - first);
    diffusion::Denoiser denoiser = make(first, count, guided);
    if (guided)
      denoiser = diffusion::guide(denoiser, options.guidance,
                                  diffusion::guided_channels(options.sampler, spec.channels));
    const auto noise = [&](int64_t step) {
      return noise_of(options, first, count, spec, Purpose::kSamplerNoise, step).to(device);
    };
    at::Tensor latent = noise_of(options, first, count, spec, Purpose::kSampling, -1).to(device);
    latent = diffusion::sample({options.sampler, options.num_steps}, denoiser, kTrainSteps, spec.learn_sigma,
                               latent, noise);
    for (auto& image : decode_images(codec, latent)) images.push_back(std::move(image));
  }
  return images;
}

at::Tensor twice(const at::Tensor& tensor) { return at::cat({tensor, tensor}); }

}  // namespace

std::vector<Image> decode_images(const LatentCodec& codec, const at::Tensor& latents) {
  at::NoGradGuard no_grad;
  const at::Tensor pixels = codec.decode(latents).cpu();
  std::vector<Image> images;
  for (int64_t i = 0; i < pixels.size(0); ++i) images.push_back(data::to_image(pixels[i]));
  return images;
}

std::vector<Image> generate(const models::PixArt& model, const LatentCodec& codec, const EncodedText& text,
                            int64_t latent_side, at::Device device, const GenerateOptions& options) {
  const auto& config = model.config();
  const MakeDenoiser make = [&](int64_t first, int64_t count, bool guided) -> diffusion::Denoiser {
    models::TextCondition condition;
    condition.caption = text.features.narrow(0, first, count).to(device);
    condition.mask = text.mask.narrow(0, first, count).to(device);
    if (guided) {
      condition.caption =
          at::cat({condition.caption, model.null_caption().unsqueeze(0).expand_as(condition.caption)});
      condition.mask = twice(condition.mask);
    }
    if (config.multi_scale) {
      const int64_t rows = condition.caption.size(0);
      condition.image_size =
          at::full({rows, 2}, double(latent_side * codec.config().downscale()), condition.caption.options());
      condition.aspect_ratio = at::ones({rows, 1}, condition.caption.options());
    }
    return [&model, condition](const at::Tensor& x, const at::Tensor& t) {
      return model.forward(x, t, condition);
    };
  };
  return generate_batches(make, text.features.size(0), {config.in_channels, latent_side, config.learn_sigma},
                          codec, device, options);
}

std::vector<Image> generate(const models::Dit& model, const LatentCodec& codec,
                            const std::vector<int64_t>& labels, at::Device device,
                            const GenerateOptions& options) {
  const auto& config = model.config();
  const at::Tensor all = at::tensor(labels, at::kLong);
  const MakeDenoiser make = [&](int64_t first, int64_t count, bool guided) -> diffusion::Denoiser {
    at::Tensor label = all.narrow(0, first, count).to(device);
    if (guided) label = at::cat({label, at::full_like(label, config.num_classes)});
    return [&model, label](const at::Tensor& x, const at::Tensor& t) { return model.forward(x, t, label); };
  };
  return generate_batches(make, int64_t(labels.size()),
                          {config.in_channels, config.input_size, config.learn_sigma}, codec, device,
                          options);
}

}  // namespace pixart::train

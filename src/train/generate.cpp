#include "pixart/train/generate.h"

#include <ATen/ATen.h>

#include <functional>

#include "pixart/base/random.h"
#include "pixart/data/transform.h"
#include "pixart/diffusion/samplers.h"

namespace pixart::train {

namespace {

constexpr int64_t kTrainSteps = 1000;
constexpr int64_t kPixelsAtOnce = 512 * 512;  // of decoded pictures

// Builds the denoiser of pictures first .. first + count - 1; guided ones get both halves in one call.
using MakeDenoiser = std::function<diffusion::Denoiser(int64_t first, int64_t count, bool guided)>;

struct LatentSpec {
  int64_t channels, height, width;
  bool learn_sigma;
};

at::Tensor noise_of(const GenerateOptions& options, int64_t first, int64_t count, const LatentSpec& spec,
                    Purpose purpose, int64_t step) {
  at::Tensor noise = at::empty({count, spec.channels, spec.height, spec.width}, at::kFloat);
  const size_t size = size_t(noise.numel() / count);
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t stream =
        uint64_t(options.first_index + first + i) * (kTrainSteps + 1) + uint64_t(step + 1);
    fill_normal({options.seed, stream, purpose}, {noise.data_ptr<float>() + size_t(i) * size, size});
  }
  return noise;
}

// Thrown through a sampler to end it; never leaves this file.
struct AskedToStop {};

// Adds the pictures of each batch to `images`.
void draw_batches(const MakeDenoiser& make, int64_t total, const LatentSpec& spec, const LatentCodec& codec,
                  at::Device device, const GenerateOptions& options, std::vector<Image>& images) {
  const bool guided = options.guidance != 1.0;
  const int64_t batch_size = options.one_by_one ? 1 : options.batch_size;
  const auto check = [&options] {
    if (options.asked_to_stop()) throw AskedToStop();
  };
  for (int64_t first = 0; first < total; first += batch_size) {
    const int64_t count = std::min(batch_size, total - first);
    diffusion::Denoiser denoiser = make(first, count, guided);
    if (guided)
      denoiser = diffusion::guide(denoiser, options.guidance,
                                  diffusion::guided_channels(options.sampler, spec.channels));
    const auto noise = [&](int64_t step) {
      return noise_of(options, first, count, spec, Purpose::kSamplerNoise, step).to(device);
    };
    const auto checked = [&](const at::Tensor& x, const at::Tensor& t) {
      check();
      return denoiser(x, t);
    };
    at::Tensor latent = noise_of(options, first, count, spec, Purpose::kSampling, -1).to(device);
    latent = diffusion::sample({options.sampler, options.num_steps}, checked, kTrainSteps, spec.learn_sigma,
                               latent, noise);
    for (auto& image : decode_images(codec, latent, options.decode_tile, check))
      images.push_back(std::move(image));
    if (options.progress) options.progress(int64_t(images.size()));
  }
}

std::vector<Image> generate_batches(const MakeDenoiser& make, int64_t total, const LatentSpec& spec,
                                    const LatentCodec& codec, at::Device device,
                                    const GenerateOptions& options) {
  at::NoGradGuard no_grad;
  std::vector<Image> images;
  try {
    draw_batches(make, total, spec, codec, device, options, images);
  } catch (const AskedToStop&) {
  }
  return images;
}

// Weights [size] that fall to the borders of a tile over `ramp` elements, where another tile lies beyond
// them.
at::Tensor blend_weights(int64_t size, int64_t ramp, bool before, bool after) {
  at::Tensor weights = at::ones({size});
  const at::Tensor rising = (at::arange(ramp, at::kFloat) + 0.5) / double(ramp);
  if (before) weights.narrow(0, 0, ramp).copy_(rising);
  if (after) weights.narrow(0, size - ramp, ramp).mul_(rising.flip(0));
  return weights;
}

// Where tiles of `tile` begin that cover `size` and overlap by a quarter at least.
std::vector<int64_t> tile_starts(int64_t size, int64_t tile) {
  std::vector<int64_t> starts = {0};
  while (starts.back() + tile < size)
    starts.push_back(std::min(starts.back() + tile - tile / 4, size - tile));
  return starts;
}

// latent [1, C, h, w]
at::Tensor decode_in_tiles(const LatentCodec& codec, const at::Tensor& latent, int64_t tile) {
  const int64_t scale = codec.config().downscale(), height = latent.size(2), width = latent.size(3),
                rows = std::min(tile, height), cols = std::min(tile, width), ramp = tile / 4 * scale;
  at::Tensor sum = at::zeros({1, 3, height * scale, width * scale}),
             weight = at::zeros({height * scale, width * scale});
  for (const int64_t y : tile_starts(height, rows)) {
    for (const int64_t x : tile_starts(width, cols)) {
      const at::Tensor decoded = codec.decode(latent.narrow(2, y, rows).narrow(3, x, cols)).cpu();
      const at::Tensor weights = blend_weights(rows * scale, ramp, y > 0, y + rows < height).unsqueeze(1) *
                                 blend_weights(cols * scale, ramp, x > 0, x + cols < width).unsqueeze(0);
      const auto place = [&](const at::Tensor& whole) {
        return whole.narrow(-2, y * scale, rows * scale).narrow(-1, x * scale, cols * scale);
      };
      place(sum).add_(decoded * weights);
      place(weight).add_(weights);
    }
  }
  return sum / weight;
}

at::Tensor twice(const at::Tensor& tensor) { return at::cat({tensor, tensor}); }

}  // namespace

std::vector<Image> decode_images(const LatentCodec& codec, const at::Tensor& latents, int64_t tile,
                                 const std::function<void()>& before_each) {
  at::NoGradGuard no_grad;
  const int64_t side = std::max(latents.size(2), latents.size(3)), scale = codec.config().downscale(),
                pixels = latents.size(2) * latents.size(3) * scale * scale;
  const bool in_tiles = tile > 0 && side > tile;
  const int64_t at_once = in_tiles ? 1 : std::max<int64_t>(1, kPixelsAtOnce / pixels);
  std::vector<Image> images;
  for (int64_t first = 0; first < latents.size(0); first += at_once) {
    before_each();
    const at::Tensor some = latents.narrow(0, first, std::min(at_once, latents.size(0) - first));
    const at::Tensor decoded = in_tiles ? decode_in_tiles(codec, some, tile) : codec.decode(some).cpu();
    for (int64_t i = 0; i < decoded.size(0); ++i) images.push_back(data::to_image(decoded[i]));
  }
  return images;
}

namespace {

// The caption's features and mask, and where it is guided those of the null condition.
models::TextCondition condition_of(const models::PixArt& model, const TextToDraw& text, int64_t first,
                                   int64_t count, bool guided) {
  const auto device = model.null_caption().device();
  models::TextCondition condition;
  condition.caption = text.captions.features.narrow(0, first, count).to(device);
  condition.mask = text.captions.mask.narrow(0, first, count).to(device);
  if (!guided) return condition;
  if (text.negative.features.defined()) {
    condition.caption =
        at::cat({condition.caption, text.negative.features.to(device).expand_as(condition.caption)});
    condition.mask = at::cat({condition.mask, text.negative.mask.to(device).expand_as(condition.mask)});
  } else {
    condition.caption =
        at::cat({condition.caption, model.null_caption().unsqueeze(0).expand_as(condition.caption)});
    condition.mask = twice(condition.mask);
  }
  return condition;
}

}  // namespace

std::vector<Image> generate(const models::PixArt& model, const LatentCodec& codec, const TextToDraw& text,
                            at::Device device, const GenerateOptions& options) {
  const auto& config = model.config();
  const LatentSpec spec{.channels = config.in_channels,
                        .height = text.latent_height > 0 ? text.latent_height : config.input_size,
                        .width = text.latent_width > 0 ? text.latent_width : config.input_size,
                        .learn_sigma = config.learn_sigma};
  const MakeDenoiser make = [&](int64_t first, int64_t count, bool guided) -> diffusion::Denoiser {
    models::TextCondition condition = condition_of(model, text, first, count, guided);
    if (config.multi_scale) {
      const auto rows = condition.caption.size(0), scale = codec.config().downscale();
      condition.image_size =
          at::tensor({double(spec.height * scale), double(spec.width * scale)}, condition.caption.options())
              .repeat({rows, 1});
      condition.aspect_ratio = at::full({rows, 1}, text.aspect_ratio, condition.caption.options());
    }
    return [&model, condition](const at::Tensor& x, const at::Tensor& t) {
      return model.forward(x, t, condition);
    };
  };
  return generate_batches(make, text.captions.features.size(0), spec, codec, device, options);
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
                          {config.in_channels, config.input_size, config.input_size, config.learn_sigma},
                          codec, device, options);
}

}  // namespace pixart::train

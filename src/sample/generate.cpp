#include "pixart/sample/generate.h"

#include <ATen/ATen.h>

#include <functional>

#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/data/transform.h"
#include "pixart/diffusion/samplers.h"
#include "pixart/nn/device.h"

namespace pixart::sample {

namespace {

constexpr int64_t kPixelsAtOnce = 512 * 512;  // of images that are decoded together
// Larger images are decoded in tiles of this side, which diffusers takes for the SDXL autoencoder.
constexpr int64_t kMostPixelsWhole = 1536 * 1536, kTileSize = 1024;
constexpr int64_t kSharesOfATile = 4;  // neighbours have one of them in common

// Makes the denoiser of images first .. first + count - 1; a guided one answers for both conditions of each.
using MakeDenoiser = std::function<diffusion::Denoiser(int64_t first, int64_t count, bool guided)>;

struct LatentSpec {
  int64_t channels, height, width;
  bool learn_sigma;
  diffusion::Process process;
};

at::Tensor noise_of(const GenerateOptions& options, int64_t first, int64_t count, const LatentSpec& spec,
                    Purpose purpose, int64_t step) {
  at::Tensor noise = at::empty({count, spec.channels, spec.height, spec.width}, at::kFloat);
  const size_t size = size_t(noise.numel() / count);
  for (int64_t i = 0; i < count; ++i) {
    const NoiseKey key = options.noise_key ? options.noise_key(first + i)
                                           : NoiseKey{options.seed, options.first_index + first + i};
    const uint64_t stream = uint64_t(key.index) * (spec.process.num_train_steps + 1) + uint64_t(step + 1);
    fill_normal({key.seed, stream, purpose}, {noise.data_ptr<float>() + size_t(i) * size, size});
  }
  return noise;
}

// Thrown through a sampler to end it, and caught in this file.
struct AskedToStop {};

using Take = std::function<void(Image)>;

void decode_each(const features::LatentCodec& codec, const at::Tensor& latents,
                 std::optional<int64_t> tile_size, const std::function<void()>& before_each,
                 const Take& take);

void draw_batches(const MakeDenoiser& make, int64_t total, const LatentSpec& spec,
                  const features::LatentCodec& codec, at::Device device, const GenerateOptions& options,
                  const Take& take) {
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
      return nn::on_device(noise_of(options, first, count, spec, Purpose::kSamplerNoise, step), device);
    };
    const auto checked = [&](const at::Tensor& x, const at::Tensor& t) {
      check();
      return denoiser(x, t);
    };
    at::Tensor latent = nn::on_device(noise_of(options, first, count, spec, Purpose::kSampling, -1), device);
    latent = diffusion::sample(options, checked, spec.process, spec.learn_sigma, latent, noise);
    decode_each(codec, latent, options.tile_size, check, take);
  }
}

std::vector<Image> generate_batches(const MakeDenoiser& make, int64_t total, const LatentSpec& spec,
                                    const features::LatentCodec& codec, at::Device device,
                                    const GenerateOptions& options) {
  at::NoGradGuard no_grad;
  std::vector<Image> images;
  int64_t num_taken = 0;
  const Take take = [&](Image image) {
    if (options.take)
      options.take(num_taken++, image);
    else
      images.push_back(std::move(image));
  };
  try {
    draw_batches(make, total, spec, codec, device, options, take);
  } catch (const AskedToStop&) {
  }
  return images;
}

void decode_each(const features::LatentCodec& codec, const at::Tensor& latents,
                 std::optional<int64_t> tile_size, const std::function<void()>& before_each,
                 const Take& take) {
  at::NoGradGuard no_grad;
  const int64_t scale = codec.config().downscale(), height = latents.size(2) * scale,
                width = latents.size(3) * scale,
                tile = tile_size_of(tile_size, codec.config(), height, width),
                at_once = tile > 0 ? 1 : std::max<int64_t>(1, kPixelsAtOnce / (height * width));
  const models::Tiling tiling{.tile = tile / scale, .overlap = 1.0 / kSharesOfATile};
  for (int64_t first = 0; first < latents.size(0); first += at_once) {
    before_each();
    const at::Tensor some = latents.narrow(0, first, std::min(at_once, latents.size(0) - first));
    const at::Tensor decoded = (tile > 0 ? codec.decode(some, tiling) : codec.decode(some)).cpu();
    for (int64_t i = 0; i < decoded.size(0); ++i) take(data::to_image(decoded[i]));
  }
}

}  // namespace

int64_t tile_size_of(std::optional<int64_t> wanted, const models::VaeConfig& vae, int64_t height,
                     int64_t width) {
  const int64_t tile = wanted.value_or(height * width > kMostPixelsWhole ? kTileSize : 0),
                unit = kSharesOfATile * vae.downscale();
  if (tile % unit != 0)
    throw UserError(
        fmt::format("tile size {}: this autoencoder decodes in tiles whose side is a multiple of {} pixels; "
                    "give {}, or 0 for no tiles.",
                    tile, unit, (tile / unit + 1) * unit));
  return tile < std::max(height, width) ? tile : 0;
}

std::vector<Image> decode_images(const features::LatentCodec& codec, const at::Tensor& latents,
                                 std::optional<int64_t> tile_size, const std::function<void()>& before_each) {
  std::vector<Image> images;
  decode_each(codec, latents, tile_size, before_each,
              [&images](Image image) { images.push_back(std::move(image)); });
  return images;
}

models::Condition condition_of(const features::EncodedText& text) {
  return {.caption = text.features, .mask = text.mask};
}

models::Condition condition_of(const std::vector<int64_t>& labels) {
  return {.label = at::tensor(labels, at::kLong)};
}

namespace {

struct LatentSide {
  int64_t height, width;
};

// Rows [first, first + count) of the condition, followed by their null conditions if guided.
models::Condition condition_of(const models::Transformer& model, const ToDraw& what, const LatentSide& pixels,
                               int64_t first, int64_t count, bool guided, at::Device device) {
  models::Condition condition = models::moved(models::rows_of(what.condition, first, count), device);
  if (model.config().has_micro_conditions()) {
    const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
    condition.image_size =
        at::tensor({double(pixels.height), double(pixels.width)}, options).repeat({count, 1});
    condition.aspect_ratio = at::full({count, 1}, what.aspect_ratio, options);
  }
  if (!guided) return condition;
  models::Condition null = model.null_of(condition);
  if (what.negative.caption.defined()) {
    null.caption = nn::on_device(what.negative.caption, device).expand_as(condition.caption);
    null.mask = what.negative.mask.to(condition.mask.device()).expand_as(condition.mask);
  }
  return models::joined(condition, null);
}

int64_t num_rows(const models::Condition& condition) {
  return condition.label.defined() ? condition.label.size(0) : condition.caption.size(0);
}

}  // namespace

std::vector<Image> generate(const models::Transformer& model, const features::LatentCodec& codec,
                            const ToDraw& what, at::Device device, const GenerateOptions& options) {
  const auto& shape = model.config().shape();
  const LatentSpec spec{.channels = shape.in_channels,
                        .height = what.latent_height > 0 ? what.latent_height : shape.input_size,
                        .width = what.latent_width > 0 ? what.latent_width : shape.input_size,
                        .learn_sigma = shape.learn_sigma,
                        .process = what.process};
  const int64_t scale = codec.config().downscale();
  const LatentSide pixels{spec.height * scale, spec.width * scale};
  const MakeDenoiser make = [&](int64_t first, int64_t count, bool guided) -> diffusion::Denoiser {
    const models::Condition condition =
        model.prepared(condition_of(model, what, pixels, first, count, guided, device));
    return [&model, condition](const at::Tensor& x, const at::Tensor& t) {
      return model.forward(x, t, condition);
    };
  };
  return generate_batches(make, num_rows(what.condition), spec, codec, device, options);
}

}  // namespace pixart::sample

#include "drawn_networks.h"

#include <ATen/ATen.h>

#include "clip_metrics.h"
#include "pixart/base/error.h"
#include "resize.h"
#include "tensor_hash.h"

namespace pixart::score {

at::Tensor DrawnNetworks::features(const at::Tensor& batch) const {
  const at::NoGradGuard no_grad;
  const AllFloat32 all_float32;
  const at::Tensor rows = inception->network(batch).features.cpu();
  if (!rows.isfinite().all().item<bool>())
    throw UserError("FID's network's results are not finite: its weights are damaged, or others.",
                    ExitCode::kNumerics);
  return rows;
}

at::Tensor DrawnNetworks::embeddings(const at::Tensor& batch) const {
  const at::NoGradGuard no_grad;
  const AllFloat32 all_float32;
  return normalized_rows(clip->model->image_features(batch.to(device)));
}

DrawnNetworks open_networks(const DrawnScoresConfig& config, c10::Device device) {
  DrawnNetworks networks{.device = device};
  if (config.uses_inception()) networks.inception = open_inception(config.weights, device);
  if (!config.uses_clip()) return networks;
  networks.clip = models::load_clip(config.clip, device);
  formats::Sha256 hash;
  for (const auto& item : networks.clip->state->items()) add_tensor(hash, item.name, item.tensor);
  networks.clip_sha256 = hash.hex();
  return networks;
}

std::vector<float> inception_input(const Image& image, ResizeRule rule) {
  auto input = resized(image, rule);
  scale_for_network(input, rule);
  return input;
}

std::vector<float> clip_input(const Image& image, ClipPixels rule, int side) {
  return clip_input(clip_pixels(image, rule, side));
}

}  // namespace pixart::score

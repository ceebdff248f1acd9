#include "drawn_networks.h"

#include <ATen/ATen.h>

#include "clip_metrics.h"
#include "pixart/base/error.h"
#include "resize.h"
#include "tensor_hash.h"

namespace pixart::score {

namespace {

at::Tensor finite(const at::Tensor& rows, const char* network) {
  if (!rows.isfinite().all().item<bool>())
    throw UserError(fmt::format("{}'s results are not finite: its weights are damaged, or others.", network),
                    ExitCode::kNumerics);
  return rows;
}

}  // namespace

at::Tensor DrawnNetworks::features(const at::Tensor& batch) const {
  const at::NoGradGuard no_grad;
  const AllFloat32 all_float32;
  return finite(inception->network(batch).features.cpu(), "FID's network");
}

at::Tensor DrawnNetworks::embeddings(const at::Tensor& batch) const {
  const at::NoGradGuard no_grad;
  const AllFloat32 all_float32;
  return finite(normalized_rows(clip->model->image_features(batch.to(device))), "CLIP");
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

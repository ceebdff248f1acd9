#include "encoding_costs.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "element_sizes.h"
#include "pixart/features/batch_encoder.h"
#include "pixart/nn/dtype.h"
#include "pixart/nn/state_dict.h"
#include "pixart/plan/flops.h"

namespace pixart::plan {

namespace {

// Tensors of the size of the first layer's output while an autoencoder encodes.
constexpr double kWidestTensors = 3;
// Of a text encoder, for each token: the stream and its copies, and the three inner tensors of the MLP.
constexpr double kStreams = 6, kInnerTensors = 3;

bool is_half(const run::RunConfig& config, const models::T5Config& text_encoder) {
  if (config.text_encoder.dtype == run::EncoderDtype::kStored)
    return nn::dtype_called(text_encoder.dtype) != at::kFloat;
  return config.text_encoder.dtype == run::EncoderDtype::kBFloat16;
}

double weights_of(const models::T5Config& config) {
  nn::StateDict state({.device = at::kMeta});
  const models::T5Encoder encoder(nn::Scope(state), config);
  double numbers = 0;
  for (const auto& item : state.items()) numbers += double(item.tensor.numel());
  return numbers;
}

void add_captions(const run::RunConfig& config, const models::T5Config& t5, EncodingCosts& costs) {
  const bool half = is_half(config, t5);
  const double element = half ? kBfloat16 : kFloat, tokens = double(config.text_encoder.max_tokens);
  costs.caption_flops = text_encoder_flops(t5, config.text_encoder.max_tokens);
  costs.caption_precision = half ? run::Precision::kBFloat16 : run::Precision::kFloat32;
  costs.bytes = element * weights_of(t5);
  costs.caption_workspace =
      tokens * (kStreams * double(t5.d_model) * kFloat + kInnerTensors * double(t5.d_ff) * element) +
      double(t5.num_heads) * tokens * tokens * (kFloat + 2 * element);  // scores, in float32 for softmax
}

}  // namespace

double EncodingCosts::workspace(int64_t micro_batch) const {
  return std::max(double(std::min(micro_batch, features::kImagesTogether)) * image_workspace,
                  double(std::min(micro_batch, features::kCaptionsTogether)) * caption_workspace);
}

double EncodingCosts::seconds(const Gpu& gpu, double efficiency) const {
  return (image_flops / gpu.peak(run::Precision::kFloat32) + caption_flops / gpu.peak(caption_precision)) /
         efficiency;
}

EncodingCosts encoding_costs(const run::RunConfig& config, const run::StageConfig& stage,
                             const models::VaeConfig& vae, const models::T5Config& text_encoder) {
  EncodingCosts costs;
  if (!stage.info().trains_autoencoder() && !stage.reads_stored_latents()) {
    const double pixels = double(stage.resolution) * double(stage.resolution);
    costs.image_flops = autoencoder_cost(vae, stage.resolution).encode;
    costs.image_workspace = kWidestTensors * double(vae.block_out_channels.front()) * pixels * kFloat;
  }
  if (stage.info().reads_captions && !stage.reads_stored_captions())
    add_captions(config, text_encoder, costs);
  return costs;
}

}  // namespace pixart::plan

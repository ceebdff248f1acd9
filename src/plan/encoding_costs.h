// What it costs a stage to encode images and captions in its steps (stages[].encode).
#pragma once
#include <cstdint>

#include "pixart/models/t5.h"
#include "pixart/models/vae.h"
#include "pixart/plan/plan.h"

namespace pixart::plan {

struct EncodingCosts {
  double image_flops = 0;    // of an image, in float32
  double caption_flops = 0;  // of a caption, in the precision of the text encoder
  run::Precision caption_precision = run::Precision::kFloat32;
  double bytes = 0;  // of the text encoder's weights; the autoencoder is on the device in any case
  double image_workspace = 0, caption_workspace = 0;  // bytes, for one sample

  double flops() const { return image_flops + caption_flops; }
  double workspace(int64_t micro_batch) const;  // the most that encoding a micro-batch needs at a time
  // Of a sample on one device, if matrix products reach this share of its peak rate.
  double seconds(const Gpu& gpu, double efficiency) const;
};

// Captions count as max_tokens long, to which they are padded: on a GPU nearly.
EncodingCosts encoding_costs(const run::RunConfig& config, const run::StageConfig& stage,
                             const models::VaeConfig& vae, const models::T5Config& text_encoder);

}  // namespace pixart::plan

// Encodes the samples of a micro-batch in the step that needs them (encode of a stage).
#pragma once
#include <cstdint>
#include <memory>

#include "pixart/data/batch.h"
#include "pixart/features/caption_encoder.h"
#include "pixart/features/latent_codec.h"
#include "pixart/features/teacher.h"

namespace pixart::features {

// What an encoder gets at once: few enough samples that its activations take less memory than those of training,
// enough to keep a GPU busy.
inline constexpr int64_t kImagesTogether = 8, kCaptionsTogether = 64;

// The training thread calls it, on the device of the encoders; it does not wait for a GPU. What it makes is rounded
// like stored features. A sample's features depend on the others of its micro-batch only by the rounding of float32,
// and not at all with numerics: exact, where each micro-batch is one sample.
struct BatchEncoder {
  std::shared_ptr<const LatentCodec> codec = {};
  std::shared_ptr<const CaptionEncoder> captions = {};
  std::shared_ptr<const Teacher> teacher = {};  // sees the images of the steps with alignment
  run::AlignmentConfig alignment = {};
  data::LatentDtype latent_dtype = data::LatentDtype::kFloat16;
  data::CaptionDtype caption_dtype = data::CaptionDtype::kBFloat16;

  // The batch with moments, and what the teacher sees, in place of images and text features in place of token ids, without gradients. Parts that
  // hold features already stay as they are.
  data::Batch operator()(data::Batch batch) const;
};

}  // namespace pixart::features

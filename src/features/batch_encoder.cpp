#include "pixart/features/batch_encoder.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/features/image_reader.h"
#include "pixart/nn/device.h"

namespace pixart::features {

namespace {

// Calls encode(first, count) for pieces of the batch, and joins what it returns.
template <class Encode>
at::Tensor in_pieces(int64_t batch, int64_t most, const Encode& encode) {
  std::vector<at::Tensor> pieces;
  for (int64_t first = 0; first < batch; first += most)
    pieces.push_back(encode(first, std::min(most, batch - first)));
  return pieces.size() == 1 ? pieces.front() : at::cat(pieces);
}

at::Tensor moments_of(const LatentCodec& codec, const at::Tensor& images, at::Device device) {
  return in_pieces(images.size(0), kImagesTogether, [&](int64_t first, int64_t count) {
    const at::Tensor some = nn::on_device(images.narrow(0, first, count), device);
    const auto moments = codec.encode(to_unit_range(some));
    return at::stack({moments.mean, moments.log_var}, 1);
  });
}

at::Tensor seen_by(const Teacher& teacher, const at::Tensor& images) {
  return in_pieces(images.size(0), kImagesTogether, [&](int64_t first, int64_t count) {
    const at::Tensor some = nn::on_device(images.narrow(0, first, count), teacher.device());
    return teacher.features(to_unit_range(some)).to(at::kHalf).to(at::kFloat);
  });
}

// [B, max_tokens, C]. The mask is in the memory of the host, so that nobody waits for its lengths.
at::Tensor features_of(const CaptionEncoder& encoder, const at::Tensor& ids, const at::Tensor& mask,
                       data::CaptionDtype dtype) {
  return in_pieces(ids.size(0), kCaptionsTogether, [&](int64_t first, int64_t count) {
    const at::Tensor some = mask.narrow(0, first, count);
    const int64_t length = encoder.padded_length(some.sum(1).max().item<int64_t>(), Padding::kShortOnGpu);
    const auto cut = [&](const at::Tensor& tensor) {  // on the device, to which whole rows are copied at once
      return nn::on_device(tensor, encoder.device()).narrow(1, 0, length).contiguous();
    };
    const at::Tensor features = encoder.encode(cut(ids.narrow(0, first, count)), cut(some));
    return at::constant_pad_nd(data::as_stored(features, dtype), {0, 0, 0, ids.size(1) - length});
  });
}

}  // namespace

data::Batch BatchEncoder::operator()(data::Batch batch) const {
  if (!codec && !captions) return batch;
  const at::NoGradGuard no_grad;
  const nn::FullFloat32 no_tf32;  // which a stage may allow: stored features are made without
  if (codec && batch.image.defined()) {
    const at::Tensor moments = moments_of(*codec, batch.image, codec->device());
    const auto stored = latent_dtype == data::LatentDtype::kFloat16 ? at::kHalf : at::kFloat;
    const at::Tensor rounded = moments.to(stored).to(at::kFloat);
    batch.mean = rounded.select(1, 0), batch.log_var = rounded.select(1, 1);
  }
  if (teacher && batch.image.defined() && alignment.at_step(batch.plan.step))
    batch.teacher = seen_by(*teacher, batch.image);
  if (captions && batch.tokens.defined())
    batch.caption = features_of(*captions, batch.tokens, batch.mask, caption_dtype);
  return batch;
}

}  // namespace pixart::features

#include "encoded_batch.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace pixart::features {

namespace {

// bfloat16 where it loses nothing that is stored.
at::ScalarType type_on_the_way(const CaptionEncoder& encoder, data::CaptionDtype stored) {
  const bool is_enough = stored == data::CaptionDtype::kBFloat16 || encoder.dtype() == at::kBFloat16;
  return is_enough ? at::kBFloat16 : at::kFloat;
}

}  // namespace

EncodedBatch::EncodedBatch(const CaptionEncoder& encoder, const std::vector<std::string>& captions,
                           data::CaptionDtype dtype) {
  EncodedText text = encoder.encode(captions, Padding::kShortOnGpu);
  lengths_ = std::move(text.lengths);
  num_cut_ = text.num_cut;
  features_ = text.features.to(type_on_the_way(encoder, dtype));
  if (features_.is_cpu()) return;
  const at::Device device = features_.device();
  const at::Tensor host =
      at::empty(features_.sizes(), at::TensorOptions().dtype(features_.scalar_type()).pinned_memory(true));
  host.copy_(features_, /*non_blocking=*/true);
  arrival_.emplace(device.type());
  arrival_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
  features_ = host;
}

std::vector<at::Tensor> EncodedBatch::take() const {
  if (arrival_) arrival_->synchronize();
  std::vector<at::Tensor> result;
  for (size_t i = 0; i < lengths_.size(); ++i)
    result.push_back(features_[int64_t(i)].narrow(0, 0, lengths_[i]).clone());
  return result;
}

}  // namespace pixart::features

#include "pixart/nn/kept_copy.h"

#include <ATen/ATen.h>

namespace pixart::nn {

namespace {

// LibTorch keeps it with the tensor.
struct KeptCopy : c10::BackendMeta {
  explicit KeptCopy(at::Tensor c) : copy(std::move(c)) {}
  at::Tensor copy;
  c10::intrusive_ptr<c10::BackendMeta> clone(const c10::intrusive_ptr<c10::BackendMeta>&) const override {
    return {};  // a copy belongs to one tensor
  }
};

struct KeptPlaces : c10::BackendMeta {
  explicit KeptPlaces(GradientPlaces p) : places(std::move(p)) {}
  GradientPlaces places;
  c10::intrusive_ptr<c10::BackendMeta> clone(const c10::intrusive_ptr<c10::BackendMeta>&) const override {
    return {};
  }
};

}  // namespace

void keep_copy(const at::Tensor& parameter, const at::Tensor& copy) {
  c10::intrusive_ptr<c10::BackendMeta> kept;
  if (copy.defined()) kept = c10::make_intrusive<KeptCopy>(copy);
  parameter.unsafeGetTensorImpl()->set_backend_meta(std::move(kept));
}

at::Tensor in_type(const at::Tensor& tensor, at::ScalarType dtype) {
  if (!tensor.defined() || tensor.scalar_type() == dtype) return tensor;
  const auto* kept = dynamic_cast<const KeptCopy*>(tensor.unsafeGetTensorImpl()->get_backend_meta());
  return kept != nullptr && kept->copy.scalar_type() == dtype ? kept->copy : tensor.to(dtype);
}

void keep_gradient_places(const at::Tensor& leaf, GradientPlaces places) {
  leaf.unsafeGetTensorImpl()->set_backend_meta(c10::make_intrusive<KeptPlaces>(std::move(places)));
}

std::optional<GradientPlace> gradient_place(const at::Tensor& leaf) {
  const auto* kept = dynamic_cast<const KeptPlaces*>(leaf.unsafeGetTensorImpl()->get_backend_meta());
  return kept == nullptr ? std::nullopt : kept->places();
}

}  // namespace pixart::nn

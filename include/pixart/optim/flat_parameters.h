// Parameters and gradients in one contiguous buffer each, with the model's tensors as views.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

namespace pixart::optim {

// Moves the storage of `parameters` (leaf tensors, one dtype and device, requires_grad set) into `values` and
// presets their gradients to views of `gradients`. After backward the gradients stay views.
class FlatParameters {
 public:
  explicit FlatParameters(std::vector<at::Tensor> parameters);
  at::Tensor values() const { return values_; }        // [numel]
  at::Tensor gradients() const { return gradients_; }  // [numel]
  void zero_gradients();
  int64_t size() const { return values_.numel(); }
  // Views of a flat buffer of the same size (EMA, moments), one per parameter, in order.
  std::vector<at::Tensor> views(const at::Tensor& flat) const;

 private:
  std::vector<at::Tensor> parameters_;
  std::vector<int64_t> offsets_;
  at::Tensor values_, gradients_;
};

}  // namespace pixart::optim

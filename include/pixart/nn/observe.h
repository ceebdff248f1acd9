// Watches the outputs of layers, for the coordinate check of muP.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>

namespace pixart::nn {

// While it exists, `see` gets each output that this thread computes with a weight: x W^T + b of linear layers and patches,
// without adapters. `weight` shares its memory with the model's tensor. They do not nest.
class ObservedProducts {
 public:
  using See = std::function<void(const at::Tensor& weight, const at::Tensor& output)>;
  explicit ObservedProducts(See see);
  ~ObservedProducts();
  ObservedProducts(const ObservedProducts&) = delete;
  ObservedProducts& operator=(const ObservedProducts&) = delete;

 private:
  See see_;
};

}  // namespace pixart::nn

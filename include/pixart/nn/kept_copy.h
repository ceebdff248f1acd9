// A copy of a parameter in another type, which its owner keeps up to date, so that layers need not convert the parameter in each
// pass; and the way of its gradient to the float32 sum that its owner makes of them.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>

namespace pixart::nn {

// From now on in_type() gives `copy`, a leaf of its own that gets the gradients. An undefined copy ends that. Other tensors
// with the same memory (detach(), views) have no copy.
void keep_copy(const at::Tensor& parameter, const at::Tensor& copy);

// `tensor` in `dtype`: itself, the copy that is kept for it, or a new tensor.
at::Tensor in_type(const at::Tensor& tensor, at::ScalarType dtype);

// Where a matrix product may add the gradient of a weight, of which autograd then sees nothing.
struct GradientPlace {
  at::Tensor sum;     // float32, contiguous, of the weight's shape
  bool adds = false;  // the product adds to `sum`; false: it writes the first value
};
// Called by each product; without a place, autograd shall have this gradient.
using GradientPlaces = std::function<std::optional<GradientPlace>()>;
void keep_gradient_places(const at::Tensor& leaf, GradientPlaces places);
std::optional<GradientPlace> gradient_place(const at::Tensor& leaf);

}  // namespace pixart::nn

// A copy of a parameter in another type, which its owner keeps up to date, so that layers need not convert the parameter in each
// pass.
#pragma once
#include <ATen/core/Tensor.h>

namespace pixart::nn {

// From now on in_type() gives `copy`, a leaf of its own that gets the gradients. An undefined copy ends that. Other tensors
// with the same memory (detach(), views) have no copy.
void keep_copy(const at::Tensor& parameter, const at::Tensor& copy);

// `tensor` in `dtype`: itself, the copy that is kept for it, or a new tensor.
at::Tensor in_type(const at::Tensor& tensor, at::ScalarType dtype);

}  // namespace pixart::nn

#include "pixart/nn/conv.h"

#include <ATen/ATen.h>

namespace pixart::nn {

Conv2d::Conv2d(const Scope& scope, const ConvShape& shape)
    : weight(scope.parameter("weight", {shape.out, shape.in, shape.kernel, shape.kernel})),
      bias(shape.bias ? scope.parameter("bias", {shape.out}) : at::Tensor()),
      stride(shape.stride),
      padding(shape.padding) {}

at::Tensor Conv2d::operator()(const at::Tensor& x) const {
  return at::conv2d(x, weight, bias, {stride, stride}, {padding, padding});
}

GroupNorm::GroupNorm(const Scope& scope, int64_t channels, int64_t groups, double epsilon)
    : weight(scope.parameter("weight", {channels})),
      bias(scope.parameter("bias", {channels})),
      num_groups(groups),
      eps(epsilon) {}

at::Tensor GroupNorm::operator()(const at::Tensor& x) const {
  return at::group_norm(x, num_groups, weight, bias, eps);
}

}  // namespace pixart::nn

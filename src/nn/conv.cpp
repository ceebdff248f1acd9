#include "pixart/nn/conv.h"

#include <ATen/ATen.h>

namespace pixart::nn {

Conv2d::Conv2d(const Scope& scope, int64_t in, int64_t out, int64_t kernel, int64_t stride_of,
               int64_t padding_of)
    : weight(scope.parameter("weight", {out, in, kernel, kernel})),
      bias(scope.parameter("bias", {out})),
      stride(stride_of),
      padding(padding_of >= 0 ? padding_of : kernel / 2) {}

at::Tensor Conv2d::operator()(const at::Tensor& x) const {
  return at::conv2d(x, weight, bias, {stride, stride}, {padding, padding});
}

GroupNorm::GroupNorm(const Scope& scope, int64_t group_count, int64_t channels)
    : weight(scope.parameter("weight", {channels})),
      bias(scope.parameter("bias", {channels})),
      groups(group_count) {}

at::Tensor GroupNorm::operator()(const at::Tensor& x) const {
  return at::group_norm(x, groups, weight, bias, 1e-6);
}

}  // namespace pixart::nn

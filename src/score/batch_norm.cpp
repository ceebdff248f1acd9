#include "batch_norm.h"

#include <ATen/ATen.h>

namespace pixart::score {

BatchNorm::BatchNorm(const nn::Scope& scope, int64_t channels)
    : scale(scope.parameter("weight", {channels})),
      shift(scope.parameter("bias", {channels})),
      mean(scope.buffer("running_mean", {channels})),
      variance(scope.buffer("running_var", {channels})) {}

FoldedConv folded(const at::Tensor& weight, const BatchNorm& norm, double eps, c10::Device device) {
  const at::Tensor factor = norm.scale.to(at::kDouble) / (norm.variance.to(at::kDouble) + eps).sqrt();
  const at::Tensor bias = norm.shift.to(at::kDouble) - norm.mean.to(at::kDouble) * factor;
  return {.weight = (weight.to(at::kDouble) * factor.view({-1, 1, 1, 1}))
                        .to(at::kFloat)
                        .to(device)
                        .contiguous(at::MemoryFormat::ChannelsLast),
          .bias = bias.to(at::kFloat).to(device)};
}

}  // namespace pixart::score

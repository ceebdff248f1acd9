// Activation checkpointing: memory for time.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace pixart::nn {

using Recomputable = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

// function(inputs), of which only the inputs are kept for backward: there it is computed once more. What
// backward gives is equal to the bit, also to the parameters that `function` uses and does not list. It must
// outlive backward, draw no random numbers, and give the same result twice. Where no input needs a gradient,
// or none is recorded, this is a plain call.
at::Tensor recompute_in_backward(Recomputable function, const std::vector<at::Tensor>& inputs);

}  // namespace pixart::nn

// Activation checkpointing: saves memory, takes more time.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace pixart::nn {

using Recomputable = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

// Computes function(inputs), keeps only the inputs for backward, and computes it again there. All gradients
// are equal to the bit, also those of parameters that `function` uses without listing them. `function` must
// exist until backward, draw no random numbers, and give the same result twice. If no input needs a gradient,
// or no gradients are recorded, this is a plain call.
at::Tensor recompute_in_backward(Recomputable function, const std::vector<at::Tensor>& inputs);

}  // namespace pixart::nn

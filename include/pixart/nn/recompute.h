// Activation checkpointing: saves memory, takes more time.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "pixart/nn/layers.h"

namespace pixart::nn {

using Tensors = std::vector<at::Tensor>;
using Recomputable = std::function<Tensors(const Tensors&)>;

// Computes function(inputs), keeps only the inputs for backward, and computes it again there. All gradients
// are equal to the bit, also those of parameters that `function` uses without listing them. `function` must
// exist until backward, draw no random numbers, and give the same result twice. If no input needs a gradient,
// or no gradients are recorded, this is a plain call.
Tensors recompute_in_backward(Recomputable function, const Tensors& inputs);

// Whether this thread computes a function again of which only the gradients of its outputs are wanted, not their values.
bool wants_only_graph();

// The same for a block from stream to stream with other inputs. What is left to add goes along, and is kept with it.
using RecomputableBlock = std::function<Stream(const Stream&, const Tensors& others)>;
Stream recompute_in_backward(const RecomputableBlock& block, const Stream& stream, const Tensors& others);

}  // namespace pixart::nn

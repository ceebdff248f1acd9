// One hash for the tensors of a network, whatever file they are from.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "pixart/formats/hash.h"
#include "pixart/nn/state_dict.h"

namespace pixart::score {

// Adds the name, the shape and the values of a tensor on any device.
void add_tensor(formats::Sha256& hash, const std::string& name, const at::Tensor& tensor);

// SHA-256 of all tensors of a network, in their order.
std::string hash_of_state(const nn::StateDict& state);

}  // namespace pixart::score

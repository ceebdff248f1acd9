// One hash for the tensors of a network, whatever file they are from.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "pixart/formats/hash.h"

namespace pixart::score {

// Adds the name, the shape and the values of a tensor on any device.
void add_tensor(formats::Sha256& hash, const std::string& name, const at::Tensor& tensor);

}  // namespace pixart::score

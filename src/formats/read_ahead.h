// Reads the next tensor while the last one is being written.
#pragma once
#include <future>
#include <string>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/formats/weights.h"

namespace pixart::formats {

// Calls `use(tensor)` for each of `names` in order; two tensors are in memory. The tensor is as `weights`
// describes it.
template <class Use>
void read_ahead(const Weights& weights, const std::vector<std::string>& names, Use use) {
  const auto start = [&](size_t i) {
    return i < names.size() ? std::async(std::launch::async, weights.read, names[i])
                            : std::future<at::Tensor>();
  };
  std::future<at::Tensor> next = start(0);
  for (size_t i = 0; i < names.size(); ++i) {
    const at::Tensor tensor = next.get();
    next = start(i + 1);
    const WeightInfo& info = weights.tensors.at(names[i]);
    PIXART_CHECK(tensor.sizes() == at::IntArrayRef(info.shape) && tensor.scalar_type() == info.dtype &&
                     tensor.is_contiguous() && tensor.is_cpu(),
                 "tensor {} is not as described", names[i]);
    use(tensor);
  }
}

}  // namespace pixart::formats

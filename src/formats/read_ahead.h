// Reads the next tensor while the previous one is being written.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/base/prefetch.h"
#include "pixart/formats/weights.h"

namespace pixart::formats {

// Calls `use(name, tensor)` for each of `names` in order; up to three tensors are in memory. The tensor has
// the type and shape that `weights` describes.
template <class Use>
void read_ahead(const Weights& weights, const std::vector<std::string>& names, Use use) {
  constexpr int64_t kDepth = 2;
  auto next = names.begin();
  Prefetch<std::string, at::Tensor> tensors(
      /*threads=*/1, kDepth,
      [&] { return next == names.end() ? std::nullopt : std::optional<std::string>(*next++); }, weights.read);
  for (const auto& name : names) {
    const at::Tensor tensor = *tensors.next();
    const WeightInfo& info = weights.tensors.at(name);
    PIXART_CHECK(tensor.sizes() == at::IntArrayRef(info.shape) && tensor.scalar_type() == info.dtype &&
                     tensor.is_contiguous() && tensor.is_cpu(),
                 "tensor {} is not as described", name);
    use(name, tensor);
  }
}

}  // namespace pixart::formats

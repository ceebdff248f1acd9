// The communicator of a trainer that is alone.
#pragma once
#include <ATen/core/Tensor.h>

#include "pixart/dist/communicator.h"

namespace pixart::testing {

inline dist::Communicator& one_rank() {
  static const auto alone = dist::make_communicator({}, at::kCPU, {});
  return *alone;
}

}  // namespace pixart::testing

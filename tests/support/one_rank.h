// The communicator of a trainer that is alone.
#pragma once
#include <ATen/core/Tensor.h>

#include "pixart/distributed/communicator.h"

namespace pixart::testing {

inline distributed::Communicator& one_rank() {
  static const auto alone = distributed::make_communicator({}, at::kCPU, {});
  return *alone;
}

}  // namespace pixart::testing

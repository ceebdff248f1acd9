// Connects the ranks of a run: they meet at rank 0, and then each pair connects. Afterwards no rank listens any
// more.
#pragma once
#include <memory>

#include "mesh.h"
#include "pixart/distributed/communicator.h"

namespace pixart::distributed {

// Waits for all ranks and connects to each. Throws as make_communicator().
std::unique_ptr<Mesh> meet(const Launch& launch, const CommunicatorOptions& options);

}  // namespace pixart::distributed

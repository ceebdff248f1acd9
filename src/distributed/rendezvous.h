// Connects the ranks: each writes its address into a TCPStore at MASTER_ADDR:MASTER_PORT.
#pragma once
#include <memory>

#include "mesh.h"
#include "pixart/distributed/communicator.h"

namespace pixart::distributed {

// Waits for all ranks and connects to each. Throws as make_communicator().
std::unique_ptr<Mesh> meet(const Launch& launch, const CommunicatorOptions& options);

}  // namespace pixart::distributed

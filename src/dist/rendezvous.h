// How the ranks find one another: each says its address in a TCPStore at MASTER_ADDR:MASTER_PORT.
#pragma once
#include <memory>

#include "mesh.h"
#include "pixart/dist/communicator.h"

namespace pixart::dist {

// Meets all ranks and connects to each. Throws as make_communicator().
std::unique_ptr<Mesh> meet(const Launch& launch, const CommunicatorOptions& options);

}  // namespace pixart::dist

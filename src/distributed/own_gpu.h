// Each rank needs a GPU of its own: NCCL refuses, or hangs with, two ranks on one.
#pragma once
#include <string>

#include "pixart/distributed/communicator.h"

namespace pixart::distributed {

// Collective, on the CPU. Throws UserError(kDevice) on all ranks if two ranks of one `machine` have the same
// `gpu`; a rank with "" is not compared. NCCL identifies a GPU by machine and PCI bus id, too
// (NVIDIA/nccl#418), so two parts of one GPU (MIG) are the same.
void check_own_gpus(Communicator& ranks, const std::string& machine, const std::string& gpu);

}  // namespace pixart::distributed

#pragma once
#include <memory>

#include "cpu_communicator.h"

namespace pixart::dist {

// GPU tensors by NCCL, CPU tensors by `sockets`. A thread watches the calls that are under way on the GPU:
// when one takes longer than the time-out or a rank ends, it aborts NCCL, so that neither GPU nor host waits
// for ever.
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<CpuCommunicator> sockets,
                                                     const at::Device& device,
                                                     const CommunicatorOptions& options);

}  // namespace pixart::dist

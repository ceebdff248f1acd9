#pragma once
#include <memory>

#include "call_watch.h"
#include "cpu_communicator.h"
#include "nccl_library.h"

namespace pixart::distributed {

// Uses NCCL for GPU tensors and `sockets` for CPU tensors. A thread watches the calls that wait in NCCL or
// are in progress on the GPU. When one takes longer than the time-out or a rank ends, it aborts NCCL, so that
// neither GPU nor host waits for ever; if the abort does not help, the process ends with 76.
// `limits.call_seconds` is options.timeout_seconds.
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<CpuCommunicator> sockets,
                                                     const at::Device& device,
                                                     const CommunicatorOptions& options,
                                                     const NcclLibrary& library, WatchLimits limits = {});

}  // namespace pixart::distributed

// The ranks of a run talk to one another through this, and through nothing else.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string_view>

#include "pixart/dist/launch_variables.h"

namespace pixart::dist {

// Rules of every call:
// - All ranks make the same calls in the same order, with the same phase, shapes and types. A difference is
// an error
//   that names both sides. One call at a time; it may come from any thread.
// - `phase` says what the call is for ("step 12: gradients"); it is what messages show of a rank that is
// lost.
// - When a rank has ended, or has not come within the time-out, the call throws UserError with
// ExitCode::kDevice (a part
//   of the machine is lost; the run is not at fault) on every rank that waits. The message names the lost
//   rank and the phase in which it was last seen. All later calls throw the same message; the run must end.
// - Tensors are contiguous. Those on the CPU are done when the call returns. Those on a GPU are ordered in
// the current
//   stream of the calling thread, as any other operation on them; there a lost rank shows at a later call.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;

  // In place, float32, float64 or int64. On the CPU each element is ((rank 0 + rank 1) + rank 2) + ..., so
  // the bits are the same on all ranks and in each repetition. NCCL: the same on all ranks; its order is its
  // own.
  virtual void all_reduce_sum(at::Tensor& tensor, std::string_view phase) = 0;
  // output [n] = the sum, over ranks, of part number rank() of input [world_size() * n]. Same order and
  // types. output may be that part of input itself.
  virtual void reduce_scatter(const at::Tensor& input, at::Tensor& output, std::string_view phase) = 0;
  // output [world_size() * n] = the inputs [n] of rank 0, 1, ... Any type. input may be its own part of
  // output.
  virtual void all_gather(const at::Tensor& input, at::Tensor& output, std::string_view phase) = 0;
  // The tensor of rank `root`, in place. Any type.
  virtual void broadcast(at::Tensor& tensor, int root, std::string_view phase) = 0;
  // Returns when all ranks have come.
  virtual void barrier(std::string_view phase) = 0;
};

struct CommunicatorOptions {
  double timeout_seconds = 600;     // longest silence of a rank that the others wait for
  double rendezvous_seconds = 300;  // longest wait for the last rank at the start
  bool even_alone = false;          // one rank on a GPU uses NCCL too, to try it
};

// timeout_seconds is PIXART_DIST_TIMEOUT where it is set (`pixart launch --timeout`). Throws UserError.
CommunicatorOptions communicator_options_from_environment();

// Meets the other ranks. On a CPU: sockets between all pairs of ranks. On a GPU: the same sockets for CPU
// tensors, and NCCL for GPU tensors. One rank: every call returns at once. Throws UserError(kDevice) when
// ranks do not come, named. The network is trusted, as with NCCL and Gloo: nothing is encrypted.
std::unique_ptr<Communicator> make_communicator(const Launch& launch, const at::Device& device,
                                                const CommunicatorOptions& options);

}  // namespace pixart::dist

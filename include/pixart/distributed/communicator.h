// All communication between the ranks of a run.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <string_view>

#include "pixart/distributed/launch_variables.h"

namespace pixart::distributed {

// Rules of every call:
// - All ranks make the same calls in the same order, with the same phase, shapes and types. A difference is
//   an error that names both sides. One call at a time; it may come from any thread.
// - `phase` says what the call is for ("step 12: gradients"); messages about a lost rank name it.
// - If a rank has ended, or is silent for longer than the time-out, the call throws UserError with
//   ExitCode::kDevice (a part of the machine is lost; the run is not at fault) on every waiting rank. The
//   message names the lost rank and the phase in which it was last seen. All later calls throw the same
//   message; the run must end.
// - Tensors are contiguous. CPU tensors are complete when the call returns. Calls on GPU tensors are ordered
//   in the current stream of the calling thread, like any other operation; there a lost rank is reported by a
//   later call.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;

  // Sums in place: float32, float64 or int64. On the CPU each element is ((rank 0 + rank 1) + rank 2) + ...,
  // so the bits are the same on all ranks and in each repetition. With NCCL the result is the same on all
  // ranks, but NCCL chooses the order.
  virtual void all_reduce_sum(at::Tensor& tensor, std::string_view phase) = 0;
  // output [n] = the sum over ranks of part number rank() of input [world_size() * n]. Order and types as
  // above. output may be this part of input itself.
  virtual void reduce_scatter(const at::Tensor& input, at::Tensor& output, std::string_view phase) = 0;
  // output [world_size() * n] = the inputs [n] of rank 0, 1, ... Any type. input may be its own part of
  // output.
  virtual void all_gather(const at::Tensor& input, at::Tensor& output, std::string_view phase) = 0;
  // Replaces the tensor by that of rank `root`. Any type.
  virtual void broadcast(at::Tensor& tensor, int root, std::string_view phase) = 0;
  // Returns when all ranks have called it.
  virtual void barrier(std::string_view phase) = 0;
  // all_reduce_sum() for rank `root` only, which takes half of the traffic with NCCL. What the tensors of the other ranks hold
  // afterwards is not specified.
  virtual void reduce_sum(at::Tensor& tensor, [[maybe_unused]] int root, std::string_view phase) {
    all_reduce_sum(tensor, phase);
  }
};

struct CommunicatorOptions {
  double timeout_seconds = 600;     // longest silence of a rank for which others wait
  double rendezvous_seconds = 300;  // longest wait for the last rank at the start
  bool even_alone = false;          // use NCCL even with one rank on a GPU, to test it
  // What tells the GPU of this rank from the others of its machine (nn::gpu_name()); "" if it is not known.
  std::string gpu = {};
};

// timeout_seconds is PIXART_DIST_TIMEOUT if it is set (`pixart launch --timeout`). Throws UserError.
CommunicatorOptions communicator_options_from_environment();

// Connects to the other ranks. On a CPU: sockets between all pairs of ranks. On a GPU: the same sockets for
// CPU tensors, and NCCL for GPU tensors. With one rank every call returns at once. Throws UserError(kDevice)
// that names the ranks that are missing, or that use the same GPU. Ranks prove to each other that they know
// Launch::token; afterwards no rank listens, but for NCCL. Nothing is encrypted.
std::unique_ptr<Communicator> make_communicator(const Launch& launch, const at::Device& device,
                                                const CommunicatorOptions& options);

}  // namespace pixart::distributed

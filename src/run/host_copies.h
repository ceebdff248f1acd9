// Copies of a GPU's tensors in host memory, made with few transfers.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <vector>

namespace pixart::run {

// Bytes of page-locked memory that are allocated at a time. LibTorch rounds sizes up to a power of two.
constexpr size_t kHostChunkBytes = size_t{256} << 20;

// Where copies are: the bytes [begin, begin + nbytes) of a chunk.
struct HostPlace {
  size_t chunk = 0, begin = 0;
};

// Consecutive tensors in the memory of one storage, and consecutive places for their copies: one transfer.
struct HostRun {
  std::vector<size_t> tensors;  // their indices, by address
  HostPlace place;
  size_t bytes = 0;
};

struct HostPlan {
  std::vector<HostRun> runs;
  std::vector<HostPlace> places;    // of each tensor; the same for tensors that are the same memory
  std::vector<size_t> chunk_bytes;  // of each chunk
};

// Places for copies of contiguous tensors. No tensor is cut: one of more than chunk_bytes has its own chunk.
HostPlan plan_host_copies(const std::vector<at::Tensor>& tensors, size_t chunk_bytes = kHostChunkBytes);

// Keeps its memory from call to call.
class HostCopies {
 public:
  // Copies of the contiguous tensors, all on one device; the host waits for it once. They share memory, and
  // are valid until the next call.
  std::vector<at::Tensor> copy(const std::vector<at::Tensor>& tensors, size_t chunk_bytes = kHostChunkBytes);

 private:
  void make_room(const std::vector<size_t>& bytes, bool pinned);
  std::vector<at::Tensor> chunks_;  // uint8
};

}  // namespace pixart::run

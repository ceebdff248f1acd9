// Memory of caption features that no batch holds any more, for the batches after it: its pages are mapped,
// and where a caption is at least as long as the one before it, none of its padding must become zero again.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace pixart::features {

// A tensor [B, T, C] and how many tokens of each caption may be other than zero.
struct CaptionBuffer {
  at::Tensor tensor;
  std::vector<int64_t> used_tokens;
};

class CaptionBuffers {
 public:
  // Memory on the CPU whose contents are unknown up to `used_tokens`, and zero after it. Nobody holds it.
  CaptionBuffer take(int64_t count, int64_t tokens, int64_t channels, at::ScalarType dtype, bool pinned);
  // Is taken again when `buffer` is held by nobody else. Pinned memory is left to LibTorch, which knows when
  // a copy to a device has ended.
  void put_back(CaptionBuffer buffer);

 private:
  struct Kept {
    CaptionBuffer buffer;
    uint32_t version;  // of the tensor; another one means that somebody wrote into it
  };
  std::mutex mutex_;
  std::vector<Kept> kept_;
};

}  // namespace pixart::features

#include "caption_buffers.h"

#include <ATen/ATen.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>

namespace pixart::features {

std::shared_ptr<CaptionBuffers> make_caption_buffers() { return std::make_shared<CaptionBuffers>(); }

namespace {

// What is copied into large pages misses the processor's table of pages less often.
void prefer_large_pages(const at::Tensor& tensor) {
  constexpr uintptr_t kPage = uintptr_t{2} << 20;
  const auto begin = reinterpret_cast<uintptr_t>(tensor.data_ptr()), end = begin + tensor.nbytes();
  const uintptr_t first = (begin + kPage - 1) / kPage * kPage, last = end / kPage * kPage;
  if (first < last) (void)::madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

}  // namespace

CaptionBuffer CaptionBuffers::take(int64_t count, int64_t tokens, int64_t channels, at::ScalarType dtype,
                                   bool pinned) {
  const std::array<int64_t, 3> shape = {count, tokens, channels};
  const std::lock_guard lock(mutex_);
  for (auto kept = kept_.begin(); kept != kept_.end();) {
    const at::Tensor& tensor = kept->buffer.tensor;
    if (tensor.use_count() > 1 || tensor.storage().use_count() > 1) {  // a batch or a view of it is alive
      ++kept;
      continue;
    }
    CaptionBuffer buffer = std::move(kept->buffer);
    const bool is_changed = buffer.tensor._version() != kept->version;
    kept = kept_.erase(kept);
    if (buffer.tensor.sizes() != at::IntArrayRef(shape) || buffer.tensor.scalar_type() != dtype) continue;
    if (is_changed) std::ranges::fill(buffer.used_tokens, tokens);
    return buffer;
  }
  at::Tensor fresh = at::empty(shape, at::TensorOptions().dtype(dtype).pinned_memory(pinned));
  if (!pinned) prefer_large_pages(fresh);
  return {std::move(fresh), std::vector<int64_t>(static_cast<size_t>(count), tokens)};
}

void CaptionBuffers::put_back(CaptionBuffer buffer) {
  if (buffer.tensor.is_pinned()) return;
  const std::lock_guard lock(mutex_);
  const auto version = uint32_t(buffer.tensor._version());
  kept_.push_back({std::move(buffer), version});
}

}  // namespace pixart::features

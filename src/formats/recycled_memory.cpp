#include "recycled_memory.h"

#include <ATen/ATen.h>
#include <sys/mman.h>

#include <algorithm>
#include <mutex>
#include <vector>

namespace pixart::formats {

namespace {

constexpr size_t kSmallest = size_t{1} << 20;  // malloc allocates smaller tensors
constexpr size_t kMostFree = 4;                // unused blocks that are kept

struct Unmap {
  size_t bytes;
  void operator()(void* data) const { ::munmap(data, bytes); }
};
using Block = std::unique_ptr<void, Unmap>;

Block new_block(size_t bytes) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  ::madvise(data, bytes, MADV_HUGEPAGE);  // ignored by systems without huge pages
  return Block(data, Unmap{bytes});
}

}  // namespace

class FreeBlocks {
 public:
  // The smallest free block that is large enough and at least half used; null if there is none.
  Block take(size_t bytes) {
    const std::scoped_lock lock(mutex_);
    auto best = blocks_.end();
    for (auto at = blocks_.begin(); at != blocks_.end(); ++at) {
      const size_t size = at->get_deleter().bytes;
      const bool fits = size >= bytes && size / 2 <= bytes;
      if (fits && (best == blocks_.end() || size < best->get_deleter().bytes)) best = at;
    }
    if (best == blocks_.end()) return Block(nullptr, Unmap{0});
    Block block = std::move(*best);
    blocks_.erase(best);
    return block;
  }

  void give(Block block) {
    const std::scoped_lock lock(mutex_);
    if (blocks_.size() == kMostFree) blocks_.erase(blocks_.begin());  // the one unused for longest
    blocks_.push_back(std::move(block));
  }

 private:
  std::mutex mutex_;
  std::vector<Block> blocks_;
};

RecycledMemory::RecycledMemory() : free_(std::make_shared<FreeBlocks>()) {}

at::Tensor RecycledMemory::empty(at::IntArrayRef shape, at::ScalarType dtype) const {
  const auto options = at::TensorOptions().dtype(dtype);
  const size_t bytes = size_t(c10::multiply_integers(shape)) * c10::elementSize(dtype);
  if (bytes < kSmallest) return at::empty(shape, options);
  Block block = free_->take(bytes);
  if (!block) block = new_block(bytes);
  const size_t size = block.get_deleter().bytes;
  return at::from_blob(
      block.release(), shape, [free = free_, size](void* data) { free->give(Block(data, Unmap{size})); },
      options);
}

}  // namespace pixart::formats

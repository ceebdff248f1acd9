#include "recycled_memory.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <thread>

namespace pixart::formats {
namespace {

constexpr int64_t kMega = 1 << 20;

at::Tensor bytes_of(const RecycledMemory& memory, int64_t count) { return memory.empty({count}, at::kByte); }

TEST(RecycledMemory, TheNextTensorTakesWhatTheLastOneLeft) {
  const RecycledMemory memory;
  const void* first = bytes_of(memory, 8 * kMega).data_ptr();
  EXPECT_EQ(memory.empty({kMega, 2}, at::kFloat).data_ptr(), first);
  EXPECT_EQ(bytes_of(memory, 5 * kMega).data_ptr(), first);
  EXPECT_NE(bytes_of(memory, 3 * kMega).data_ptr(), first) << "more than half of it would lie idle";
}

TEST(RecycledMemory, TensorsInUseAreLeftAlone) {
  const RecycledMemory memory;
  const at::Tensor one = bytes_of(memory, 2 * kMega).fill_(1), two = bytes_of(memory, 2 * kMega).fill_(2);
  const at::Tensor view = one.narrow(0, 5, 10);
  EXPECT_NE(one.data_ptr(), two.data_ptr());
  EXPECT_TRUE(view.eq(1).all().item<bool>());
}

TEST(RecycledMemory, TheSmallestThatFitsIsTaken) {
  const RecycledMemory memory;
  at::Tensor large = bytes_of(memory, 4 * kMega), small = bytes_of(memory, 3 * kMega);
  const void* expected = small.data_ptr();
  large.reset(), small.reset();
  EXPECT_EQ(bytes_of(memory, 2 * kMega).data_ptr(), expected);
}

TEST(RecycledMemory, ATensorOutlivesThePlaceItCameFrom) {
  auto memory = std::make_unique<RecycledMemory>();
  at::Tensor tensor = memory->empty({2, kMega}, at::kInt).fill_(7);
  memory.reset();
  std::thread([last = std::move(tensor)]() mutable {
    EXPECT_TRUE(last.eq(7).all().item<bool>());
    last.reset();
  }).join();
}

TEST(RecycledMemory, EveryShapeAndType) {
  const RecycledMemory memory;
  EXPECT_EQ(memory.empty({}, at::kDouble).dim(), 0);
  EXPECT_EQ(memory.empty({0, 5}, at::kHalf).numel(), 0);
  const at::Tensor halves = memory.empty({4, kMega}, at::kHalf);
  EXPECT_EQ(halves.sizes(), at::IntArrayRef({4, kMega}));
  EXPECT_EQ(halves.scalar_type(), at::kHalf);
  EXPECT_TRUE(halves.is_contiguous());
  EXPECT_EQ(halves.storage().nbytes(), size_t(8 * kMega));
}

}  // namespace
}  // namespace pixart::formats

#include "host_copies.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace pixart::run {
namespace {

// Views of two flat buffers, out of order, one of them twice; a tensor of its own, an empty one, another
// type.
struct Live {
  at::Tensor first = at::arange(1000, at::kFloat), second = at::arange(1000, 2000, at::kFloat);
  std::vector<at::Tensor> tensors() const {
    return {first.narrow(0, 600, 400).view({20, 20}),
            second.narrow(0, 0, 1000),
            first.narrow(0, 0, 10),
            at::full({3}, 7, at::kDouble),
            at::empty({0, 4}),
            first.narrow(0, 10, 590),
            first.narrow(0, 0, 10),
            at::full({5}, 3, at::kLong)};
  }
};

size_t bytes_of(const std::vector<at::Tensor>& tensors) {
  size_t bytes = 0;
  for (const auto& tensor : tensors) bytes += tensor.nbytes();
  return bytes;
}

TEST(HostPlan, NeighboursInMemoryAreOneTransfer) {
  const Live live;
  const auto tensors = live.tensors();
  const HostPlan plan = plan_host_copies(tensors);
  EXPECT_EQ(plan.runs.size(), 4u) << "two buffers and two tensors of their own";
  EXPECT_EQ(plan.chunk_bytes.size(), 1u);
  EXPECT_LE(plan.chunk_bytes.front(), bytes_of(tensors) - tensors[6].nbytes() + 4 * 64);
  EXPECT_EQ(plan.places[2].begin, plan.places[6].begin);
}

TEST(HostPlan, ChunksHoldWholeTensorsAndOnlyALargeOneHasMore) {
  const Live live;
  const auto tensors = live.tensors();
  const HostPlan plan = plan_host_copies(tensors, 2500);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto [chunk, begin] = plan.places[i];
    EXPECT_LE(begin + tensors[i].nbytes(), plan.chunk_bytes[chunk]) << i;
  }
  for (const size_t bytes : plan.chunk_bytes) EXPECT_TRUE(bytes <= 2500 || bytes == 4000) << bytes;
  EXPECT_GE(plan.chunk_bytes.size(), 3u);
}

TEST(HostCopies, AreEqualAndStayWhenTheTensorsChange) {
  for (const size_t chunk_bytes : {kHostChunkBytes, size_t{2500}, size_t{1}}) {
    HostCopies host;
    for (int round = 0; round < 3; ++round) {
      Live live;
      live.first.add_(round);
      const auto tensors = live.tensors();
      const auto copies = host.copy(tensors, chunk_bytes);
      ASSERT_EQ(copies.size(), tensors.size());
      for (size_t i = 0; i < copies.size(); ++i) {
        EXPECT_EQ(copies[i].scalar_type(), tensors[i].scalar_type());
        EXPECT_TRUE(at::equal(copies[i], tensors[i])) << i;
        EXPECT_FALSE(copies[i].is_alias_of(tensors[i])) << i;
      }
      live.first.fill_(-1);
      EXPECT_EQ(copies[2][1].item<double>(), 1 + round);
    }
  }
}

TEST(HostCopies, KeepTheirMemory) {
  HostCopies host;
  const Live live;
  const auto tensors = live.tensors();
  const void* before = host.copy(tensors)[1].const_data_ptr();
  EXPECT_EQ(host.copy(tensors)[1].const_data_ptr(), before);
}

TEST(HostCopies, OfNothing) {
  HostCopies host;
  EXPECT_TRUE(host.copy({}).empty());
  EXPECT_EQ(host.copy({at::empty({0})}).size(), 1u);
}

}  // namespace
}  // namespace pixart::run

#include "cpu_communicator.h"

#include <ATen/ATen.h>

#include <cstring>

#include "pixart/base/error.h"
#include "sum.h"

namespace pixart::distributed {

namespace {

// Below this size, each rank sends all its elements to all ranks and sums alone: one round instead of two.
constexpr int64_t kSmallBytes = 32 << 10;

Number number_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return Number::kFloat32;
    case at::kDouble:
      return Number::kFloat64;
    case at::kLong:
      return Number::kInt64;
    default:
      PIXART_CHECK(false, "sums over ranks are of float32, float64 or int64, not {}",
                   toString(tensor.scalar_type()));
  }
  return {};
}

void check_cpu(const at::Tensor& tensor) {
  PIXART_CHECK(tensor.is_cpu() && tensor.is_contiguous(), "expected a contiguous CPU tensor");
}

char* data_of(const at::Tensor& tensor) { return static_cast<char*>(tensor.data_ptr()); }

// Of `count` elements, rank r sums those from bounds[r] to bounds[r + 1].
std::vector<int64_t> even_bounds(int64_t count, int ranks) {
  std::vector<int64_t> bounds;
  for (int r = 0; r <= ranks; ++r) bounds.push_back(count / ranks * r + std::min<int64_t>(r, count % ranks));
  return bounds;
}

void* writable(const void* part) { return const_cast<void*>(part); }

}  // namespace

void check_parts(const at::Tensor& whole, const at::Tensor& part, int world_size) {
  PIXART_CHECK(whole.numel() == part.numel() * world_size && whole.scalar_type() == part.scalar_type(),
               "{} elements are not {} times {} of the same type", whole.numel(), world_size, part.numel());
}

std::vector<const void*> CpuCommunicator::room_for(const void* own, int64_t bytes) {
  if (received_bytes_ < bytes * world_size()) {
    received_bytes_ = bytes * world_size();
    received_ = std::make_unique_for_overwrite<char[]>(size_t(received_bytes_));
  }
  std::vector<const void*> parts;
  for (int r = 0; r < world_size(); ++r) parts.push_back(r == rank() ? own : received_.get() + r * bytes);
  return parts;
}

void CpuCommunicator::all_reduce_sum(at::Tensor& tensor, std::string_view phase) {
  check_cpu(tensor);
  const Number number = number_of(tensor);
  const int64_t element = int64_t(bytes_of(number)), bytes = tensor.numel() * element;
  const int ranks = world_size();
  const Call call{"all_reduce_sum", uint64_t(bytes), int32_t(number), phase};
  char* data = data_of(tensor);
  std::vector<Part> exchanged(static_cast<size_t>(ranks));
  if (bytes <= kSmallBytes) {
    const auto parts = room_for(data, bytes);
    for (size_t r = 0; r < exchanged.size(); ++r)
      exchanged[r] = {data, uint64_t(bytes), writable(parts[r]), uint64_t(bytes)};
    mesh_->exchange(call, exchanged);
    return sum_in_order(number, parts, tensor.numel(), data);
  }
  const auto bounds = even_bounds(tensor.numel(), ranks);
  const auto own = size_t(rank());
  const int64_t own_count = bounds[own + 1] - bounds[own];
  const auto parts = room_for(data + bounds[own] * element, own_count * element);
  const auto part_at = [&](size_t r) { return data + bounds[r] * element; };
  const auto part_bytes = [&](size_t r) { return uint64_t((bounds[r + 1] - bounds[r]) * element); };
  for (size_t r = 0; r < exchanged.size(); ++r)
    exchanged[r] = {part_at(r), part_bytes(r), writable(parts[r]), part_bytes(own)};
  mesh_->exchange(call, exchanged);
  sum_in_order(number, parts, own_count, part_at(own));
  for (size_t r = 0; r < exchanged.size(); ++r)
    exchanged[r] = {part_at(own), part_bytes(own), part_at(r), part_bytes(r)};
  mesh_->exchange(call, exchanged);
}

void CpuCommunicator::reduce_scatter(const at::Tensor& input, at::Tensor& output, std::string_view phase) {
  check_cpu(input);
  check_cpu(output);
  check_parts(input, output, world_size());
  const Number number = number_of(input);
  const int64_t bytes = output.numel() * int64_t(bytes_of(number));
  const auto part_at = [&](size_t r) { return data_of(input) + int64_t(r) * bytes; };
  const auto parts = room_for(part_at(size_t(rank())), bytes);
  std::vector<Part> exchanged(static_cast<size_t>(world_size()));
  for (size_t r = 0; r < exchanged.size(); ++r)
    exchanged[r] = {part_at(r), uint64_t(bytes), writable(parts[r]), uint64_t(bytes)};
  mesh_->exchange({"reduce_scatter", uint64_t(bytes), int32_t(number), phase}, exchanged);
  sum_in_order(number, parts, output.numel(), data_of(output));
}

void CpuCommunicator::all_gather(const at::Tensor& input, at::Tensor& output, std::string_view phase) {
  check_cpu(input);
  check_cpu(output);
  check_parts(output, input, world_size());
  const auto bytes = input.numel() * int64_t(input.element_size());
  const auto part_at = [&](size_t r) { return data_of(output) + int64_t(r) * bytes; };
  std::vector<Part> exchanged(static_cast<size_t>(world_size()));
  for (size_t r = 0; r < exchanged.size(); ++r)
    exchanged[r] = {data_of(input), uint64_t(bytes), part_at(r), uint64_t(bytes)};
  mesh_->exchange({"all_gather", uint64_t(bytes), int32_t(input.scalar_type()), phase}, exchanged);
  char* own = part_at(size_t(rank()));
  if (own != data_of(input)) std::memcpy(own, data_of(input), size_t(bytes));
}

void CpuCommunicator::broadcast(at::Tensor& tensor, int root, std::string_view phase) {
  check_cpu(tensor);
  PIXART_CHECK(root >= 0 && root < world_size(), "root {} of {} ranks", root, world_size());
  const auto bytes = uint64_t(tensor.numel()) * uint64_t(tensor.element_size());
  std::vector<Part> exchanged(static_cast<size_t>(world_size()));
  if (rank() == root) {
    for (auto& part : exchanged) part = {data_of(tensor), bytes, nullptr, 0};
  } else {
    exchanged[size_t(root)] = {nullptr, 0, data_of(tensor), bytes};
  }
  mesh_->exchange({"broadcast", bytes, root, phase}, exchanged);
}

void CpuCommunicator::barrier(std::string_view phase) {
  mesh_->exchange({"barrier", 0, 0, phase}, std::vector<Part>(static_cast<size_t>(world_size())));
}

}  // namespace pixart::distributed

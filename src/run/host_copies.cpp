#include "host_copies.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <numeric>

#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/nn/device.h"

namespace pixart::run {

namespace {

constexpr size_t kAlignment = 64;

const char* begin_of(const at::Tensor& tensor) { return static_cast<const char*>(tensor.const_data_ptr()); }
const char* end_of(const at::Tensor& tensor) { return begin_of(tensor) + tensor.nbytes(); }

// True if `next` begins where `tensor` ends, and both can be elements of one flat tensor.
bool continues(const at::Tensor& tensor, const at::Tensor& next) {
  return tensor.is_alias_of(next) && tensor.scalar_type() == next.scalar_type() &&
         end_of(tensor) == begin_of(next);
}

bool is_same(const at::Tensor& a, const at::Tensor& b) {
  return begin_of(a) == begin_of(b) && a.nbytes() == b.nbytes() && a.scalar_type() == b.scalar_type();
}

std::vector<size_t> by_address(const std::vector<at::Tensor>& tensors) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return begin_of(tensors[a]) < begin_of(tensors[b]); });
  return order;
}

// Hands out places, and notes how large each chunk becomes.
class Places {
 public:
  Places(std::vector<size_t>& chunks, size_t chunk_bytes) : chunks_(chunks), chunk_bytes_(chunk_bytes) {}
  bool has_room(size_t bytes) const { return !chunks_.empty() && chunks_.back() + bytes <= chunk_bytes_; }
  HostPlace take(size_t bytes) {
    const HostPlace place{chunks_.size() - 1, chunks_.back()};
    chunks_.back() += bytes;
    return place;
  }
  // Of a new run.
  HostPlace begin(size_t bytes) {
    const size_t at = chunks_.empty() ? 0 : (chunks_.back() + kAlignment - 1) / kAlignment * kAlignment;
    if (chunks_.empty() || at + bytes > chunk_bytes_)
      chunks_.push_back(0);
    else
      chunks_.back() = at;
    return take(bytes);
  }

 private:
  std::vector<size_t>& chunks_;
  size_t chunk_bytes_;
};

at::Tensor new_chunk(size_t bytes, bool pinned) {
  const auto size = int64_t(std::bit_ceil(bytes));
  const auto options = at::TensorOptions().dtype(at::kByte);
  if (pinned) {
    try {
      return at::empty({size}, options.pinned_memory(true));
    } catch (const c10::Error&) {
      log::warning("cannot allocate page-locked memory for checkpoints; their copies take longer");
    }
  }
  return at::empty({size}, options);
}

at::Tensor view(const at::Tensor& chunk, size_t begin, const at::Tensor& like, at::IntArrayRef sizes) {
  const int64_t bytes = c10::multiply_integers(sizes) * int64_t(like.element_size());
  return chunk.narrow(0, int64_t(begin), bytes).view(like.scalar_type()).view(sizes);
}

}  // namespace

HostPlan plan_host_copies(const std::vector<at::Tensor>& tensors, size_t chunk_bytes) {
  HostPlan plan{.runs = {}, .places = std::vector<HostPlace>(tensors.size()), .chunk_bytes = {}};
  Places places(plan.chunk_bytes, chunk_bytes);
  const at::Tensor* last = nullptr;
  for (const size_t i : by_address(tensors)) {
    const at::Tensor& tensor = tensors[i];
    PIXART_CHECK(tensor.is_contiguous(), "a tensor that is not contiguous");
    if (tensor.nbytes() == 0) continue;
    if (last != nullptr && is_same(*last, tensor)) {
      plan.places[i] = plan.places[plan.runs.back().tensors.back()];
      continue;
    }
    const size_t bytes = tensor.nbytes();
    const bool goes_on = last != nullptr && continues(*last, tensor) && places.has_room(bytes);
    plan.places[i] = goes_on ? places.take(bytes) : places.begin(bytes);
    if (!goes_on) plan.runs.push_back({.tensors = {}, .place = plan.places[i], .bytes = 0});
    plan.runs.back().tensors.push_back(i);
    plan.runs.back().bytes += bytes;
    last = &tensor;
  }
  return plan;
}

void HostCopies::make_room(const std::vector<size_t>& bytes, bool pinned) {
  chunks_.resize(bytes.size());
  for (size_t c = 0; c < bytes.size(); ++c)
    if (!chunks_[c].defined() || chunks_[c].nbytes() < bytes[c]) chunks_[c] = new_chunk(bytes[c], pinned);
}

std::vector<at::Tensor> HostCopies::copy(const std::vector<at::Tensor>& tensors, size_t chunk_bytes) {
  const HostPlan plan = plan_host_copies(tensors, chunk_bytes);
  if (plan.runs.empty()) return std::vector<at::Tensor>(tensors);  // nothing but tensors without elements
  const at::Device device = tensors[plan.runs.front().tensors.front()].device();
  make_room(plan.chunk_bytes, device.is_cuda());
  for (const HostRun& run : plan.runs) {
    const at::Tensor first = tensors[run.tensors.front()].detach();
    PIXART_CHECK(first.device() == device, "tensors of several devices");
    const auto count = int64_t(run.bytes / first.element_size());
    view(chunks_[run.place.chunk], run.place.begin, first, {count})
        .copy_(first.as_strided({count}, {1}, first.storage_offset()), /*non_blocking=*/true);
  }
  nn::wait_for(device);
  std::vector<at::Tensor> copies;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto [chunk, begin] = plan.places[i];
    copies.push_back(view(chunks_[chunk], begin, tensors[i], tensors[i].sizes()));
  }
  return copies;
}

}  // namespace pixart::run

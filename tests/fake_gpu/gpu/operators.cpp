// Operations that the CPU's kernels cannot do for a device: making tensors, views, copies and what the host
// waits for.
#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <cstring>
#include <optional>
#include <string>

#include "allocators.h"
#include "device_error.h"
#include "kernels.h"
#include "record.h"
#include "streams.h"
#include "tensors.h"

namespace fake_gpu {

namespace {

using at::Tensor;

const c10::DispatchKeySet kCuda(c10::DispatchKey::CUDA);

at::Device device_or_current(std::optional<at::Device> device) {
  const at::Device current(at::kCUDA, c10::DeviceIndex(current_device()));
  return device && device->has_index() ? *device : current;
}

Tensor empty_memory_format(at::IntArrayRef sizes, std::optional<at::ScalarType> dtype,
                           std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool>,
                           std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(device_or_current(device));
  return at::detail::empty_generic(sizes, device_allocator(), kCuda, dtype.value_or(at::kFloat), format);
}

Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, std::optional<at::ScalarType> dtype,
                     std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool>) {
  const c10::DeviceGuard guard(device_or_current(device));
  return at::detail::empty_strided_generic(sizes, strides, device_allocator(), kCuda,
                                           dtype.value_or(at::kFloat));
}

const Tensor& resize(const Tensor& tensor, at::IntArrayRef sizes, std::optional<at::MemoryFormat>) {
  grow(tensor, sizes);
  return tensor;
}

void record_stream(Tensor& tensor, c10::Stream stream) {
  device_allocator()->recordStream(tensor.storage().data_ptr(), stream);
}

Tensor unfold(const Tensor& tensor, int64_t dim, int64_t size, int64_t step) {
  return at::native::unfold(tensor, dim, size, step);
}

std::string name_of_copy(const Tensor& to, const Tensor& from) {
  if (to.scalar_type() == from.scalar_type()) return "copy_";
  return std::string("copy_ ") + c10::toString(from.scalar_type()) + " to " + c10::toString(to.scalar_type());
}

// The host may not change pinned memory before it knows that a copy from it is done.
void check_unchanged(const Work& work, const Tensor& host) {
  const void* memory = host.const_data_ptr();
  when_known_done(work, pinned_allocation(memory), [memory, before = host.clone()](bool) {
    if (std::memcmp(memory, before.const_data_ptr(), before.nbytes()) != 0)
      report_fault("the host changed pinned memory before it knew that a copy from it was done");
  });
}

// Until the host knows that the copy is done, it reads NaN.
void deliver_later(const Work& work, const Tensor& host, const Tensor& device) {
  const Tensor values = at::empty_like(host).copy_(on_cpu(device));
  std::memset(host.mutable_data_ptr(), 255, host.nbytes());
  when_known_done(work, pinned_allocation(host.const_data_ptr()),
                  [memory = host.mutable_data_ptr(), values](bool freed) {
                    if (!freed) std::memcpy(memory, values.const_data_ptr(), values.nbytes());
                  });
}

// A copy from or to the host: it waits unless it was asked not to and the host's memory is pinned.
void copy_across(const Tensor& to, const Tensor& from, bool non_blocking) {
  const Tensor& host = to.is_cuda() ? from : to;
  const Tensor& device = to.is_cuda() ? to : from;
  const bool pinned = is_pinned(host.const_data_ptr()), waits = !(non_blocking && pinned);
  const std::string direction = to.is_cuda() ? "host to device" : "device to host";
  const Stream stream = current_stream(device.get_device());
  throw_if_broken();
  make_context(device.get_device());
  const Work work = begin_work(stream);
  touch(work, device, to.is_cuda(), "a copy " + direction);
  count_copy(direction, bytes_of(device));
  if (to.is_cuda())
    on_cpu(to).copy_(from);
  else if (waits || !host.is_contiguous())
    Tensor(to).copy_(on_cpu(from));
  else
    return deliver_later(work, host, device);
  if (waits) wait_for_stream(stream, ("copy " + direction + (pinned ? ", blocking" : ", pageable")).c_str());
  if (!waits && host.is_contiguous()) check_unchanged(work, host);
  throw_if_broken();
}

Tensor& copy(Tensor& to, const Tensor& from, bool non_blocking) {
  if (to.numel() == 0) return to;
  const InKernel in_kernel;
  if (!to.is_cuda() || !from.is_cuda()) {
    copy_across(to, from, non_blocking);
    return to;
  }
  count_kernel(name_of_copy(to, from), {from}, {to});
  on_cpu(to).copy_(on_cpu(from));
  return to;
}

// What the host asks a tensor for.
template <class Answer>
auto answer(const Tensor& tensor, const char* what, const Answer& compute) {
  const InKernel in_kernel;
  throw_if_broken();
  const Stream stream = current_stream(tensor.get_device());
  touch(begin_work(stream), tensor, false, what);
  count_copy("device to host", double(tensor.element_size()));
  wait_for_stream(stream, what);
  throw_if_broken();
  return compute();
}

at::Scalar item(const Tensor& tensor) {
  return answer(tensor, "item", [&] { return on_cpu(tensor).item(); });
}

bool equal(const Tensor& a, const Tensor& b) {
  return answer(a, "equal", [&] { return at::equal(on_cpu(a), on_cpu(b)); });
}

// Products of 16-bit numbers with a float32 result, which the CPU does not have.
Tensor product(const Tensor& a, const Tensor& b, at::ScalarType type, const Tensor& out) {
  TORCH_CHECK(type == at::kFloat && out.scalar_type() == type && a.scalar_type() == b.scalar_type(),
              "out_dtype must be the same as the dtype of the provided out tensor");
  return at::mm(on_cpu(a).to(type), on_cpu(b).to(type));
}

Tensor& mm_in_float(const Tensor& a, const Tensor& b, at::ScalarType type, Tensor& out) {
  const InKernel in_kernel;
  count_kernel("mm", {a, b}, {out});
  on_cpu(out).copy_(product(a, b, type, out));
  return out;
}

Tensor& addmm_in_float(const Tensor& self, const Tensor& a, const Tensor& b, at::ScalarType type,
                       const at::Scalar& beta, const at::Scalar& alpha, Tensor& out) {
  TORCH_CHECK(self.scalar_type() == type || self.scalar_type() == a.scalar_type(),
              "self dtype must match either out_dtype or mat1 dtype");
  const InKernel in_kernel;
  count_kernel("addmm", {self, a, b}, {out});
  on_cpu(out).copy_(at::add(at::mul(on_cpu(self), beta), product(a, b, type, out), alpha));
  return out;
}

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("empty.memory_format", &empty_memory_format);
  m.impl("empty_strided", &empty_strided);
  m.impl("as_strided", &at::native::as_strided_tensorimpl);
  m.impl("view", TORCH_FN(at::native::view));
  m.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  m.impl("unfold", &unfold);
  m.impl("resize_", &resize);
  m.impl("record_stream", &record_stream);
  m.impl("copy_", &copy);
  m.impl("_local_scalar_dense", &item);
  m.impl("equal", &equal);
  m.impl("mm.dtype_out", &mm_in_float);
  m.impl("addmm.dtype_out", &addmm_in_float);
}

}  // namespace

}  // namespace fake_gpu

#include "tensors.h"

#include <c10/core/DeviceGuard.h>

#include <algorithm>

#include "allocators.h"
#include "kernels.h"
#include "memory.h"
#include "races.h"
#include "record.h"

namespace fake_gpu {

namespace {

thread_local int t_in_kernel = 0;

size_t extent_of(const at::Tensor& tensor) {  // in bytes, from the first to the last element
  size_t extent = 1;
  for (int64_t d = 0; d < tensor.dim(); ++d) extent += size_t(tensor.size(d) - 1) * size_t(tensor.stride(d));
  return extent * tensor.element_size();
}

}  // namespace

InKernel::InKernel() { ++t_in_kernel; }
InKernel::~InKernel() { --t_in_kernel; }
bool is_in_kernel() { return t_in_kernel > 0; }

at::Tensor on_cpu(const at::Tensor& tensor) {
  const auto options = tensor.options().device(at::kCPU).requires_grad(false);
  if (tensor.numel() == 0) return at::empty_strided(tensor.sizes(), tensor.strides(), options);
  at::Tensor cpu =
      at::from_blob(seen_by_kernels(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(), options);
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) cpu.unsafeGetTensorImpl()->set_wrapped_number(true);
  return cpu;
}

at::Tensor empty_like_cpu(const at::Tensor& cpu, at::Device device) {
  const c10::DeviceGuard guard(device);
  return at::detail::empty_strided_generic(cpu.sizes(), cpu.strides(), device_allocator(),
                                           c10::DispatchKeySet(c10::DispatchKey::CUDA), cpu.scalar_type());
}

at::Tensor to_device(const at::Tensor& cpu, at::Device device) {
  at::Tensor result = empty_like_cpu(cpu, device);
  if (cpu.numel() > 0) on_cpu(result).copy_(cpu);
  return result;
}

void grow(const at::Tensor& tensor, at::IntArrayRef sizes) {
  tensor.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  const size_t bytes = size_t(tensor.numel() + tensor.storage_offset()) * tensor.element_size();
  auto* storage = tensor.unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl();
  if (bytes <= storage->nbytes()) return;
  const c10::DeviceGuard guard(tensor.device());
  auto memory = device_allocator()->allocate(bytes);
  if (storage->nbytes() > 0) device_allocator()->copy_data(memory.get(), storage->data(), storage->nbytes());
  storage->set_data_ptr_noswap(std::move(memory));
  storage->set_nbytes(bytes);
}

void touch(const Work& work, const at::Tensor& tensor, bool writes, const std::string& what) {
  if (tensor.defined() && tensor.is_cuda() && tensor.numel() > 0)
    touch(work, tensor.const_data_ptr(), extent_of(tensor), writes, what);
}

double bytes_of(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.numel() == 0) return 0;
  return double(std::min(size_t(tensor.numel()) * tensor.element_size(), extent_of(tensor)));
}

void count_kernel(const std::string& name, const std::vector<at::Tensor>& read,
                  const std::vector<at::Tensor>& written) {
  int device = current_device();
  for (const auto* tensors : {&read, &written})
    for (const at::Tensor& tensor : *tensors)
      if (tensor.defined() && tensor.is_cuda()) device = tensor.get_device();
  const Work work = begin_kernel(current_stream(device));
  double bytes_read = 0, bytes_written = 0;
  for (const at::Tensor& tensor : read) {
    touch(work, tensor, false, name);
    bytes_read += bytes_of(tensor);
  }
  for (const at::Tensor& tensor : written) {
    touch(work, tensor, true, name);
    bytes_written += bytes_of(tensor);
  }
  count_kernel(name, bytes_read, bytes_written);
}

}  // namespace fake_gpu

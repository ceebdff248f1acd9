// Tensors of the fake GPU, and the same memory as tensors of the CPU for the kernels.
#pragma once
#include <ATen/ATen.h>

#include <string>

#include "streams.h"

namespace fake_gpu {

// While it lives, this thread's operations on CPU tensors are those of a kernel.
class InKernel {
 public:
  InKernel();
  ~InKernel();
  InKernel(const InKernel&) = delete;
  InKernel& operator=(const InKernel&) = delete;
};
bool is_in_kernel();

at::Tensor on_cpu(const at::Tensor& tensor);
at::Tensor empty_like_cpu(const at::Tensor& cpu, at::Device device);  // sizes, strides and type
at::Tensor to_device(const at::Tensor& cpu, at::Device device);
// resize_: keeps the elements, allocates if the storage is too small.
void grow(const at::Tensor& tensor, at::IntArrayRef sizes);

void touch(const Work& work, const at::Tensor& tensor, bool writes, const std::string& what);
double bytes_of(const at::Tensor& tensor);  // what a kernel moves; broadcast elements once

// A kernel that reads and writes whole tensors; counts it.
void count_kernel(const std::string& name, const std::vector<at::Tensor>& read,
                  const std::vector<at::Tensor>& written);

}  // namespace fake_gpu

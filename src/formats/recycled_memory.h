// Reuses memory for tensors that are read one after the other. A fresh page costs as much time as reading its
// content, so the next tensor gets the memory of an earlier one.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>

namespace pixart::formats {

class FreeBlocks;

class RecycledMemory {
 public:
  RecycledMemory();
  // Uninitialised memory on the CPU. It may exist longer than this object, and any thread may free it.
  at::Tensor empty(at::IntArrayRef shape, at::ScalarType dtype) const;

 private:
  std::shared_ptr<FreeBlocks> free_;
};

}  // namespace pixart::formats

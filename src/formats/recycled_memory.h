// Memory of tensors that are read one after the other. A fresh page costs as much as what is read into it, so
// what one tensor leaves, the next one takes.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>

namespace pixart::formats {

class FreeBlocks;

class RecycledMemory {
 public:
  RecycledMemory();
  // Uninitialised, on the CPU. It may outlive this object, and be freed by any thread.
  at::Tensor empty(at::IntArrayRef shape, at::ScalarType dtype) const;

 private:
  std::shared_ptr<FreeBlocks> free_;
};

}  // namespace pixart::formats

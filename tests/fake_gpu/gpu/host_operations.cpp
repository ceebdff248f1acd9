// Operations on tensors of the CPU, in the threads that start kernels: work of a step that is not on the GPU.
#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "place.h"
#include "record.h"
#include "tensors.h"

namespace fake_gpu {

namespace {

// Number of elements of the largest input; -1 if there is none, or one is on the GPU.
class Inputs {
 public:
  explicit Inputs(c10::ArrayRef<const c10::IValue> inputs) {
    for (const c10::IValue& input : inputs) {
      if (input.isTensor()) see(input.toTensor());
      if (input.isTensorList())
        for (const at::Tensor& tensor : input.toTensorVector()) see(tensor);
    }
  }
  int64_t largest_on_host() const { return on_gpu_ ? -1 : largest_; }

 private:
  void see(const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    on_gpu_ = on_gpu_ || tensor.is_cuda();
    largest_ = std::max(largest_, tensor.numel());
  }
  int64_t largest_ = -1;
  bool on_gpu_ = false;
};

// Backward is made by threads of autograd, in steps only.
bool is_in_step() {
  static const Code step = code_of("_ZN6pixart5train7Trainer10train_stepEb");
  const bool is_main = ::gettid() == ::getpid();
  return !is_main || is_called_by(step);
}

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
  if (is_in_kernel() || launches_of_thread() == 0) return nullptr;
  const int64_t largest = Inputs(function.inputs()).largest_on_host();
  if (largest >= 0) count_operation_on_host(function.name(), largest, is_in_step());
  return nullptr;
}

struct HostStart {
  HostStart() {
    at::addGlobalCallback(
        at::RecordFunctionCallback(&begin).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  }
} g_host_start;

}  // namespace

}  // namespace fake_gpu

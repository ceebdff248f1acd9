// Every operation without a registration of its own (operators.cpp, attention.cpp): the CPU's kernel, on the
// memory as kernels see it.
#include <ATen/ATen.h>
#include <torch/library.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "record.h"
#include "settings.h"
#include "streams.h"
#include "tensors.h"

namespace fake_gpu {

namespace {

// The host learns from the device how large the result is.
bool waits_for_size(const std::string& name) {
  static const std::set<std::string> kNames = {"nonzero",  "nonzero_static", "masked_select",     "_unique2",
                                               "bincount", "unique_dim",     "unique_consecutive"};
  return kNames.count(name.substr(0, name.find('.'))) != 0 || name == "repeat_interleave.Tensor";
}

bool takes_mask_as_index(const std::string& name, const at::Tensor& tensor) {
  const bool indexes = name.rfind("index.", 0) == 0 || name.rfind("index_put", 0) == 0 ||
                       name.rfind("_index_put_impl", 0) == 0;
  return indexes && (tensor.scalar_type() == at::kBool || tensor.scalar_type() == at::kByte);
}

// One call: its tensors as the CPU's, and its results back on the device.
class Call {
 public:
  Call(const c10::OperatorHandle& op, torch::jit::Stack& stack) : schema_(op.schema()), stack_(stack) {
    name_ = schema_.name().substr(schema_.name().find("::") + 2);
    if (!schema_.overload_name().empty()) name_ += "." + schema_.overload_name();
  }

  void convert_arguments() {
    const size_t count = schema_.arguments().size(), begin = stack_.size() - count;
    for (size_t i = 0; i < count; ++i) {
      const auto* alias = schema_.arguments()[i].alias_info();
      convert(stack_[begin + i], alias != nullptr && alias->isWrite());
    }
    if (waits_for_size(name_)) wait(name_);
  }

  void convert_results() {
    for (auto& [device, cpu] : written_) store(device, cpu);
    const size_t count = schema_.returns().size(), begin = stack_.size() - count;
    std::vector<at::Tensor> made;
    for (size_t i = 0; i < count; ++i) {
      auto& value = stack_[begin + i];
      if (value.isTensor()) {
        value = result_of(value.toTensor(), made);
      } else if (value.isTensorList()) {
        std::vector<at::Tensor> list;
        for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(result_of(tensor, made));
        value = list;
      } else if (!value.isNone()) {
        wait(name_ + ", a number for the host");
      }
    }
    for (const auto& pair : written_) made.push_back(pair.device);
    fake_gpu::count_kernel(name_.substr(0, name_.find('.')), read_, made);
  }

 private:
  struct Pair {
    at::Tensor device, cpu;
  };

  void wait(const std::string& what) const {
    wait_for_stream(current_stream(device_ ? device_->index() : current_device()), what.c_str());
  }

  void convert(c10::IValue& value, bool writes) {
    if (value.isTensor()) {
      value = argument(value.toTensor(), writes);
    } else if (value.isTensorList()) {
      std::vector<at::Tensor> list;
      for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(argument(tensor, writes));
      value = list;
    } else if (value.isList() && value.toList().elementType()->kind() == c10::TypeKind::OptionalType) {
      c10::List<std::optional<at::Tensor>> list;
      for (const c10::IValue& item : value.toListRef())
        list.push_back(item.isNone() ? std::nullopt : std::optional(argument(item.toTensor(), writes)));
      value = list;
    } else if (value.isDevice() && value.toDevice().is_cuda()) {
      if (!device_) device_ = value.toDevice();
      value = at::Device(at::kCPU);
    }
  }

  at::Tensor argument(const at::Tensor& tensor, bool writes) {
    if (!tensor.defined()) return tensor;
    if (!tensor.is_cuda()) {
      check_host_tensor(tensor);
      return tensor;
    }
    TORCH_CHECK(!device_ || *device_ == tensor.device(),
                "Expected all tensors to be on the same device, but found at least two devices, ", *device_,
                " and ", tensor.device(), "! (in ", name_, ")");
    device_ = tensor.device();
    if (takes_mask_as_index(name_, tensor)) wait(name_ + " by a mask");
    at::Tensor cpu = on_cpu(tensor);
    if (writes)
      written_.push_back({tensor, cpu});
    else
      read_.push_back(tensor);
    return cpu;
  }

  // CUDA takes single numbers, and copies indices of the host.
  void check_host_tensor(const at::Tensor& tensor) const {
    if (tensor.dim() == 0) return;
    TORCH_CHECK(
        name_.rfind("index.", 0) == 0 || name_.rfind("index_put", 0) == 0,
        "Expected all tensors to be on the same device, but found at least two devices, cuda and cpu! (in ",
        name_, ")");
    wait(name_ + " by an index of the host");
  }

  // Kernels with an `out` may have resized it or written elsewhere.
  void store(const at::Tensor& device, const at::Tensor& cpu) const {
    if (cpu.sizes() != device.sizes()) grow(device, cpu.sizes());
    if (device.numel() == 0) return;
    const at::Tensor target = on_cpu(device);
    if (target.const_data_ptr() != cpu.const_data_ptr()) target.copy_(cpu);
  }

  at::Tensor result_of(const at::Tensor& tensor, std::vector<at::Tensor>& made) const {
    if (!tensor.defined()) return tensor;
    for (const auto& pair : written_)
      if (pair.cpu.unsafeGetTensorImpl() == tensor.unsafeGetTensorImpl()) return pair.device;
    for (const auto& argument : read_)
      if (tensor.numel() > 0 && on_cpu(argument).storage().data() == tensor.storage().data())
        report_fault(name_ + " returns a view, which the fake GPU has to be taught");
    made.push_back(
        to_device(tensor, device_.value_or(at::Device(at::kCUDA, c10::DeviceIndex(current_device())))));
    return made.back();
  }

  const c10::FunctionSchema& schema_;
  torch::jit::Stack& stack_;
  std::string name_;
  std::optional<at::Device> device_;
  std::vector<Pair> written_;
  std::vector<at::Tensor> read_;
};

void run_on_cpu(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  const InKernel in_kernel;
  Call call(op, *stack);
  call.convert_arguments();
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  call.convert_results();
}

TORCH_LIBRARY_IMPL(_, CUDA, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>()); }

// LibTorch composes these of others on a device that has no kernel of its own. CUDA has.
TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  for (const char* name :
       {"native_layer_norm", "native_group_norm", "native_group_norm_backward", "silu_backward",
        "_foreach_add_.List", "_foreach_add_.Scalar", "_foreach_clamp_min_.Scalar", "_foreach_div_.Scalar",
        "_foreach_div_.ScalarList", "_foreach_mul.List", "_foreach_mul.Scalar", "_foreach_mul_.List",
        "_foreach_mul_.Scalar", "_foreach_norm.Scalar", "_foreach_rsqrt", "_foreach_rsqrt_",
        "_foreach_sub.List", "_foreach_sub_.List"})
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());
}

}  // namespace

}  // namespace fake_gpu

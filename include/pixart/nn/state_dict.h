// Named tensors of a model, and how layers register their tensors.
//
// Models are plain structs of tensors. Each layer's constructor takes a Scope and registers its parameters
// under the published name, so the code that builds a layer shows the name of its weight:
//
//   nn::StateDict state({.dtype = at::kFloat});
//   nn::Linear fc1(nn::Scope(state) / "mlp" / "fc1", 128, 512);   // registers mlp.fc1.weight, mlp.fc1.bias
//
// A layer and the state dict share the tensor (same TensorImpl): loading copies values into it, and flat
// buffers may change its storage with set_data().
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace pixart::nn {

struct Parameter {
  std::string name;
  at::Tensor tensor;
  bool trainable = true;  // false: a buffer or a frozen parameter (saved, not trained)
};

// A low-rank change of a linear layer, W + scale * b a; see lora.h. Undefined tensors: no change.
struct Lora {
  at::Tensor a, b;  // [rank, in], [out, rank]
  double scale = 1;
};

struct LinearModule {
  std::string name;            // its weight is <name>.weight
  std::shared_ptr<Lora> lora;  // shared with the layer
};

struct StateDictOptions {
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  bool zeros = true;  // false: tensors start uninitialised, for adopt_state()
};

class StateDict {
 public:
  explicit StateDict(StateDictOptions options = {}) : options_(options) {}
  StateDict(const StateDict&) = delete;
  StateDict& operator=(const StateDict&) = delete;

  // Registers a tensor of zeros (meta device: no storage). Throws InternalError if the name exists.
  at::Tensor add(const std::string& name, at::IntArrayRef shape, bool trainable = true);

  // Registers a linear layer. Tensors that are set in the result later are the layer's adapter.
  std::shared_ptr<Lora> add_linear(const std::string& name);
  const std::vector<LinearModule>& linears() const { return linears_; }

  void freeze(const std::string& name);  // from now on the parameter is not trained; InternalError if absent

  const std::vector<Parameter>& items() const { return items_; }  // in registration order, never reordered
  std::vector<at::Tensor> trainable() const;
  bool contains(const std::string& name) const { return index_.count(name) != 0; }
  at::Tensor get(const std::string& name) const;  // InternalError if absent
  int64_t num_parameters() const;                 // number of trainable values
  const StateDictOptions& options() const { return options_; }

 private:
  StateDictOptions options_;
  std::vector<Parameter> items_;
  std::vector<LinearModule> linears_;
  std::unordered_map<std::string, size_t> index_;
};

std::vector<std::string> trainable_names(const StateDict& state);  // in order

class Scope {
 public:
  Scope(StateDict& state, std::string prefix = {}) : state_(&state), prefix_(std::move(prefix)) {}
  Scope operator/(const std::string& child) const {
    return {*state_, prefix_.empty() ? child : prefix_ + "." + child};
  }
  Scope operator/(int64_t child) const { return *this / std::to_string(child); }
  at::Tensor parameter(const std::string& name, at::IntArrayRef shape) const {
    return state_->add(full(name), shape, true);
  }
  at::Tensor buffer(const std::string& name, at::IntArrayRef shape) const {
    return state_->add(full(name), shape, false);
  }
  std::shared_ptr<Lora> linear() const { return state_->add_linear(prefix_); }
  StateDict& state() const { return *state_; }

 private:
  std::string full(const std::string& name) const { return prefix_.empty() ? name : prefix_ + "." + name; }
  StateDict* state_;
  std::string prefix_;
};

// Names that a load may ignore.
struct LoadAllowance {
  std::vector<std::string> may_be_missing;  // names or prefixes ending in '*'
  std::vector<std::string> may_be_unexpected;
};

// Throws one UserError about `subject` that lists every missing tensor, unexpected tensor and wrong shape.
void check_state(const StateDict& state, const std::map<std::string, at::Tensor>& tensors,
                 const std::string& subject, const LoadAllowance& allowance = {});

// Copies `tensors` into `state` (converting dtype). If tensors are missing, unexpected or of a wrong shape,
// throws one UserError about `subject` that lists them all, with the nearest known name, and changes nothing.
void load_state(StateDict& state, const std::map<std::string, at::Tensor>& tensors,
                const std::string& subject, const LoadAllowance& allowance = {});

// Like load_state(), but uses the memory of tensors of the right type and device instead of copying them. Not
// for a state whose tensors are views of a flat buffer.
void adopt_state(StateDict& state, std::map<std::string, at::Tensor> tensors, const std::string& subject,
                 const LoadAllowance& allowance = {});

// Copies all values; both must have the same names and shapes.
void copy_state(StateDict& to, const StateDict& from);

}  // namespace pixart::nn

#include "pixart/nn/recompute.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "pixart/base/error.h"

namespace pixart::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

thread_local bool only_graph = false;

struct OnlyGraph {
  bool before = std::exchange(only_graph, true);
  ~OnlyGraph() { only_graph = before; }
};

struct Held : torch::CustomClassHolder {  // lets an autograd context keep a function
  explicit Held(Recomputable f) : function(std::move(f)) {}
  Recomputable function;
};

struct Recompute : torch::autograd::Function<Recompute> {
  static variable_list forward(AutogradContext* context, const c10::intrusive_ptr<Held>& held,
                               at::TensorList inputs) {  // gradients are not recorded in here
    context->saved_data["function"] = at::IValue::make_capsule(held);
    context->save_for_backward(inputs.vec());
    context->set_materialize_grads(false);
    return held->function(inputs.vec());
  }

  static variable_list backward(AutogradContext* context, const variable_list& all_gradients) {
    const auto held = c10::static_intrusive_pointer_cast<Held>(context->saved_data["function"].toCapsule());
    variable_list inputs;
    for (const auto& saved : context->get_saved_variables())
      inputs.push_back(saved.detach().set_requires_grad(saved.requires_grad()));
    variable_list outputs, gradients;
    {
      const at::AutoGradMode record(true);
      const OnlyGraph without_values;
      const Tensors all = held->function(inputs);
      for (size_t i = 0; i < all.size(); ++i) {
        if (!all_gradients[i].defined() || !all[i].requires_grad()) continue;
        outputs.push_back(all[i]);
        gradients.push_back(all_gradients[i]);
      }
    }
    if (!outputs.empty()) torch::autograd::backward(outputs, gradients);  // sets the gradients of parameters
    variable_list result = {at::Tensor()};                                // no gradient for `held`
    for (const auto& input : inputs) result.push_back(input.grad());
    return result;
  }
};

}  // namespace

bool wants_only_graph() { return only_graph; }

Tensors recompute_in_backward(Recomputable function, const Tensors& inputs) {
  const bool recorded =
      at::GradMode::is_enabled() &&
      std::any_of(inputs.begin(), inputs.end(), [](const auto& input) { return input.requires_grad(); });
  if (!recorded) return function(inputs);
  return Recompute::apply(c10::make_intrusive<Held>(std::move(function)), at::TensorList(inputs));
}

namespace {

Tensors tensors_of(const Stream& stream) {
  if (!stream.branch.rows.defined()) return {stream.x};
  PIXART_CHECK(stream.gate.defined(), "a stream that leaves a branch without a gate");
  return {stream.x, stream.gate, stream.branch.rows};
}

Stream stream_of(const Tensors& tensors, size_t count, const at::Tensor& bias) {
  return count == 1 ? Stream(tensors[0]) : Stream(tensors[0], tensors[1], Branch(tensors[2], bias));
}

}  // namespace

Stream recompute_in_backward(const RecomputableBlock& block, const Stream& stream, const Tensors& others) {
  Tensors inputs = tensors_of(stream);
  const size_t count = inputs.size();
  inputs.insert(inputs.end(), others.begin(), others.end());
  const auto bias_left = std::make_shared<at::Tensor>();  // a parameter, which autograd finds by itself
  const auto function = [block, count, bias = stream.branch.bias, bias_left](const Tensors& in) {
    const Stream left = block(stream_of(in, count, bias), Tensors(in.begin() + int64_t(count), in.end()));
    *bias_left = left.branch.bias;
    return tensors_of(left);
  };
  const Tensors outputs = recompute_in_backward(Recomputable(function), inputs);
  return stream_of(outputs, outputs.size(), *bias_left);
}

}  // namespace pixart::nn

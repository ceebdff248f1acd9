#include "pixart/nn/recompute.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

namespace pixart::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Held : torch::CustomClassHolder {  // lets an autograd context keep a function
  explicit Held(Recomputable f) : function(std::move(f)) {}
  Recomputable function;
};

struct Recompute : torch::autograd::Function<Recompute> {
  static at::Tensor forward(AutogradContext* context, const c10::intrusive_ptr<Held>& held,
                            at::TensorList inputs) {  // gradients are not recorded in here
    context->saved_data["function"] = at::IValue::make_capsule(held);
    context->save_for_backward(inputs.vec());
    return held->function(inputs.vec());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto held = c10::static_intrusive_pointer_cast<Held>(context->saved_data["function"].toCapsule());
    variable_list inputs;
    for (const auto& saved : context->get_saved_variables())
      inputs.push_back(saved.detach().set_requires_grad(saved.requires_grad()));
    at::Tensor output;
    {
      const at::AutoGradMode record(true);
      output = held->function(inputs);
    }
    torch::autograd::backward({output}, gradients);  // sets the gradients of parameters
    variable_list result = {at::Tensor()};           // no gradient for `held`
    for (const auto& input : inputs) result.push_back(input.grad());
    return result;
  }
};

}  // namespace

at::Tensor recompute_in_backward(Recomputable function, const std::vector<at::Tensor>& inputs) {
  const bool recorded =
      at::GradMode::is_enabled() &&
      std::any_of(inputs.begin(), inputs.end(), [](const auto& input) { return input.requires_grad(); });
  if (!recorded) return function(inputs);
  return Recompute::apply(c10::make_intrusive<Held>(std::move(function)), at::TensorList(inputs));
}

}  // namespace pixart::nn

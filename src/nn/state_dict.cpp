#include "pixart/nn/state_dict.h"

#include <ATen/ATen.h>

#include "pixart/base/error.h"
#include "pixart/base/words.h"

namespace pixart::nn {

at::Tensor StateDict::add(const std::string& name, at::IntArrayRef shape, bool trainable) {
  PIXART_CHECK(!contains(name), "two tensors called {}", name);
  const auto options = at::TensorOptions().dtype(options_.dtype).device(options_.device);
  at::Tensor tensor = options_.zeros ? at::zeros(shape, options) : at::empty(shape, options);
  index_.emplace(name, items_.size());
  items_.push_back({name, tensor, trainable});
  return tensor;
}

std::shared_ptr<Lora> StateDict::add_linear(const std::string& name) {
  linears_.push_back({name, std::make_shared<Lora>()});
  return linears_.back().lora;
}

void StateDict::freeze(const std::string& name) {
  const auto found = index_.find(name);
  PIXART_CHECK(found != index_.end(), "no tensor is called {}", name);
  items_[found->second].trainable = false;
}

std::vector<at::Tensor> StateDict::trainable() const {
  std::vector<at::Tensor> result;
  for (const auto& item : items_)
    if (item.trainable) result.push_back(item.tensor);
  return result;
}

at::Tensor StateDict::get(const std::string& name) const {
  const auto found = index_.find(name);
  PIXART_CHECK(found != index_.end(), "no tensor is called {}", name);
  return items_[found->second].tensor;
}

std::vector<std::string> trainable_names(const StateDict& state) {
  std::vector<std::string> names;
  for (const auto& item : state.items())
    if (item.trainable) names.push_back(item.name);
  return names;
}

int64_t StateDict::num_parameters() const {
  int64_t count = 0;
  for (const auto& item : items_)
    if (item.trainable) count += item.tensor.numel();
  return count;
}

namespace {

bool allowed(const std::vector<std::string>& patterns, const std::string& name) {
  for (const auto& pattern : patterns) {
    const bool is_prefix = !pattern.empty() && pattern.back() == '*';
    if (is_prefix ? name.rfind(pattern.substr(0, pattern.size() - 1), 0) == 0 : name == pattern) return true;
  }
  return false;
}

}  // namespace

void check_state(const StateDict& state, const std::map<std::string, at::Tensor>& tensors,
                 const std::string& subject, const LoadAllowance& allowance) {
  std::vector<std::string> ours, theirs;
  for (const auto& item : state.items()) ours.push_back(item.name);
  for (const auto& [name, tensor] : tensors)
    if (!state.contains(name)) theirs.push_back(name);
  Problems problems;
  FewHints hint;
  for (const auto& item : state.items()) {
    const auto found = tensors.find(item.name);
    if (found == tensors.end()) {
      if (!allowed(allowance.may_be_missing, item.name))
        problems.add(fmt::format("missing: {} {}{}", item.name, shape_text(item.tensor.sizes().vec()),
                                 hint(item.name, theirs)));
    } else if (found->second.sizes() != item.tensor.sizes()) {
      problems.add(fmt::format("shape: {} is {} in the file, {} in the model", item.name,
                               shape_text(found->second.sizes().vec()),
                               shape_text(item.tensor.sizes().vec())));
    }
  }
  for (const auto& name : theirs)
    if (!allowed(allowance.may_be_unexpected, name))
      problems.add(fmt::format("unexpected: {}{}", name, hint(name, ours)));
  problems.throw_if_any(subject + " does not fit the model");
}

void load_state(StateDict& state, const std::map<std::string, at::Tensor>& tensors,
                const std::string& subject, const LoadAllowance& allowance) {
  check_state(state, tensors, subject, allowance);
  at::NoGradGuard no_grad;
  for (const auto& item : state.items()) {
    const auto found = tensors.find(item.name);
    if (found != tensors.end()) at::Tensor(item.tensor).copy_(found->second);
  }
}

void adopt_state(StateDict& state, std::map<std::string, at::Tensor> tensors, const std::string& subject,
                 const LoadAllowance& allowance) {
  check_state(state, tensors, subject, allowance);
  at::NoGradGuard no_grad;
  for (const auto& item : state.items()) {
    const auto found = tensors.find(item.name);
    if (found == tensors.end()) continue;
    const at::Tensor& source = found->second;
    const bool same = source.scalar_type() == item.tensor.scalar_type() &&
                      source.device() == item.tensor.device() && source.is_contiguous();
    at::Tensor tensor = item.tensor;
    if (same)
      tensor.set_data(source);
    else
      tensor.copy_(source);
    tensors.erase(found);
  }
}

void copy_state(StateDict& to, const StateDict& from) {
  PIXART_CHECK(to.items().size() == from.items().size(), "{} tensors and {}", to.items().size(),
               from.items().size());
  for (const auto& item : to.items())
    PIXART_CHECK(from.get(item.name).sizes() == item.tensor.sizes(), "{} has two shapes", item.name);
  at::NoGradGuard no_grad;
  for (const auto& item : to.items()) at::Tensor(item.tensor).copy_(from.get(item.name));
}

}  // namespace pixart::nn

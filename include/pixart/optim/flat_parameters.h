// Parameters and gradients in one contiguous buffer each, with the model's tensors as views.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace pixart::optim {

// Moves the storage of `parameters` (leaf tensors, one dtype and device, requires_grad set) into `values` and
// presets their gradients to views of `gradients`. After backward the gradients are views again.
//
// Parameters lie in the buffers in their order, but those with a flag in `without_decay` (empty: none) behind
// all others, so that weight decay is a matter of two ranges.
class FlatParameters {
 public:
  explicit FlatParameters(std::vector<at::Tensor> parameters, std::vector<bool> without_decay = {});
  at::Tensor values() const { return values_; }        // [numel]
  at::Tensor gradients() const { return gradients_; }  // [numel]
  void zero_gradients();                               // the next backward pass adds to 0
  // Instead of zero_gradients(): backward hands each gradient over, and it is copied once, instead of being
  // added to 0 that was written before. Then, after each backward pass, settle_gradients(): parameters that
  // none has reached are 0, further passes add.
  void expect_gradients();
  void settle_gradients();
  // `done(parameter)` is called within backward after a parameter's gradient has been added to `gradients`;
  // empty: no more.
  void on_gradient(std::function<void(size_t parameter)> done) const;
  int64_t size() const { return values_.numel(); }
  size_t num_parameters() const { return parameters_.size(); }
  const std::vector<at::Tensor>& parameters() const { return parameters_; }
  int64_t num_decayed() const { return num_decayed_; }  // elements; they come first
  bool decays(size_t parameter) const { return offsets_[parameter] < num_decayed_; }
  // Which of the parameters given at first these are, rising: all of them, but for a part.
  const std::vector<size_t>& indices() const { return indices_; }
  int64_t offset(size_t parameter) const { return offsets_[parameter]; }  // of the parameter's first element
  // Views of a flat buffer of the same size (EMA, moments), one per parameter, in the parameters' order.
  std::vector<at::Tensor> views(const at::Tensor& flat) const;

  // Where each of `count` parts begins and ends in the buffers: whole parameters, about as many elements
  // each. Parts may be empty.
  std::vector<std::pair<int64_t, int64_t>> part_ranges(int64_t count) const;
  // The parameters that lie in such a range, in the same memory: for an optimizer that updates just these.
  FlatParameters part(std::pair<int64_t, int64_t> range) const;

 private:
  struct Gradients;  // what backward's hooks share with all copies
  FlatParameters() = default;
  std::vector<at::Tensor> parameters_;
  std::vector<size_t> indices_;
  std::vector<int64_t> offsets_;
  int64_t num_decayed_ = 0;
  at::Tensor values_, gradients_;
  std::shared_ptr<Gradients> hooks_;
};

}  // namespace pixart::optim

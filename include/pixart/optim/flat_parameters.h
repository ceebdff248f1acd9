// Parameters and gradients in one contiguous buffer each; the model's tensors are views of them.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace pixart::optim {

// Moves the storage of `parameters` (leaf tensors, one dtype and device, requires_grad set) into `values` and
// sets their gradients to views of `gradients`. After backward the gradients are views again.
//
// Parameters are in the buffers in their order, but those with a flag in `without_decay` (empty: no flags)
// come after all others, so that weight decay needs only two ranges.
class FlatParameters {
 public:
  explicit FlatParameters(std::vector<at::Tensor> parameters, std::vector<bool> without_decay = {});
  at::Tensor values() const { return values_; }        // [numel]
  at::Tensor gradients() const { return gradients_; }  // [numel]
  void zero_gradients();                               // the next backward pass adds to 0
  // Use these instead of zero_gradients(). Before backward, expect_gradients(): each gradient is then copied
  // once into the buffer, without writing zeros first. After each backward pass, settle_gradients():
  // parameters without a gradient are 0, and further passes add.
  void expect_gradients();
  void settle_gradients();
  // On a GPU that runs our kernels (adamw.h), backward's gradients are added to the buffer in groups of up to 64 parameters and
  // about a bucket's size, in one launch each; the parameters themselves then have no gradients. settle_gradients() ends the
  // last group, also after zero_gradients() and backward.
  //
  // Makes the next backward pass, the last of a step, also sum the squares of what is in the buffer. tile_squares(), after
  // settle_gradients(): float64 sums that add up to the square of the norm, in an order that the parameters determine; undefined
  // if the pass was not measured, as on a CPU.
  void measure_gradients() const;
  at::Tensor tile_squares() const;
  // A bfloat16 copy of the values, of which `leaf` i gets the gradients of parameter i from layers that use it in its place
  // (nn::keep_copy()). Only with our kernels: false elsewhere. Whoever changes the values rounds them again: the optimizer in
  // the pass that it makes anyway, others with round_values().
  bool keep_rounded();
  at::Tensor rounded() const;  // [numel], or undefined
  const std::vector<at::Tensor>& rounded_leaves() const;
  void round_values() const;
  // Where a matrix product may write the gradient of `parameter` itself, or add to what is there. Nothing in the last pass of a
  // step, in which gradients are squared or summed over ranks as soon as backward has them, and without our kernels.
  struct Place {
    at::Tensor sum;  // a view of the buffer
    bool adds;
  };
  std::function<std::optional<Place>()> places_of(size_t parameter) const;
  void begin_last_pass() const;  // measure_gradients() also does this
  // Backward calls `done(parameter)` after a parameter's gradient has been added to `gradients`. An empty
  // function ends that.
  void on_gradient(std::function<void(size_t parameter)> done) const;
  int64_t size() const { return values_.numel(); }
  size_t num_parameters() const { return parameters_.size(); }
  const std::vector<at::Tensor>& parameters() const { return parameters_; }
  int64_t num_decayed() const { return num_decayed_; }  // elements; they come first
  bool decays(size_t parameter) const { return offsets_[parameter] < num_decayed_; }
  // The indices of these parameters among those first given, increasing: all of them, except in a part.
  const std::vector<size_t>& indices() const { return indices_; }
  int64_t offset(size_t parameter) const { return offsets_[parameter]; }  // of its first element
  // Views of a flat buffer of the same size (EMA, moments), one per parameter, in their order.
  std::vector<at::Tensor> views(const at::Tensor& flat) const;

  // Begin and end of each of `count` parts in the buffers. Parts have whole parameters and about the same
  // number of elements. A part may be empty.
  std::vector<std::pair<int64_t, int64_t>> part_ranges(int64_t count) const;
  // The parameters in such a range, in the same memory: for an optimizer that updates only these.
  FlatParameters part(std::pair<int64_t, int64_t> range) const;

 private:
  struct Gradients;  // shared by backward's hooks, all copies and parts
  FlatParameters() = default;
  std::vector<at::Tensor> parameters_;
  std::vector<size_t> indices_;
  std::vector<int64_t> offsets_;
  int64_t num_decayed_ = 0;
  at::Tensor values_, gradients_;
  std::shared_ptr<Gradients> hooks_;
};

}  // namespace pixart::optim

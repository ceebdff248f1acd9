#include "pixart/optim/flat_parameters.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "pixart/base/error.h"

namespace pixart::optim {

struct FlatParameters::Gradients {
  std::vector<at::Tensor> views;  // of the flat gradient buffer
  bool expected = false;          // backward finds no gradients and creates tensors of its own
  std::function<void(size_t)> done;

  void received(size_t i, const at::Tensor& parameter) {
    at::Tensor& gradient = parameter.mutable_grad();
    if (!gradient.is_same(views[i])) {
      views[i].copy_(gradient);
      gradient = views[i];
    }
    if (done) done(i);
  }

  // Called after a parameter's gradient changed. Parameters may exist longer than the buffers.
  struct Hook : torch::autograd::PostAccumulateGradHook {
    std::weak_ptr<Gradients> gradients;
    size_t index;
    Hook(const std::shared_ptr<Gradients>& owner, size_t i) : gradients(owner), index(i) {}
    void operator()(const at::Tensor& parameter) override {
      if (const auto owner = gradients.lock()) owner->received(index, parameter);
    }
  };
};

FlatParameters::FlatParameters(std::vector<at::Tensor> parameters, std::vector<bool> without_decay)
    : parameters_(std::move(parameters)), indices_(parameters_.size()), offsets_(parameters_.size()) {
  std::iota(indices_.begin(), indices_.end(), size_t{0});
  PIXART_CHECK(!parameters_.empty(), "no parameters");
  without_decay.resize(without_decay.empty() ? parameters_.size() : without_decay.size());
  PIXART_CHECK(without_decay.size() == parameters_.size(), "{} flags for {} parameters", without_decay.size(),
               parameters_.size());
  const auto options = parameters_.front().options();
  std::set<const void*> seen;
  int64_t size = 0;
  for (const bool is_behind : {false, true}) {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (without_decay[i] != is_behind) continue;
      const auto& parameter = parameters_[i];
      PIXART_CHECK(parameter.is_leaf() && parameter.requires_grad(),
                   "a parameter is not a leaf or needs no gradient");
      PIXART_CHECK(parameter.scalar_type() == options.dtype() && parameter.device() == options.device(),
                   "parameters have several types or devices");
      PIXART_CHECK(seen.insert(parameter.unsafeGetTensorImpl()).second, "a parameter is listed twice");
      offsets_[i] = size;
      size += parameter.numel();
    }
    if (!is_behind) num_decayed_ = size;
  }
  const at::NoGradGuard no_grad;
  values_ = at::empty({size}, options.requires_grad(false));
  gradients_ = at::zeros({size}, options.requires_grad(false));
  hooks_ = std::make_shared<Gradients>();
  hooks_->views = views(gradients_);
  const auto value_views = views(values_);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    value_views[i].copy_(parameters_[i]);
    parameters_[i].set_data(value_views[i]);
    parameters_[i].mutable_grad() = hooks_->views[i];  // backward adds to an existing gradient in place
    torch::autograd::impl::set_post_acc_grad_hooks(parameters_[i],
                                                   std::make_unique<Gradients::Hook>(hooks_, i));
  }
}

void FlatParameters::zero_gradients() {
  settle_gradients();
  gradients_.zero_();
}

void FlatParameters::expect_gradients() {
  hooks_->expected = true;
  for (auto& parameter : parameters_) parameter.mutable_grad() = at::Tensor();
}

void FlatParameters::settle_gradients() {
  if (!hooks_->expected) return;
  hooks_->expected = false;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& gradient = parameters_[i].mutable_grad();
    if (gradient.defined()) continue;
    gradient = hooks_->views[i].zero_();
  }
}

void FlatParameters::on_gradient(std::function<void(size_t)> done) const { hooks_->done = std::move(done); }

std::vector<at::Tensor> FlatParameters::views(const at::Tensor& flat) const {
  PIXART_CHECK(flat.dim() == 1 && flat.numel() == size(), "a flat buffer of {} elements for {}", flat.numel(),
               size());
  std::vector<at::Tensor> result;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    result.push_back(flat.narrow(0, offsets_[i], parameters_[i].numel()).view(parameters_[i].sizes()));
  }
  return result;
}

std::vector<std::pair<int64_t, int64_t>> FlatParameters::part_ranges(int64_t count) const {
  PIXART_CHECK(count > 0, "{} parts", count);
  std::vector<int64_t> borders = offsets_;
  borders.push_back(size());
  std::sort(borders.begin(), borders.end());
  std::vector<std::pair<int64_t, int64_t>> result;
  int64_t begin = 0;
  for (int64_t part = 1; part <= count; ++part) {
    const int64_t ideal = int64_t(double(size()) * double(part) / double(count));
    const auto above = std::lower_bound(borders.begin(), borders.end(), ideal);
    int64_t end = above == borders.end() ? size() : *above;
    if (above != borders.begin() && above != borders.end() && ideal - *std::prev(above) < end - ideal)
      end = *std::prev(above);
    if (part == count) end = size();
    end = std::max(end, begin);
    result.emplace_back(begin, end);
    begin = end;
  }
  return result;
}

FlatParameters FlatParameters::part(std::pair<int64_t, int64_t> range) const {
  const auto [begin, end] = range;
  FlatParameters result;
  result.values_ = values_.narrow(0, begin, end - begin);
  result.gradients_ = gradients_.narrow(0, begin, end - begin);
  result.num_decayed_ = std::clamp<int64_t>(num_decayed_ - begin, 0, end - begin);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (offsets_[i] < begin || offsets_[i] >= end) continue;
    PIXART_CHECK(offsets_[i] + parameters_[i].numel() <= end, "a part that cuts a parameter");
    result.parameters_.push_back(parameters_[i]);
    result.indices_.push_back(indices_[i]);
    result.offsets_.push_back(offsets_[i] - begin);
  }
  return result;
}

}  // namespace pixart::optim

#include "pixart/optim/flat_parameters.h"

#include <ATen/ATen.h>

#include <set>

#include "pixart/base/error.h"

namespace pixart::optim {

FlatParameters::FlatParameters(std::vector<at::Tensor> parameters, std::vector<bool> without_decay)
    : parameters_(std::move(parameters)), offsets_(parameters_.size()) {
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
                   "a parameter that is no leaf, or needs no gradient");
      PIXART_CHECK(parameter.scalar_type() == options.dtype() && parameter.device() == options.device(),
                   "parameters of several types or devices");
      PIXART_CHECK(seen.insert(parameter.unsafeGetTensorImpl()).second, "a parameter is listed twice");
      offsets_[i] = size;
      size += parameter.numel();
    }
    if (!is_behind) num_decayed_ = size;
  }
  const at::NoGradGuard no_grad;
  values_ = at::empty({size}, options.requires_grad(false));
  gradients_ = at::zeros({size}, options.requires_grad(false));
  const auto value_views = views(values_), gradient_views = views(gradients_);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    value_views[i].copy_(parameters_[i]);
    parameters_[i].set_data(value_views[i]);
    // Backward adds in place to a gradient that is there, so it stays a view; it must never be reset to
    // undefined.
    parameters_[i].mutable_grad() = gradient_views[i];
  }
}

void FlatParameters::zero_gradients() { gradients_.zero_(); }

std::vector<at::Tensor> FlatParameters::views(const at::Tensor& flat) const {
  PIXART_CHECK(flat.dim() == 1 && flat.numel() == size(), "a flat buffer of {} elements for {}", flat.numel(),
               size());
  std::vector<at::Tensor> result;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    result.push_back(flat.narrow(0, offsets_[i], parameters_[i].numel()).view(parameters_[i].sizes()));
  }
  return result;
}

}  // namespace pixart::optim

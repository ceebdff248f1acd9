#include "pixart/optim/flat_parameters.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "gradient_kernels.h"
#include "pixart/base/error.h"
#include "pixart/optim/adamw.h"

namespace pixart::optim {

namespace {

constexpr uintptr_t kProductAlignment = 16;    // bytes; cuBLAS is slow elsewhere
constexpr int64_t kPendingElements = 8 << 20;  // of gradients that one launch adds

}  // namespace

struct FlatParameters::Gradients {
  std::vector<at::Tensor> views;  // of the flat gradient buffer
  bool expected = false;          // backward finds no gradients and creates tensors of its own
  std::function<void(size_t)> done;

  // Of a GPU that runs our kernels:
  struct Pending {
    size_t parameter;
    at::Tensor gradient;  // as backward made it
  };
  bool gathers = false;
  at::Tensor flat, partials;  // partials: a sum of squares for each tile
  at::Tensor rounded;
  std::vector<at::Tensor> leaves;
  std::vector<int64_t> offsets, first_tile;
  std::vector<char> has_value, has_squares;  // of each parameter, in this step
  std::vector<Pending> pending;
  int64_t pending_elements = 0;
  bool measures = false, is_last_pass = false;

  void prepare_gathering(const at::Tensor& gradients, const std::vector<int64_t>& own_offsets) {
    gathers = true;
    flat = gradients;
    offsets = own_offsets;
    int64_t tiles = 0;
    for (const auto& view : views) {
      first_tile.push_back(tiles);
      tiles += kernels::gradient_tiles(view.numel());
    }
    partials = at::empty({tiles}, gradients.options().dtype(at::kDouble));
    has_value.assign(views.size(), 1);
    has_squares.assign(views.size(), 0);
  }

  void received(size_t i, const at::Tensor& parameter) {
    at::Tensor& gradient = parameter.mutable_grad();
    if (!gradient.defined()) return;  // a product has added it
    if (gathers) return collect(i, std::exchange(gradient, at::Tensor()));
    if (!gradient.is_same(views[i])) {
      views[i].copy_(gradient);
      gradient = views[i];
    }
    if (done) done(i);
  }

  bool is_pending(size_t i) const {
    return std::any_of(pending.begin(), pending.end(), [i](const auto& p) { return p.parameter == i; });
  }

  std::optional<Place> place_of(size_t i) {
    const auto address = reinterpret_cast<uintptr_t>(views[i].const_data_ptr());
    if (!gathers || is_last_pass || address % kProductAlignment != 0) return {};
    if (is_pending(i)) gather();
    return Place{views[i], std::exchange(has_value[i], 1) != 0};
  }

  void collect(size_t i, const at::Tensor& gradient) {
    if (is_pending(i)) gather();  // pieces of a launch are added in any order
    const auto type = gradient.scalar_type();
    pending.push_back(
        {i, (type == at::kFloat || type == at::kBFloat16 ? gradient : gradient.to(at::kFloat)).contiguous()});
    pending_elements += gradient.numel();
    if (pending.size() == size_t(kernels::kMostPieces) || pending_elements >= kPendingElements) gather();
  }

  // Adds what is pending to the buffer.
  void gather() {
    if (pending.empty()) return;
    kernels::GradientPieces pieces{};
    for (const auto& [i, gradient] : pending) {
      pieces.pieces[pieces.count++] = {.source = gradient.const_data_ptr(),
                                       .offset = offsets[i],
                                       .count = gradient.numel(),
                                       .first_tile = first_tile[i],
                                       .is_bfloat16 = gradient.scalar_type() == at::kBFloat16,
                                       .adds = has_value[i] != 0};
      has_value[i] = 1;
      has_squares[i] = measures ? 1 : 0;
    }
    gather_gradients(flat, pieces, measures ? partials : at::Tensor());
    const auto ready = std::exchange(pending, {});
    pending_elements = 0;
    if (done)
      for (const auto& piece : ready) done(piece.parameter);
  }

  void settle() {
    gather();
    for (size_t i = 0; i < views.size(); ++i) {
      if (has_value[i] == 0) views[i].zero_();
      has_value[i] = 1;
      if (measures && has_squares[i] == 0)
        optim::tile_squares(views[i].view({-1}),
                            partials.narrow(0, first_tile[i], kernels::gradient_tiles(views[i].numel())));
      has_squares[i] = measures ? 1 : has_squares[i];
    }
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
  if (options.dtype() == at::kFloat && kernels_usable(options.device()))
    hooks_->prepare_gathering(gradients_, offsets_);
  const auto value_views = views(values_);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    value_views[i].copy_(parameters_[i]);
    parameters_[i].set_data(value_views[i]);
    // Backward adds to an existing gradient in place.
    if (!hooks_->gathers) parameters_[i].mutable_grad() = hooks_->views[i];
    torch::autograd::impl::set_post_acc_grad_hooks(parameters_[i],
                                                   std::make_unique<Gradients::Hook>(hooks_, i));
  }
}

void FlatParameters::zero_gradients() {
  settle_gradients();
  gradients_.zero_();
  hooks_->measures = hooks_->is_last_pass = false;
}

void FlatParameters::expect_gradients() {
  hooks_->measures = hooks_->is_last_pass = false;
  if (hooks_->gathers) {
    hooks_->gather();
    std::fill(hooks_->has_value.begin(), hooks_->has_value.end(), 0);
    return;
  }
  hooks_->expected = true;
  for (auto& parameter : parameters_) parameter.mutable_grad() = at::Tensor();
}

void FlatParameters::settle_gradients() {
  if (hooks_->gathers) return hooks_->settle();
  if (!hooks_->expected) return;
  hooks_->expected = false;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& gradient = parameters_[i].mutable_grad();
    if (gradient.defined()) continue;
    gradient = hooks_->views[i].zero_();
  }
}

void FlatParameters::measure_gradients() const {
  begin_last_pass();
  if (!hooks_->gathers) return;
  hooks_->measures = true;
  std::fill(hooks_->has_squares.begin(), hooks_->has_squares.end(), 0);
}

at::Tensor FlatParameters::tile_squares() const { return hooks_->measures ? hooks_->partials : at::Tensor(); }

bool FlatParameters::keep_rounded() {
  if (!hooks_->gathers) return false;
  const at::NoGradGuard no_grad;
  hooks_->rounded = at::empty({size()}, values_.options().dtype(at::kBFloat16));
  const auto copies = views(hooks_->rounded);
  for (size_t i = 0; i < copies.size(); ++i) {
    at::Tensor leaf = copies[i].variable_data();
    leaf.set_requires_grad(true);
    torch::autograd::impl::set_post_acc_grad_hooks(leaf, std::make_unique<Gradients::Hook>(hooks_, i));
    hooks_->leaves.push_back(leaf);
  }
  round_values();
  return true;
}

// Also of a part, whose values begin somewhere in the buffer.
at::Tensor FlatParameters::rounded() const {
  if (!hooks_->rounded.defined()) return {};
  return hooks_->rounded.narrow(0, values_.storage_offset(), size());
}

const std::vector<at::Tensor>& FlatParameters::rounded_leaves() const { return hooks_->leaves; }

void FlatParameters::round_values() const {
  if (const at::Tensor copy = rounded(); copy.defined()) average_and_round({}, copy, values_, 0);
}

std::function<std::optional<FlatParameters::Place>()> FlatParameters::places_of(size_t parameter) const {
  return [buffers = std::weak_ptr<Gradients>(hooks_), parameter]() -> std::optional<Place> {
    const auto gradients = buffers.lock();  // the leaf that has this function may exist longer
    return gradients ? gradients->place_of(parameter) : std::nullopt;
  };
}

void FlatParameters::begin_last_pass() const { hooks_->is_last_pass = true; }

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
  result.hooks_ = hooks_;
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

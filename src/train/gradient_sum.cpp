#include "pixart/train/gradient_sum.h"

#include <ATen/ATen.h>

#include <cmath>
#include <utility>

#include "gradient_buckets.h"
#include "pixart/base/error.h"
#include "pixart/optim/adamw.h"

namespace pixart::train {

namespace {

constexpr int64_t kGatheredElements = 1 << 20;  // from each rank at a time

// parts[first] <- the sum of parts [first, first + count), halves first.
void sum_tree(at::Tensor& parts, int64_t first, int64_t count) {
  if (count == 1) return;
  const int64_t left = (count + 1) / 2;
  sum_tree(parts, first, left);
  sum_tree(parts, first + left, count - left);
  parts[first].add_(parts[first + left]);
}

// The losses of this rank, or undefined without samples; and the norm of the gradients.
struct OwnTotals {
  at::Tensor losses;  // [1 + recorded], float64, on the CPU
  double gradient_norm;
  at::Tensor squared_norm;
};
// `place`: of the totals on the device, in all steps.
OwnTotals read_totals(const at::Tensor& losses, int64_t count, const at::Tensor& gradients, at::Tensor& place,
                      const at::Tensor& tile_squares = {}) {
  const at::Tensor all = losses.defined() ? losses.view({count}) : losses;
  if (!place.defined() && optim::has_step_totals(gradients))
    place = at::empty({2}, gradients.options().dtype(at::kDouble));
  at::Tensor totals =
      optim::step_totals(all.defined() ? all.select(0, 0) : all, gradients, tile_squares, place);
  if (count > 1) {  // what is recorded follows the loss and the squared norm
    const at::Tensor recorded = all.defined() ? all.narrow(0, 1, count - 1).to(at::kDouble)
                                              : at::zeros({count - 1}, totals.options());
    totals = at::cat({totals, recorded});
  }
  const at::Tensor read = totals.cpu();
  return {at::cat({read.narrow(0, 0, 1), read.narrow(0, 2, count - 1)}), std::sqrt(read[1].item<double>()),
          place.defined() ? place.narrow(0, 1, 1) : place};
}

// Gathers losses and flag from all ranks.
StepTotals gather_totals(distributed::Communicator& ranks, const OwnTotals& totals, bool flag, int64_t step) {
  const int64_t count = totals.losses.numel();
  const at::Tensor own = at::cat({totals.losses, at::full({1}, flag ? 1.0 : 0.0, at::kDouble)});
  at::Tensor all = at::empty({(count + 1) * ranks.world_size()}, at::kDouble);
  ranks.all_gather(own, all, fmt::format("step {}: loss", step));
  at::Tensor parts = all.view({ranks.world_size(), count + 1});
  const bool any = parts.select(1, count).max().item<double>() > 0;
  sum_tree(parts, 0, ranks.world_size());
  const double* sums = parts.const_data_ptr<double>();
  return {.loss = sums[0],
          .recorded = std::vector<double>(sums + 1, sums + count),
          .gradient_norm = totals.gradient_norm,
          .squared_norm = totals.squared_norm,
          .flag = any};
}

// Default mode: backward itself adds up the gradients of the micro-batches.
class InOrder final : public GradientSum {
 public:
  InOrder(const optim::FlatParameters& parameters, distributed::Communicator& ranks,
          const GradientSumOptions& options)
      : parameters_(parameters), ranks_(ranks), num_losses_(1 + options.num_recorded) {
    if (ranks.world_size() > 1)
      buckets_ = std::make_unique<GradientBuckets>(parameters, ranks, options.bucket_bytes, options.shares);
  }
  void before_backward(const data::MicroBatch& batch) override {
    if (!batch.is_last) return;
    if (buckets_)
      buckets_->arm(batch.step);
    else
      parameters_.measure_gradients();
  }
  void after_backward(const data::MicroBatch&, const at::Tensor& loss) override {
    loss_ = loss_.defined() ? loss_.add(loss) : loss;
  }
  StepTotals finish(bool flag, int64_t step) override {
    if (buckets_) buckets_->finish(step);
    const at::Tensor squares = buckets_ ? buckets_->tile_squares() : parameters_.tile_squares();
    const OwnTotals totals = read_totals(std::exchange(loss_, at::Tensor()), num_losses_,
                                         parameters_.gradients(), totals_, squares);
    return gather_totals(ranks_, totals, flag, step);
  }

 private:
  const optim::FlatParameters& parameters_;
  distributed::Communicator& ranks_;
  int64_t num_losses_;
  std::unique_ptr<GradientBuckets> buckets_;
  at::Tensor loss_;  // of the step, on this rank
  at::Tensor totals_;
};

class Exact final : public GradientSum {
 public:
  Exact(const optim::FlatParameters& parameters, distributed::Communicator& ranks,
        const GradientSumOptions& options)
      : gradients_(parameters.gradients()),
        ranks_(ranks),
        num_losses_(1 + options.num_recorded),
        batch_size_(options.batch_size),
        lane_length_(batch_size_ / exact_lanes(batch_size_)) {
    PIXART_CHECK(exact_lanes(batch_size_) % ranks.world_size() == 0, "{} ranks for a batch of {}",
                 ranks.world_size(), batch_size_);
  }
  void before_backward(const data::MicroBatch& batch) override {
    PIXART_CHECK(batch.positions.size() == 1, "{} samples at a time", batch.positions.size());
  }
  void after_backward(const data::MicroBatch& batch, const at::Tensor& loss) override {
    const at::Tensor own = loss.to(at::kDouble);
    loss_ = loss_.defined() ? loss_.add(own) : own;
    if ((batch.positions.front() % batch_size_ + 1) % lane_length_ != 0) return;
    sum_.add(gradients_);
    loss_sum_.add(std::exchange(loss_, at::Tensor()));
    gradients_.zero_();
  }
  StepTotals finish(bool flag, int64_t step) override {
    gradients_.copy_(sum_.take());
    tree_sum_over_ranks(ranks_, gradients_, fmt::format("step {}: gradients", step));
    return gather_totals(ranks_, read_totals(loss_sum_.take(), num_losses_, gradients_, totals_), flag, step);
  }

 private:
  at::Tensor gradients_;
  distributed::Communicator& ranks_;
  int64_t num_losses_, batch_size_, lane_length_;
  TreeSum sum_, loss_sum_;
  at::Tensor loss_;  // of the lane, float64
  at::Tensor totals_;
};

}  // namespace

void TreeSum::add(const at::Tensor& leaf) {
  at::Tensor sum;
  if (free_.empty()) {
    sum = leaf.clone();
  } else {
    sum = std::move(free_.back());
    free_.pop_back();
    sum.copy_(leaf);
  }
  int64_t level = 0;
  for (; !pending_.empty() && pending_.back().level == level; ++level) {
    pending_.back().sum.add_(sum);
    free_.push_back(std::move(sum));
    sum = std::move(pending_.back().sum);
    pending_.pop_back();
  }
  pending_.push_back({level, std::move(sum)});
}

at::Tensor TreeSum::take() {
  if (pending_.empty()) return {};
  while (pending_.size() > 1) {
    const at::Tensor last = std::move(pending_.back().sum);
    pending_.pop_back();
    pending_.back().sum.add_(last);
    free_.push_back(last);
  }
  const at::Tensor result = pending_.back().sum;
  pending_.clear();
  free_.push_back(result);  // the caller reads it before the next add()
  return result;
}

void tree_sum_over_ranks(distributed::Communicator& ranks, at::Tensor& tensor, const std::string& phase) {
  const int64_t world = ranks.world_size();
  if (world == 1) return;
  at::Tensor flat = tensor.view({-1});
  for (int64_t begin = 0; begin < flat.numel(); begin += kGatheredElements) {
    at::Tensor own = flat.narrow(0, begin, std::min(kGatheredElements, flat.numel() - begin));
    at::Tensor all = at::empty({world * own.numel()}, own.options());
    ranks.all_gather(own, all, phase);
    at::Tensor parts = all.view({world, own.numel()});
    sum_tree(parts, 0, world);
    own.copy_(parts[0]);
  }
}

int64_t exact_lanes(int64_t batch_size) { return batch_size & -batch_size; }

std::unique_ptr<GradientSum> make_gradient_sum(const optim::FlatParameters& parameters,
                                               distributed::Communicator& ranks,
                                               const GradientSumOptions& options) {
  if (options.numerics == run::Numerics::kExact) return std::make_unique<Exact>(parameters, ranks, options);
  return std::make_unique<InOrder>(parameters, ranks, options);
}

}  // namespace pixart::train

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

// The loss of this rank, a scalar, or undefined without samples; and the norm of the gradients.
struct OwnTotals {
  double loss, gradient_norm;
};
OwnTotals read_totals(const at::Tensor& loss, const at::Tensor& gradients,
                      const at::Tensor& tile_squares = {}) {
  const at::Tensor totals = optim::step_totals(loss, gradients, tile_squares).cpu();
  return {totals.const_data_ptr<double>()[0], std::sqrt(totals.const_data_ptr<double>()[1])};
}

// Gathers loss and flag from all ranks.
StepTotals gather_totals(distributed::Communicator& ranks, const OwnTotals& totals, bool flag, int64_t step) {
  const at::Tensor own = at::tensor({totals.loss, flag ? 1.0 : 0.0}, at::kDouble);
  at::Tensor all = at::empty({2 * ranks.world_size()}, at::kDouble);
  ranks.all_gather(own, all, fmt::format("step {}: loss", step));
  at::Tensor parts = all.view({ranks.world_size(), 2});
  const bool any = parts.select(1, 1).max().item<double>() > 0;
  sum_tree(parts, 0, ranks.world_size());
  return {.loss = parts[0][0].item<double>(), .gradient_norm = totals.gradient_norm, .flag = any};
}

// Default mode: backward itself adds up the gradients of the micro-batches.
class InOrder final : public GradientSum {
 public:
  InOrder(const optim::FlatParameters& parameters, distributed::Communicator& ranks, int64_t bucket_bytes)
      : parameters_(parameters), ranks_(ranks) {
    if (ranks.world_size() > 1) buckets_ = std::make_unique<GradientBuckets>(parameters, ranks, bucket_bytes);
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
    const OwnTotals totals =
        read_totals(std::exchange(loss_, at::Tensor()), parameters_.gradients(), squares);
    return gather_totals(ranks_, totals, flag, step);
  }

 private:
  const optim::FlatParameters& parameters_;
  distributed::Communicator& ranks_;
  std::unique_ptr<GradientBuckets> buckets_;
  at::Tensor loss_;  // of the step, on this rank
};

class Exact final : public GradientSum {
 public:
  Exact(const optim::FlatParameters& parameters, distributed::Communicator& ranks, int64_t batch_size)
      : gradients_(parameters.gradients()),
        ranks_(ranks),
        batch_size_(batch_size),
        lane_length_(batch_size / exact_lanes(batch_size)) {
    PIXART_CHECK(exact_lanes(batch_size) % ranks.world_size() == 0, "{} ranks for a batch of {}",
                 ranks.world_size(), batch_size);
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
    return gather_totals(ranks_, read_totals(loss_sum_.take(), gradients_), flag, step);
  }

 private:
  at::Tensor gradients_;
  distributed::Communicator& ranks_;
  int64_t batch_size_, lane_length_;
  TreeSum sum_, loss_sum_;
  at::Tensor loss_;  // of the lane, float64
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
  if (options.numerics == run::Numerics::kExact)
    return std::make_unique<Exact>(parameters, ranks, options.batch_size);
  return std::make_unique<InOrder>(parameters, ranks, options.bucket_bytes);
}

}  // namespace pixart::train

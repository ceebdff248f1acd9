#include "pixart/train/gradient_sum.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>

#include "one_rank.h"
#include "ranks.h"

namespace pixart::train {
namespace {

TEST(TreeSum, AddsHalvesToHalves) {
  // Of floats, so that another order would show: 2^24 + 1 is 2^24.
  const float large = 16777216.0f;
  TreeSum sum;
  for (const float value : {large, 1.0f, 1.0f, 1.0f}) sum.add(at::scalar_tensor(value));
  EXPECT_EQ(sum.take().item<float>(), (large + 1.0f) + 2.0f);
  EXPECT_FALSE(sum.take().defined());
  for (const float value : {1.0f, 1.0f, large, 1.0f}) sum.add(at::scalar_tensor(value));
  EXPECT_EQ(sum.take().item<float>(), 2.0f + (large + 1.0f));
}

TEST(TreeSum, IsTheSumOverSumsOfAlignedParts) {
  const at::Tensor leaves = at::arange(1, 17, at::kFloat).rsqrt();
  TreeSum whole;
  for (int64_t i = 0; i < 16; ++i) whole.add(leaves[i]);
  const float want = whole.take().item<float>();
  for (const int64_t parts : {2, 4, 8, 16}) {
    TreeSum over_parts;
    for (int64_t part = 0; part < parts; ++part) {
      TreeSum own;
      for (int64_t i = 0; i < 16 / parts; ++i) own.add(leaves[part * 16 / parts + i]);
      over_parts.add(own.take());
    }
    EXPECT_EQ(over_parts.take().item<float>(), want) << parts;
  }
}

TEST(TreeSum, LeavesMayChangeOnceTheyAreAdded) {
  TreeSum sum;
  at::Tensor leaf = at::ones({3});
  for (int i = 0; i < 4; ++i) {
    leaf.fill_(i);
    sum.add(leaf);
  }
  EXPECT_TRUE(at::equal(sum.take(), at::full({3}, 6.0)));
}

TEST(ExactLanes, TheLargestPowerOfTwoThatDividesTheBatch) {
  for (const auto& [batch, lanes] : {std::pair{1, 1}, std::pair{2, 2}, std::pair{3, 1}, std::pair{12, 4},
                                     std::pair{64, 64}, std::pair{176, 16}})
    EXPECT_EQ(exact_lanes(batch), lanes) << batch;
}

// Two micro-batches of a batch of four, and a loss that is their sum.
TEST(GradientSum, DefaultModeLeavesTheAddingToBackward) {
  at::Tensor weight = at::ones({2}).set_requires_grad(true);
  const optim::FlatParameters flat({weight});
  const auto sum = make_gradient_sum(flat, testing::one_rank(), {.batch_size = 4});
  for (const double loss : {0.25, 0.5}) {
    const data::MicroBatch batch{.share = 0.5, .positions = {0, 1}, .rows = {0, 1}};
    sum->before_backward(batch);
    flat.gradients().add_(loss);
    sum->after_backward(batch, at::scalar_tensor(loss));
  }
  const auto totals = sum->finish(true, 0);
  EXPECT_EQ(totals.loss, 0.75);
  EXPECT_TRUE(totals.flag);
  EXPECT_DOUBLE_EQ(totals.gradient_norm, 0.75 * std::sqrt(2.0));
  EXPECT_TRUE(at::equal(flat.gradients(), at::full({2}, 0.75)));
  EXPECT_EQ(sum->finish(false, 1).loss, 0);
}

// With aspect buckets a rank may have no sample in a step, and a parameter may be without a gradient.
TEST(GradientSum, RanksWithoutSamplesAndParametersWithoutGradientsAreSummedToo) {
  std::vector<at::Tensor> sums(2);
  const auto errors = distributed::testing::with_ranks(2, 60, [&](distributed::Communicator& ranks) {
    at::Tensor used = at::full({3}, 2.0f).set_requires_grad(true),
               unused = at::ones({2}).set_requires_grad(true);
    optim::FlatParameters flat({unused, used});
    const auto sum = make_gradient_sum(flat, ranks, {.batch_size = 2, .bucket_bytes = 4});
    for (int64_t step = 0; step < 2; ++step) {
      flat.zero_gradients();
      if (ranks.rank() == 1) {
        const data::MicroBatch batch{.step = step, .positions = {0}, .rows = {0}, .is_last = true};
        sum->before_backward(batch);
        const at::Tensor loss = used.square().sum();
        torch::autograd::backward({loss}, {});
        sum->after_backward(batch, loss.detach());
      }
      const auto totals = sum->finish(false, step);
      EXPECT_EQ(totals.loss, 12);
      EXPECT_DOUBLE_EQ(totals.gradient_norm, std::sqrt(48.0)) << "of the sum, on both ranks";
    }
    sums[size_t(ranks.rank())] = flat.gradients().clone();
  });
  EXPECT_THAT(errors, ::testing::Each(""));
  for (const auto& sum : sums) EXPECT_TRUE(at::equal(sum, at::tensor({0, 0, 4, 4, 4}, at::kFloat)));
}

// One of two ranks; the other one is not there. Remembers what was summed, and lets the test wait for it.
class Recorder final : public distributed::Communicator {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 2; }
  void all_reduce_sum(at::Tensor& tensor, std::string_view) override {
    const std::scoped_lock lock(mutex_);
    sums_.emplace_back(tensor.storage_offset(), tensor.numel());
    changed_.notify_all();
  }
  void reduce_scatter(const at::Tensor&, at::Tensor&, std::string_view) override {}
  void all_gather(const at::Tensor& input, at::Tensor& output, std::string_view) override {
    output.copy_(at::cat({input, input}));
  }
  void broadcast(at::Tensor&, int, std::string_view) override {}
  void barrier(std::string_view) override {}

  // False if there are not as many in ten seconds.
  bool wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return sums_.size() >= count; });
  }
  std::vector<std::pair<int64_t, int64_t>> sums() {
    const std::scoped_lock lock(mutex_);
    return sums_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<int64_t, int64_t>> sums_;  // first element and number
};

// Biases without decay are at the end of the buffer; they are complete only when backward ends.
TEST(GradientSum, ParametersWithoutDecayDoNotKeepTheOthersWaiting) {
  constexpr int kLayers = 4;
  std::vector<at::Tensor> parameters;
  std::vector<bool> without_decay;
  for (int layer = 0; layer < kLayers; ++layer)
    for (const int64_t size : {6, 1}) {
      parameters.push_back(at::ones({size}).set_requires_grad(true));
      without_decay.push_back(size == 1);
    }
  optim::FlatParameters flat(parameters, without_decay);
  Recorder ranks;
  const auto sum = make_gradient_sum(flat, ranks, {.batch_size = 1, .bucket_bytes = 24});
  at::Tensor x = at::ones({6});
  bool began = false;
  for (int layer = 0; layer < kLayers; ++layer) {
    x = x * parameters[size_t(2 * layer)] + parameters[size_t(2 * layer + 1)];
    if (layer == 0)  // its gradient waits for the sums of the three layers after it
      x.register_hook([&](const at::Tensor& gradient) {
        began = ranks.wait_for(kLayers - 1);
        return gradient;
      });
  }
  const data::MicroBatch batch{.positions = {0}, .rows = {0}, .is_last = true};
  flat.zero_gradients();
  sum->before_backward(batch);
  const at::Tensor loss = x.sum();
  torch::autograd::backward({loss}, {});
  sum->after_backward(batch, loss.detach());
  (void)sum->finish(false, 0);
  EXPECT_TRUE(began) << "the sums begin during backward";
  EXPECT_THAT(ranks.sums(), ::testing::ElementsAre(std::pair(18, 6), std::pair(12, 6), std::pair(6, 6),
                                                   std::pair(24, 4), std::pair(0, 6)));
}

TEST(GradientSum, ExactModeStartsEachLaneAtZero) {
  at::Tensor weight = at::ones({2}).set_requires_grad(true);
  const optim::FlatParameters flat({weight});
  const auto sum =
      make_gradient_sum(flat, testing::one_rank(), {.numerics = run::Numerics::kExact, .batch_size = 6});
  for (int64_t step = 0; step < 2; ++step) {
    flat.gradients().zero_();
    for (int64_t i = 0; i < 6; ++i) {
      const data::MicroBatch batch{.step = step, .positions = {6 * step + i}, .rows = {i}};
      sum->before_backward(batch);
      EXPECT_EQ(flat.gradients()[0].item<double>(), i % 3 == 0   ? 0.0
                                                    : i % 3 == 1 ? double(i)
                                                                 : double(2 * i - 1));
      flat.gradients().add_(double(i + 1));
      sum->after_backward(batch, at::scalar_tensor(1.0));
    }
    const auto totals = sum->finish(false, step);
    EXPECT_EQ(totals.loss, 6);
    EXPECT_DOUBLE_EQ(totals.gradient_norm, 21 * std::sqrt(2.0));
    EXPECT_TRUE(at::equal(flat.gradients(), at::full({2}, 21.0)));
  }
}

}  // namespace
}  // namespace pixart::train

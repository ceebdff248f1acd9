#include "pixart/optim/flat_parameters.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <numeric>

#include "pixart/base/error.h"

namespace pixart::optim {
namespace {

std::vector<at::Tensor> some_tensors() {
  return {at::full({2, 3}, 1.0).set_requires_grad(true), at::full({}, 2.0).set_requires_grad(true),
          at::full({3}, 3.0).set_requires_grad(true)};
}

at::Tensor loss_of(const std::vector<at::Tensor>& p) {
  return at::matmul(p[0], p[2]).square().sum() + p[1] * p[2].sum();
}

// Gradients that tensors on their own get from one backward pass.
at::Tensor plain_gradients() {
  const auto parameters = some_tensors();
  torch::autograd::backward({loss_of(parameters)}, {});
  std::vector<at::Tensor> flat;
  for (const auto& p : parameters) flat.push_back(p.grad().reshape(-1));
  return at::cat(flat);
}

void expect_views(const std::vector<at::Tensor>& parameters, const FlatParameters& flat) {
  int64_t offset = 0;
  for (const auto& p : parameters) {
    EXPECT_EQ(p.data_ptr(), static_cast<float*>(flat.values().data_ptr()) + offset);
    EXPECT_EQ(p.grad().data_ptr(), static_cast<float*>(flat.gradients().data_ptr()) + offset);
    offset += p.numel();
  }
}

TEST(FlatParameters, KeepTheValuesInOrder) {
  const auto parameters = some_tensors();
  const FlatParameters flat(parameters);
  EXPECT_EQ(flat.size(), 10);
  EXPECT_TRUE(at::equal(flat.values(), at::tensor({1, 1, 1, 1, 1, 1, 2, 3, 3, 3}, at::kFloat)));
  EXPECT_FALSE(flat.values().requires_grad());
  expect_views(parameters, flat);
}

TEST(FlatParameters, StayViewsThroughBackwardAndAccumulate) {
  const auto parameters = some_tensors();
  FlatParameters flat(parameters);
  const at::Tensor once = plain_gradients();
  for (int pass = 1; pass <= 3; ++pass) {
    torch::autograd::backward({loss_of(parameters)}, {});
    expect_views(parameters, flat);
    EXPECT_TRUE(at::equal(flat.gradients(), pass * once));
  }
  flat.zero_gradients();
  expect_views(parameters, flat);
  torch::autograd::backward({loss_of(parameters)}, {});
  EXPECT_TRUE(at::equal(flat.gradients(), once));
}

TEST(FlatParameters, ExpectedGradientsReplaceWhatWasThereAndThenAddUp) {
  const auto parameters = some_tensors();
  FlatParameters flat(parameters);
  const at::Tensor once = plain_gradients();
  for (int step = 0; step < 2; ++step) {
    flat.gradients().fill_(7);
    flat.expect_gradients();
    for (int pass = 1; pass <= 3; ++pass) {
      torch::autograd::backward({loss_of(parameters)}, {});
      flat.settle_gradients();
      expect_views(parameters, flat);
      EXPECT_TRUE(at::equal(flat.gradients(), pass * once));
    }
  }
}

TEST(FlatParameters, ExpectedGradientsThatNeverCameAreZero) {
  const auto parameters = some_tensors();
  FlatParameters flat(parameters);
  flat.gradients().fill_(7);
  flat.expect_gradients();
  torch::autograd::backward({parameters[1].square()}, {});
  flat.settle_gradients();
  expect_views(parameters, flat);
  EXPECT_EQ(flat.gradients().count_nonzero().item<int64_t>(), 1);
  flat.expect_gradients();
  flat.zero_gradients();
  expect_views(parameters, flat);
  EXPECT_EQ(flat.gradients().count_nonzero().item<int64_t>(), 0);
}

TEST(FlatParameters, TellWhenAGradientIsThere) {
  const auto parameters = some_tensors();
  FlatParameters flat(parameters);
  std::vector<size_t> told;
  flat.on_gradient([&](size_t parameter) {
    EXPECT_NE(flat.views(flat.gradients())[parameter].abs().sum().item<double>(), 0);
    told.push_back(parameter);
  });
  flat.expect_gradients();
  torch::autograd::backward({loss_of(parameters)}, {});
  std::sort(told.begin(), told.end());
  std::vector<size_t> all(parameters.size());
  std::iota(all.begin(), all.end(), size_t{0});
  EXPECT_EQ(told, all);
  flat.on_gradient({});
  torch::autograd::backward({loss_of(parameters)}, {});
  EXPECT_EQ(told, all);
}

TEST(FlatParameters, AnUpdateOfTheBufferIsSeenByTheModel) {
  const auto parameters = some_tensors();
  const FlatParameters flat(parameters);
  flat.values().mul_(2);
  EXPECT_EQ(parameters[1].item<float>(), 4);
  torch::autograd::backward({loss_of(parameters)}, {});
  expect_views(parameters, flat);
  EXPECT_EQ(parameters[1].grad().item<float>(), 18);
}

TEST(FlatParameters, AParameterWithoutGradientReadsZero) {
  const auto parameters = some_tensors();
  const FlatParameters flat(parameters);
  torch::autograd::backward({parameters[1].square()}, {});
  expect_views(parameters, flat);
  EXPECT_EQ(flat.gradients().count_nonzero().item<int64_t>(), 1);
}

TEST(FlatParameters, ViewsOfAnotherBufferHaveTheParametersShapes) {
  const FlatParameters flat(some_tensors());
  const at::Tensor other = at::arange(10).to(at::kFloat);
  const auto views = flat.views(other);
  EXPECT_EQ(views[0].sizes(), at::IntArrayRef({2, 3}));
  EXPECT_EQ(views[1].item<float>(), 6);
  EXPECT_EQ(views[2][2].item<float>(), 9);
  EXPECT_THROW(flat.views(at::zeros({9})), InternalError);
}

TEST(FlatParameters, ThoseWithoutDecayLieBehindTheOthers) {
  const auto parameters = some_tensors();
  const FlatParameters flat(parameters, {true, false, true});
  EXPECT_EQ(flat.num_decayed(), 1);
  EXPECT_TRUE(at::equal(flat.values(), at::tensor({2, 1, 1, 1, 1, 1, 1, 3, 3, 3}, at::kFloat)));
  const auto views = flat.views(flat.values());
  for (size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_EQ(flat.decays(i), i == 1);
    EXPECT_EQ(views[i].data_ptr(), parameters[i].data_ptr());
    EXPECT_EQ(views[i].sizes(), parameters[i].sizes());
  }
  torch::autograd::backward({loss_of(parameters)}, {});
  const auto gradients = flat.views(flat.gradients());
  std::vector<at::Tensor> in_order;
  for (const auto& gradient : gradients) in_order.push_back(gradient.reshape(-1));
  EXPECT_TRUE(at::equal(at::cat(in_order), plain_gradients()));
  EXPECT_EQ(FlatParameters(some_tensors()).num_decayed(), 10);
  EXPECT_EQ(FlatParameters(some_tensors(), {true, true, true}).num_decayed(), 0);
}

TEST(FlatParameters, PartsAreWholeParametersAndCoverAll) {
  const FlatParameters flat(some_tensors(), {true, false, true});  // 1, then 6 and 3 elements
  for (int64_t count = 1; count <= 5; ++count) {
    const auto ranges = flat.part_ranges(count);
    ASSERT_EQ(int64_t(ranges.size()), count);
    int64_t end = 0;
    std::vector<size_t> indices;
    for (const auto& range : ranges) {
      EXPECT_EQ(range.first, end);
      end = range.second;
      const FlatParameters part = flat.part(range);
      EXPECT_EQ(part.size(), range.second - range.first);
      EXPECT_EQ(part.values().data_ptr<float>(), flat.values().data_ptr<float>() + range.first);
      EXPECT_EQ(part.gradients().data_ptr<float>(), flat.gradients().data_ptr<float>() + range.first);
      const auto views = part.views(part.values()), all = flat.views(flat.values());
      for (size_t i = 0; i < views.size(); ++i) {
        EXPECT_EQ(views[i].data_ptr(), all[part.indices()[i]].data_ptr());
        EXPECT_EQ(views[i].sizes(), all[part.indices()[i]].sizes());
        EXPECT_EQ(part.decays(i), part.indices()[i] == 1);
      }
      indices.insert(indices.end(), part.indices().begin(), part.indices().end());
    }
    EXPECT_EQ(end, flat.size());
    EXPECT_THAT(indices, ::testing::UnorderedElementsAre(0, 1, 2));
  }
  EXPECT_EQ(flat.part_ranges(2), (std::vector<std::pair<int64_t, int64_t>>{{0, 7}, {7, 10}}));
  EXPECT_THROW(flat.part({0, 3}), InternalError);
}

TEST(FlatParameters, BadParametersAreOurBug) {
  const at::Tensor good = at::ones({2}).set_requires_grad(true);
  EXPECT_THROW(FlatParameters(std::vector<at::Tensor>()), InternalError);
  EXPECT_THROW(FlatParameters({good, good}), InternalError);
  EXPECT_THROW(FlatParameters({good}, {true, false}), InternalError);
  EXPECT_THROW(FlatParameters({at::ones({2})}), InternalError);
  EXPECT_THROW(FlatParameters({good * 2}), InternalError);
  EXPECT_THROW(FlatParameters({good, at::ones({2}, at::kDouble).set_requires_grad(true)}), InternalError);
}

}  // namespace
}  // namespace pixart::optim

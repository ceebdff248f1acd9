// Properties of training that hold whatever is trained.
#include <gtest/gtest.h>

#include <cmath>

#include "pixart/base/error.h"
#include "tiny_session.h"

namespace pixart::train {
namespace {

using testing::config_of;
using testing::kTiny;
using testing::optimizer_state;
using testing::Session;
using testing::SessionOptions;

class EachOptimizer : public ::testing::TestWithParam<optim::OptimizerName> {
 protected:
  static run::TrainerConfig config_of(int64_t steps, int64_t batch) {
    auto config = testing::config_of(steps, batch);
    config.optimizer.name = GetParam();
    if (config.optimizer.name == optim::OptimizerName::kCame) {
      config.optimizer.betas = {0.9, 0.99, 0.999};
      config.optimizer.eps = 1e-30;
    } else if (config.optimizer.name == optim::OptimizerName::kMuon) {
      config.optimizer.betas = {0.95, 0.9, 0.99};
    }
    return config;
  }
};
INSTANTIATE_TEST_SUITE_P(Names, EachOptimizer,
                         ::testing::Values(optim::OptimizerName::kAdamW, optim::OptimizerName::kCame,
                                           optim::OptimizerName::kMuon),
                         [](const auto& info) { return word_of(info.param); });

TEST_P(EachOptimizer, OverfitsOneBatchOfEight) {
  Session session(config_of(600, 8), /*fixed_noise=*/true);
  const double first = session.trainer->train_step().loss;
  double last = first;
  while (session.trainer->step() < 600) last = session.trainer->train_step().loss;
  EXPECT_LT(last, 0.1 * first) << "from " << first << " to " << last;
}

TEST_P(EachOptimizer, MicroBatchesGiveTheSameStep) {
  Session whole(config_of(5, 8)), split(config_of(5, 8), false, /*micro=*/2);
  for (int step = 0; step < 5; ++step) {
    const double a = whole.trainer->train_step().loss, b = split.trainer->train_step().loss;
    EXPECT_NEAR(a, b, 2e-6 * std::abs(a));  // other order of float sums
  }
  const at::Tensor a = whole.trainer->state().values, b = split.trainer->state().values;
  EXPECT_LT((a - b).norm().item<double>(), 1e-3 * a.norm().item<double>());
  // CAME divides by a factored second moment without a floor: where a gradient is nothing but rounding, so is
  // its step.
  EXPECT_TRUE(GetParam() == optim::OptimizerName::kCame || at::allclose(a, b, 1e-4, 1e-6));
}

// Those of muP (models/mup.h).
TEST(Training, ParametersMoveWithTheirOwnLearningRates) {
  auto config = config_of(1, 8);
  config.lr_schedule.warmup_steps = 0;
  config.rates["final_layer.linear.weight"] = {0.5};
  Session own(config, true);
  std::map<std::string, at::Tensor> before;
  for (const auto& item : own.state.items()) before[item.name] = item.tensor.detach().clone();
  own.trainer->train_step();
  // The first step of Adam is the learning rate, for every value with a gradient.
  const auto moved = [&](const char* name) {
    return (own.state.get(name).detach() - before.at(name)).abs().max().item<double>();
  };
  EXPECT_NEAR(moved("final_layer.linear.weight"), 1e-3, 1e-5);
  EXPECT_NEAR(moved("final_layer.linear.bias"), 2e-3, 1e-5);
}

TEST(Training, RecomputedBlocksChangeNoBit) {
  for (const int64_t micro : {0, 2}) {
    Session plain(config_of(5, 8), false, micro);
    std::vector<double> losses;
    for (int step = 0; step < 5; ++step) losses.push_back(plain.trainer->train_step().loss);
    for (const int64_t every : {1, 2}) {
      Session session(config_of(5, 8), false, micro, {.dtype = {}, .recompute_every = every});
      for (const double loss : losses) EXPECT_EQ(session.trainer->train_step().loss, loss);
      EXPECT_TRUE(at::equal(session.trainer->state().values, plain.trainer->state().values));
      EXPECT_TRUE(at::equal(session.trainer->state().ema, plain.trainer->state().ema));
    }
  }
}

// Routed through blocks 1, and masked after block 0, until step 4.
constexpr run::SkippedTokens kRouted{.rate = 0.5, .from = 1, .to = 2, .until = 4, .loss_of_kept = false},
    kMasked{.rate = 0.75, .from = 1, .to = 3, .until = 4, .loss_of_kept = true};

SessionOptions skipping(const run::SkippedTokens& skipped, int64_t micro = 0) {
  SessionOptions options{.config = config_of(6, 8), .micro_batch_size = micro};
  options.skipped = skipped;
  return options;
}

std::vector<double> losses_of(Session& session, int64_t steps) {
  std::vector<double> losses;
  while (session.trainer->step() < steps) losses.push_back(session.trainer->train_step().loss);
  return losses;
}

TEST(SkippedTokens, NoneAreThePlainTraining) {
  Session plain(config_of(6, 8));
  const auto losses = losses_of(plain, 6);
  for (run::SkippedTokens none : {kRouted, kMasked}) {
    none.rate = 0;
    Session session(skipping(none));
    EXPECT_EQ(losses_of(session, 6), losses);
    EXPECT_TRUE(at::equal(session.trainer->state().values, plain.trainer->state().values));
  }
  // The draw is by position: 16 tokens are too few for one of them to be left out at this rate.
  Session few(skipping({.rate = 0.03, .from = 1, .to = 2}));
  EXPECT_EQ(losses_of(few, 6), losses);
}

TEST(SkippedTokens, ChangeTheStepsBeforeTheEnd) {
  Session plain(config_of(6, 8)), at_once(skipping({.rate = 0.5, .from = 1, .to = 2, .until = 0}));
  const auto losses = losses_of(plain, 6);
  EXPECT_EQ(losses_of(at_once, 6), losses);
  for (const auto& skipped : {kRouted, kMasked}) {
    Session session(skipping(skipped));
    EXPECT_NE(losses_of(session, 4).back(), losses[3]);  // the output layer begins at zero
  }
}

TEST(SkippedTokens, MicroBatchesGiveTheSameStep) {
  for (const auto& skipped : {kRouted, kMasked}) {
    Session whole(skipping(skipped)), split(skipping(skipped, 2));
    const auto a = losses_of(whole, 6), b = losses_of(split, 6);
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 2e-6 * a[i]);  // other order of float sums
  }
}

TEST(SkippedTokens, RecomputedBlocksChangeNoBit) {
  for (const auto& skipped : {kRouted, kMasked}) {
    auto options = skipping(skipped);
    Session plain(options);
    options.execution.recompute_every = 1;
    Session recomputed(options);
    EXPECT_EQ(losses_of(recomputed, 6), losses_of(plain, 6));
    EXPECT_TRUE(at::equal(recomputed.trainer->state().values, plain.trainer->state().values));
  }
}

run::AlignmentConfig aligned(double weight = 0.5) {
  run::AlignmentConfig config;
  config.teacher = "made up", config.weight = weight, config.block = 1, config.until = 4;
  return config;
}

SessionOptions with_teacher(const run::AlignmentConfig& alignment, int64_t micro = 0) {
  SessionOptions options{.config = config_of(6, 8), .micro_batch_size = micro};
  options.alignment = alignment;
  return options;
}

TEST(Alignment, AtWeightZeroIsThePlainTraining) {
  Session plain(config_of(6, 8)), none(with_teacher(aligned(0)));
  EXPECT_EQ(losses_of(none, 6), losses_of(plain, 6));
  EXPECT_TRUE(at::equal(none.trainer->state().values, plain.trainer->state().values));
}

TEST(Alignment, IsRecordedUntilItsEnd) {
  Session plain(config_of(6, 8)), session(with_teacher(aligned()));
  const double first = plain.trainer->train_step().loss;
  std::vector<double> recorded;
  while (session.trainer->step() < 6) {
    const auto result = session.trainer->train_step();
    ASSERT_EQ(result.recorded.size(), 1u);
    recorded.push_back(result.recorded[0]);
    const double expected = result.step == 0 ? first + 0.5 * recorded[0] : result.loss;
    EXPECT_NEAR(result.loss, expected, 1e-6 * expected);
  }
  for (int step = 0; step < 6; ++step) EXPECT_EQ(std::isnan(recorded[size_t(step)]), step >= 4) << step;
}

TEST(Alignment, BringsTheBlockNearerToTheTeacher) {
  auto alignment = aligned();
  alignment.until.reset();
  Session session(with_teacher(alignment));
  const double first = session.trainer->train_step().recorded[0];
  double last = first;
  while (session.trainer->step() < 100) last = session.trainer->train_step().recorded[0];
  EXPECT_LT(last, 0.5 * first) << "from " << first;
}

TEST(Alignment, MicroBatchesGiveTheSameStep) {
  Session whole(with_teacher(aligned())), split(with_teacher(aligned(), 2));
  for (int step = 0; step < 4; ++step) {
    const auto a = whole.trainer->train_step(), b = split.trainer->train_step();
    EXPECT_NEAR(a.loss, b.loss, 2e-6 * a.loss);  // other order of float sums
    EXPECT_NEAR(a.recorded[0], b.recorded[0], 2e-6);
  }
}

TEST(Alignment, ContinuesBitForBit) {
  Session whole(with_teacher(aligned())), first(with_teacher(aligned())), second(with_teacher(aligned()));
  losses_of(whole, 6);
  losses_of(first, 3);
  const auto from = first.trainer->state(), to = second.trainer->state();
  to.values.copy_(from.values);  // what a checkpoint holds
  to.ema.copy_(from.ema);
  const auto moments = first.trainer->optimizer_state(), copies = second.trainer->optimizer_state();
  for (size_t i = 0; i < moments.size(); ++i) at::Tensor(copies.at(i).tensor).copy_(moments[i].tensor);
  to.optimizer->steps() = from.optimizer->steps();
  *to.step = *from.step;
  losses_of(second, 6);
  EXPECT_TRUE(at::equal(whole.trainer->state().values, to.values));
}

const models::Execution kBfloat16{.dtype = at::kBFloat16, .recompute_every = 0};

// Noise is new at each step, and the same for both. Rounding to 8 bits moves single losses by about a
// percent; means over 50 steps stay closer.
TEST(Training, Bfloat16FollowsFloat32) {
  Session wide(config_of(200, 8)), narrow(config_of(200, 8), false, 0, kBfloat16);
  std::vector<double> want, got;
  for (int part = 0; part < 4; ++part) {
    want.push_back(0);
    got.push_back(0);
    for (int step = 0; step < 50; ++step) {
      want.back() += wide.trainer->train_step().loss / 50;
      got.back() += narrow.trainer->train_step().loss / 50;
    }
    EXPECT_NEAR(got.back(), want.back(), 0.03 * want.back()) << "steps " << 50 * part << " ..";
  }
  EXPECT_LT(want.back(), 0.9 * want.front()) << "nothing was learned, so nothing was compared";
  EXPECT_FALSE(at::equal(wide.trainer->state().values, narrow.trainer->state().values));
}

TEST(Training, Bfloat16ContinuesBitForBit) {
  Session whole(config_of(6, 8), false, /*micro=*/2, kBfloat16), first(config_of(6, 8), false, 2, kBfloat16),
      second(config_of(6, 8), false, 2, kBfloat16);
  for (int step = 0; step < 6; ++step) whole.trainer->train_step();
  for (int step = 0; step < 3; ++step) first.trainer->train_step();
  const auto from = first.trainer->state(), to = second.trainer->state();
  to.values.copy_(from.values);  // what a checkpoint holds
  to.ema.copy_(from.ema);
  const auto moments = first.trainer->optimizer_state(), copies = second.trainer->optimizer_state();
  for (size_t i = 0; i < moments.size(); ++i) at::Tensor(copies.at(i).tensor).copy_(moments[i].tensor);
  to.optimizer->steps() = from.optimizer->steps();
  *to.step = *from.step;
  for (int step = 3; step < 6; ++step) second.trainer->train_step();
  EXPECT_TRUE(at::equal(whole.trainer->state().values, to.values));
  EXPECT_TRUE(at::equal(whole.trainer->state().ema, to.ema));
}

// Half a unit in the last place of bfloat16 is 0.2 to 0.4 % of a number; a step of 1e-6 vanishes in it.
TEST(Training, Bfloat16KeepsUpdatesBelowItsResolution) {
  auto config = config_of(50, 8);
  config.optimizer.lr = 1e-7;
  config.lr_schedule.warmup_steps = 0;
  Session session(config, false, 0, kBfloat16);
  const at::Tensor values = session.trainer->state().values;
  ASSERT_EQ(values.scalar_type(), at::kFloat);
  const at::Tensor before = values.clone(), large = before.abs() > 0.05;
  ASSERT_GT(large.sum().item<int64_t>(), 1000);
  for (int step = 0; step < 50; ++step) session.trainer->train_step();
  const at::Tensor moved = (values - before).abs().masked_select(large);
  EXPECT_LT(moved.max().item<double>(), 0.05 / 512);  // less than half a unit: bfloat16 would stand still
  EXPECT_GT(moved.median().item<double>(), 0);
}

TEST(Training, EverySampleOncePerEpoch) {
  Session session(config_of(4, 6), false,
                  /*micro=*/3);  // 24 samples: three epochs of eight, straddling steps
  while (session.trainer->step() < 4) session.trainer->train_step();
  ASSERT_EQ(session.objective.seen.size(), 24u);
  std::vector<std::vector<int64_t>> epochs;
  for (size_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> rows(session.objective.seen.begin() + int64_t(epoch * 8),
                              session.objective.seen.begin() + int64_t(epoch * 8 + 8));
    epochs.push_back(rows);
    std::sort(rows.begin(), rows.end());
    EXPECT_EQ(rows, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  }
  EXPECT_NE(epochs[0], epochs[1]);
}

TEST_P(EachOptimizer, NotFiniteStepLeavesTheWeightsAlone) {
  auto config = config_of(10, 8);
  config.lr_schedule.warmup_steps = 0;
  Session session(config);
  session.trainer->train_step();
  session.objective.poison_step = 1;
  const auto state = session.trainer->state();
  const at::Tensor values = state.values.clone(), ema = state.ema.clone(),
                   moments = optimizer_state(*session.trainer);
  EXPECT_TRUE(session.trainer->train_step().skipped);
  EXPECT_TRUE(at::equal(values, state.values));
  EXPECT_TRUE(at::equal(ema, state.ema));
  EXPECT_TRUE(at::equal(moments, optimizer_state(*session.trainer)));
  EXPECT_EQ(state.optimizer->steps(), 1);
  EXPECT_FALSE(session.trainer->train_step().skipped);
  EXPECT_FALSE(at::equal(values, state.values));
}

TEST_P(EachOptimizer, FrozenPartsStayAndTheRestLearns) {
  const std::vector<std::string> frozen = {"blocks.0.*", "x_embedder.*", "*.mlp.*"};
  Session session(config_of(200, 8), /*fixed_noise=*/true, 0, {}, frozen);
  std::map<std::string, at::Tensor> before;
  for (const auto& item : session.state.items()) before[item.name] = item.tensor.detach().clone();
  nn::StateDict ema;
  const models::Transformer model(nn::Scope(ema), kTiny);
  session.trainer->bind_ema(ema);
  const double first = session.trainer->train_step().loss;
  double last = first;
  while (session.trainer->step() < 200) last = session.trainer->train_step().loss;
  EXPECT_LT(last, 0.6 * first);
  int num_frozen = 0;
  for (const auto& item : session.state.items()) {
    EXPECT_EQ(at::equal(item.tensor, before.at(item.name)), !item.trainable) << item.name;
    if (item.trainable) continue;
    ++num_frozen;
    EXPECT_FALSE(item.tensor.requires_grad()) << item.name;
    EXPECT_FALSE(item.tensor.grad().defined()) << item.name;
    EXPECT_TRUE(at::equal(item.tensor, ema.get(item.name))) << item.name;
  }
  EXPECT_GT(num_frozen, 20);
}

TEST(Training, ADecayPatternWithoutMatchIsAnError) {
  auto config = config_of(5, 8);
  config.optimizer.no_decay = {"*.bais"};
  EXPECT_THROW(Session session(config), UserError);
}

TEST(Training, GivesUpBeyondTheBudgetOfBadSteps) {
  auto config = config_of(10, 8);
  config.max_skipped = 0;
  Session session(config);
  session.objective.poison_step = 0;
  try {
    session.trainer->train_step();
    FAIL() << "no error";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kNumerics);
  }
}

TEST(Training, DrawsDependOnTheSampleIdAlone) {
  const auto all = draw_diffusion_inputs(9, {10, 11, 12, 13}, {4, 2, 2}, 1000, 0.5);
  const auto one = draw_diffusion_inputs(9, {12}, {4, 2, 2}, 1000, 0.5);
  EXPECT_TRUE(at::equal(all.noise[2], one.noise[0]));
  EXPECT_TRUE(at::equal(all.posterior[2], one.posterior[0]));
  EXPECT_TRUE(at::equal(all.t[2], one.t[0]));
  EXPECT_FALSE(at::equal(all.noise[1], all.noise[2]));
  EXPECT_FALSE(at::equal(all.noise[2], all.posterior[2]));
}

TEST(Training, DropoutShareAndTimestepsAreAsConfigured) {
  std::vector<int64_t> positions(20000);
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = int64_t(i);
  const auto draw = draw_diffusion_inputs(1, positions, {1, 1, 1}, 1000, 0.1);
  EXPECT_NEAR(draw.drop.to(at::kDouble).mean().item<double>(), 0.1, 0.01);
  EXPECT_NEAR(draw.t.to(at::kDouble).mean().item<double>(), 499.5, 8.0);  // standard error 2
  EXPECT_EQ(draw.t.min().item<int64_t>(), 0);
  EXPECT_EQ(draw.t.max().item<int64_t>(), 999);
}

TEST(Training, TheEmaFollowsTheWeights) {
  auto config = config_of(30, 8);
  Session session(config);
  at::Tensor want = session.trainer->state().values.clone();
  nn::StateDict ema;
  const models::Transformer model(nn::Scope(ema), kTiny);
  session.trainer->bind_ema(ema);
  for (int step = 0; step < 30; ++step) {
    session.trainer->train_step();
    want = 0.9 * want + 0.1 * session.trainer->state().values;
  }
  EXPECT_TRUE(at::allclose(want, session.trainer->state().ema, 1e-5, 1e-6));
  const at::Tensor bound = ema.get("blocks.0.attn.qkv.weight");
  EXPECT_FALSE(at::equal(bound, session.state.get("blocks.0.attn.qkv.weight")));
  EXPECT_TRUE(at::allclose(bound, session.state.get("blocks.0.attn.qkv.weight"), 0.5, 0.05));
  EXPECT_EQ(bound.storage().data(), session.trainer->state().ema.storage().data());  // a view, no copy
}

}  // namespace
}  // namespace pixart::train

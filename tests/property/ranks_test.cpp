// What does not depend on the number of ranks and the size of micro-batches. Ranks are threads here; each is
// a process in the tests of the command.
#include <gmock/gmock.h>

#include <cmath>
#include <mutex>

#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "ranks.h"
#include "tiny_session.h"

namespace pixart::train {
namespace {

using ::pixart::testing::config_of;
using ::pixart::testing::optimizer_state;
using ::pixart::testing::Session;
using ::pixart::testing::SessionOptions;

constexpr double kPatienceSeconds = 60;

struct Outcome {
  std::vector<double> losses, norms, recorded;
  at::Tensor values, ema;
};

// `steps` steps on `world` ranks; what rank 0 has at the end, which all others must have too.
Outcome run(int world, int64_t steps, const SessionOptions& options) {
  std::vector<Outcome> outcomes(static_cast<size_t>(world));
  const auto errors =
      distributed::testing::with_ranks(world, kPatienceSeconds, [&](distributed::Communicator& ranks) {
        SessionOptions own = options;
        own.ranks = &ranks;
        Session session(own);
        Outcome& outcome = outcomes[size_t(ranks.rank())];
        while (session.trainer->step() < steps) {
          const auto result = session.trainer->train_step();
          outcome.losses.push_back(result.loss);
          outcome.norms.push_back(result.gradient_norm);
          outcome.recorded.insert(outcome.recorded.end(), result.recorded.begin(), result.recorded.end());
        }
        outcome.values = session.trainer->state().values.clone();
        outcome.ema = session.trainer->whole_ema().clone();
      });
  EXPECT_THAT(errors, ::testing::Each(""));
  for (const auto& outcome : outcomes) {
    EXPECT_EQ(outcome.losses, outcomes[0].losses);
    EXPECT_TRUE(at::equal(outcome.values, outcomes[0].values));
    EXPECT_TRUE(at::equal(outcome.ema, outcomes[0].ema));
  }
  return outcomes[0];
}

void expect_same_bits(const Outcome& a, const Outcome& b) {
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_EQ(a.norms, b.norms);
  EXPECT_EQ(a.recorded, b.recorded);
  EXPECT_TRUE(at::equal(a.values, b.values));
  EXPECT_TRUE(at::equal(a.ema, b.ema));
}

SessionOptions options_of(int64_t steps, int64_t batch, run::Numerics numerics) {
  SessionOptions options{.config = config_of(steps, batch)};
  options.config.numerics = numerics;
  return options;
}

TEST(Ranks, ExactModeGivesTheSameBits) {
  constexpr int64_t kSteps = 60;
  auto options = options_of(kSteps, 8, run::Numerics::kExact);
  const Outcome one = run(1, kSteps, options);
  EXPECT_LT(one.losses.back(), one.losses.front());
  for (const int world : {2, 4}) {
    SCOPED_TRACE(std::to_string(world) + " ranks");
    expect_same_bits(one, run(world, kSteps, options));
  }
  options.micro_batch_size = 4;
  expect_same_bits(one, run(1, kSteps, options));
}

TEST(Ranks, ExactModeGivesTheSameBitsWhileTokensSkipBlocks) {
  auto options = options_of(6, 8, run::Numerics::kExact);
  for (const bool loss_of_kept : {false, true}) {
    options.skipped = {.rate = 0.5, .from = 1, .to = 3, .until = 4, .loss_of_kept = loss_of_kept};
    const Outcome one = run(1, 6, options);
    for (const int world : {2, 4}) expect_same_bits(one, run(world, 6, options));
  }
}

TEST(Ranks, ExactModeGivesTheSameBitsWithATeacher) {
  auto options = options_of(6, 8, run::Numerics::kExact);
  options.alignment.teacher = "made up", options.alignment.block = 1;
  const Outcome one = run(1, 6, options);
  EXPECT_EQ(one.recorded.size(), 6u);
  for (const int world : {2, 4}) expect_same_bits(one, run(world, 6, options));
}

// A batch of 12 has four lanes of three samples; of 6, two lanes.
TEST(Ranks, ExactModeWithBatchesThatAreNoPowerOfTwo) {
  for (const auto& [batch, worlds] : {std::pair{12, std::vector{2, 4}}, std::pair{6, std::vector{2}}}) {
    const auto options = options_of(20, batch, run::Numerics::kExact);
    const Outcome one = run(1, 20, options);
    for (const int world : worlds) expect_same_bits(one, run(world, 20, options));
  }
}

TEST(Ranks, ExactModeSaysWhichNumbersOfRanksItTakes) {
  const auto errors =
      distributed::testing::with_ranks(2, kPatienceSeconds, [&](distributed::Communicator& ranks) {
        auto options = options_of(1, 9, run::Numerics::kExact);
        options.ranks = &ranks;
        Session session(options);
      });
  EXPECT_THAT(errors,
              ::testing::Each(::testing::HasSubstr("needs 1 ranks or a smaller power of two, not 2")));
}

// Sums of floats in another order. A learning rate as low as the published one keeps the difference from
// growing.
TEST(Ranks, DefaultModeIsTheSameWithinRounding) {
  constexpr int64_t kSteps = 60;
  auto options = options_of(kSteps, 8, run::Numerics::kDefault);
  options.config.optimizer.lr = 2e-5;
  const Outcome one = run(1, kSteps, options);
  const auto expect_near = [&](const Outcome& other) {
    for (size_t i = 0; i < one.losses.size(); ++i)
      ASSERT_NEAR(other.losses[i], one.losses[i], 1e-6 * one.losses[i]) << "step " << i;
  };
  for (const int world : {2, 4}) expect_near(run(world, kSteps, options));
  for (const int64_t micro : {1, 2, 4}) {
    options.micro_batch_size = micro;
    expect_near(run(1, kSteps, options));
  }
}

TEST(Ranks, ShardsOfTheOptimizerChangeNoBit) {
  for (const auto name :
       {optim::OptimizerName::kAdamW, optim::OptimizerName::kCame, optim::OptimizerName::kMuon}) {
    for (const int world : {2, 4}) {
      SCOPED_TRACE(word_of(name) + ", " + std::to_string(world) + " ranks");
      auto options = options_of(10, 8, run::Numerics::kDefault);
      options.config.optimizer.name = name;
      options.config.optimizer.no_decay = {"*.bias"};
      options.config.optimizer.weight_decay = 0.1;
      if (name == optim::OptimizerName::kCame) {
        options.config.optimizer.betas = {0.9, 0.99, 0.999};
        options.config.optimizer.eps = 1e-30;
      } else if (name == optim::OptimizerName::kMuon) {
        options.config.optimizer.betas = {0.95, 0.9, 0.99};
      }
      const Outcome whole = run(world, 10, options);
      options.config.optimizer.shard = true;
      expect_same_bits(whole, run(world, 10, options));
    }
  }
}

// The target network is the EMA, which is spread over the ranks with optimizer.shard.
TEST(Ranks, DistillationGivesTheSameBits) {
  constexpr int64_t kSteps = 6;
  auto options = options_of(kSteps, 8, run::Numerics::kExact);
  options.distils = true;
  const Outcome one = run(1, kSteps, options);
  for (const int world : {2, 4}) {
    SCOPED_TRACE(std::to_string(world) + " ranks");
    options.config.optimizer.shard = false;
    expect_same_bits(one, run(world, kSteps, options));
    options.config.optimizer.shard = true;
    expect_same_bits(one, run(world, kSteps, options));
  }
  options.config.optimizer.shard = false;
  options.micro_batch_size = 4;
  expect_same_bits(one, run(1, kSteps, options));
}

// Also of one rank alone; the others must not apply it either.
TEST(Ranks, ABadGradientOfAnyParameterReachesNoWeight) {
  log::set_level(log::Level::kError);  // a warning each
  const auto errors =
      distributed::testing::with_ranks(2, kPatienceSeconds, [&](distributed::Communicator& ranks) {
        auto options = options_of(1000, 8, run::Numerics::kDefault);
        options.config.max_skipped = 1000;
        options.ranks = &ranks;
        Session session(options);
        session.trainer->train_step();
        const auto names = nn::trainable_names(session.state);
        size_t poisoned = names.size();
        double poison = 0;
        std::vector<size_t> reported;
        session.trainer->on_bad_step([&](const BadStep& bad) { reported = bad.bad_gradients; });
        for (size_t i = 0; i < names.size(); ++i) {
          session.state.get(names[i]).register_hook([&, i](const at::Tensor& gradient) {
            if (i != poisoned || ranks.rank() == 0) return gradient;
            at::Tensor bad = gradient.clone();
            bad.view({-1})[0] = poison;
            return bad;
          });
        }
        const auto state = session.trainer->state();
        const at::Tensor values = state.values.clone(), ema = state.ema.clone(),
                         moments = optimizer_state(*session.trainer);
        for (poisoned = 0; poisoned < names.size(); ++poisoned) {
          for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
            poison = bad;
            const bool skipped = session.trainer->train_step().skipped;
            if (!skipped || !at::equal(values, state.values) || !at::equal(ema, state.ema) ||
                !at::equal(moments, optimizer_state(*session.trainer)))
              throw std::runtime_error(names[poisoned] + " reached the weights");
            if (reported != std::vector<size_t>{poisoned})
              throw std::runtime_error(names[poisoned] + " is not named");
          }
        }
        if (session.trainer->train_step().skipped || at::equal(values, state.values))
          throw std::runtime_error("training does not go on");
      });
  log::set_level(log::Level::kInfo);
  EXPECT_THAT(errors, ::testing::Each(""));
}

TEST(Ranks, AWishToStopOnOneRankIsKnownToAll) {
  std::vector<std::vector<bool>> known(3);
  const auto errors =
      distributed::testing::with_ranks(3, kPatienceSeconds, [&](distributed::Communicator& ranks) {
        auto options = options_of(3, 6, run::Numerics::kDefault);
        options.ranks = &ranks;
        Session session(options);
        for (int step = 0; step < 3; ++step)
          known[size_t(ranks.rank())].push_back(
              session.trainer->train_step(step == 1 && ranks.rank() == 2).stop_requested);
      });
  EXPECT_THAT(errors, ::testing::Each(""));
  EXPECT_THAT(known, ::testing::Each(std::vector<bool>{false, true, false}));
}

}  // namespace
}  // namespace pixart::train

// What is true of distillation into a consistency model, whatever is learned.
#include <gtest/gtest.h>

#include "tiny_session.h"

namespace pixart::train {
namespace {

using testing::config_of;
using testing::EightSamples;
using testing::normal;
using testing::optimizer_state;
using testing::Session;

struct DistilledSession : Session {
  explicit DistilledSession(int64_t steps, int64_t micro = 0, const nn::LoraConfig& lora = {})
      : Session(testing::SessionOptions{
            .config = config_of(steps, 8), .micro_batch_size = micro, .lora = lora, .distils = true}) {}
};

double mean_of(Session& session, int64_t steps) {
  double sum = 0;
  for (int64_t i = 0; i < steps; ++i) sum += session.trainer->train_step().loss;
  return sum / double(steps);
}

TEST(Distillation, TheStudentLearns) {
  DistilledSession session(120);
  const double first = mean_of(session, 10);
  mean_of(session, 100);
  const double last = mean_of(session, 10);
  EXPECT_LT(last, 0.7 * first) << "from " << first << " to " << last;
}

TEST(Distillation, MicroBatchesGiveTheSameStep) {
  DistilledSession whole(5), split(5, 2);
  for (int step = 0; step < 5; ++step) {
    const double a = whole.trainer->train_step().loss, b = split.trainer->train_step().loss;
    EXPECT_NEAR(a, b, 2e-5 * std::abs(a));  // other order of float sums, and of what follows from them
  }
}

// The target network is what a checkpoint holds as the EMA; the teacher is read anew.
TEST(Distillation, ContinuesBitForBit) {
  DistilledSession whole(6), first(6), second(6);
  std::vector<double> losses;
  for (int step = 0; step < 6; ++step) losses.push_back(whole.trainer->train_step().loss);
  for (int step = 0; step < 3; ++step) first.trainer->train_step();
  const auto from = first.trainer->state(), to = second.trainer->state();
  to.values.copy_(from.values);
  to.ema.copy_(from.ema);
  const auto moments = first.trainer->optimizer_state(), copies = second.trainer->optimizer_state();
  for (size_t i = 0; i < moments.size(); ++i) at::Tensor(copies.at(i).tensor).copy_(moments[i].tensor);
  to.optimizer->steps() = from.optimizer->steps();
  *to.step = *from.step;
  for (int step = 3; step < 6; ++step) EXPECT_EQ(second.trainer->train_step().loss, losses[size_t(step)]);
  EXPECT_TRUE(at::equal(whole.trainer->state().values, to.values));
  EXPECT_TRUE(at::equal(whole.trainer->state().ema, to.ema));
}

TEST(Distillation, TheTargetIsTheEma) {
  DistilledSession session(4), other(4);
  session.trainer->train_step(), other.trainer->train_step();
  at::Tensor ema = other.trainer->state().ema;
  ema.mul_(1.5);
  EXPECT_NE(session.trainer->train_step().loss, other.trainer->train_step().loss);
}

TEST(Distillation, AdaptersLearnAndTheWeightsStay) {
  DistilledSession session(5, 0, {.rank = 4, .alpha = 8, .targets = {}});
  std::map<std::string, at::Tensor> before;
  for (const auto& item : session.state.items()) before[item.name] = item.tensor.detach().clone();
  mean_of(session, 5);
  int adapters = 0;
  for (const auto& item : session.state.items()) {
    EXPECT_EQ(item.trainable, nn::is_lora_name(item.name)) << item.name;
    const bool stays = at::equal(item.tensor, before.at(item.name));
    EXPECT_TRUE(item.trainable || stays) << item.name;
    adapters += !stays;
  }
  EXPECT_GT(adapters, 0);
}

TEST(Distillation, DrawsDependOnThePositionAlone) {
  const auto draw = draws_for_consistency(9, EightSamples::kGuidance, 0.5);
  const auto of = [&](std::vector<int64_t> positions) {
    data::Batch batch;
    batch.plan.positions = std::move(positions);
    batch.mean = at::zeros({int64_t(batch.plan.positions.size()), 4, 2, 2});
    return draw(batch);
  };
  std::vector<int64_t> many;
  for (int64_t i = 0; i < 2000; ++i) many.push_back(i);
  const auto all = of(many), some = of({11, 12});
  EXPECT_TRUE(at::equal(some.guidance, all.guidance.narrow(0, 11, 2)));
  EXPECT_TRUE(at::equal(some.t, all.t.narrow(0, 11, 2)));
  EXPECT_TRUE(at::equal(some.noise, all.noise.narrow(0, 11, 2)));
  EXPECT_GE(all.guidance.min().item<float>(), 2);
  EXPECT_LE(all.guidance.max().item<float>(), 8);
  EXPECT_NEAR(all.guidance.mean().item<float>(), 5, 0.1);
  EXPECT_EQ(all.t.min().item<int64_t>(), 0);
  EXPECT_EQ(all.t.max().item<int64_t>(), diffusion::kConsistencySteps - 1);
}

}  // namespace
}  // namespace pixart::train

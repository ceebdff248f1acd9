// What is true of training with adapters, whatever is learned.
#include <gtest/gtest.h>

#include "pixart/nn/lora.h"
#include "pixart/nn/random_fill.h"
#include "tiny_session.h"

namespace pixart::train {
namespace {

using testing::config_of;
using testing::kTiny;
using testing::normal;
using testing::Session;

struct LoraSession : Session {
  explicit LoraSession(int64_t steps, const models::Execution& execution = {}, bool fixed_noise = false)
      : Session(testing::SessionOptions{.config = config_of(steps, 8),
                                        .fixed_noise = fixed_noise,
                                        .execution = execution,
                                        .lora = {.rank = 4, .alpha = 8, .targets = {}}}) {
    // As trained weights would be: the published initialisation has a zero output, which no block can change.
    for (const char* name : {"final_layer.linear.weight", "blocks.0.cross_attn.proj.weight"})
      nn::fill_normal_named(state.get(name), name, 5, 0.1);
    for (const auto& item : state.items()) before[item.name] = item.tensor.detach().clone();
  }
  std::map<std::string, at::Tensor> before;
};

at::Tensor output_of(const models::Transformer& model) {
  at::NoGradGuard no_grad;
  return model.forward(
      normal({2, 4, 8, 8}, 11), at::tensor({500.0f, 37.0f}),
      {.caption = normal({2, 6, 16}, 12), .mask = {}, .drop = {}, .image_size = {}, .aspect_ratio = {}});
}

TEST(LoraTraining, AdaptersLearnAndTheWeightsStay) {
  LoraSession session(300, {}, /*fixed_noise=*/true);
  const double first = session.trainer->train_step().loss;
  double last = first;
  while (session.trainer->step() < 300) last = session.trainer->train_step().loss;
  EXPECT_LT(last, 0.7 * first) << "from " << first << " to " << last;
  int adapters = 0;
  for (const auto& item : session.state.items()) {
    EXPECT_EQ(item.trainable, nn::is_lora_name(item.name)) << item.name;
    EXPECT_EQ(at::equal(item.tensor, session.before.at(item.name)), !item.trainable) << item.name;
    adapters += item.trainable;
  }
  EXPECT_EQ(adapters, 3 * 2 * 7);  // blocks, A and B, layers with an adapter
}

TEST(LoraTraining, TheFirstLossIsThatOfTheWeightsAlone) {
  LoraSession session(5);
  Session plain(config_of(5, 8));
  for (const auto& item : plain.state.items()) {
    at::NoGradGuard no_grad;
    at::Tensor(item.tensor).copy_(session.before.at(item.name));
  }
  EXPECT_TRUE(at::equal(output_of(session.model), output_of(plain.model)));
  EXPECT_EQ(session.trainer->train_step().loss, plain.trainer->train_step().loss);
}

TEST(LoraTraining, MergedWeightsComputeTheSame) {
  LoraSession session(20);
  while (session.trainer->step() < 20) session.trainer->train_step();
  nn::StateDict weights;
  const models::Transformer model(nn::Scope(weights), kTiny);
  at::NoGradGuard no_grad;
  for (const auto& item : weights.items()) at::Tensor(item.tensor).copy_(session.state.get(item.name));
  const at::Tensor want = output_of(session.model);
  EXPECT_GT((want - output_of(model)).abs().max().item<double>(), 1e-3) << "nothing was learned to compare";
  for (const auto& linear : weights.linears()) {
    if (!session.state.contains(linear.name + nn::kLoraA)) continue;
    const at::Tensor a = session.state.get(linear.name + nn::kLoraA),
                     b = session.state.get(linear.name + nn::kLoraB);
    weights.get(linear.name + ".weight").add_(b.mm(a), 2);
  }
  EXPECT_LT((want - output_of(model)).abs().max().item<double>(), 1e-5);
}

TEST(LoraTraining, RecomputedBlocksChangeNoBit) {
  LoraSession plain(5), recomputed(5, {.dtype = {}, .recompute_every = 1});
  for (int step = 0; step < 5; ++step)
    EXPECT_EQ(plain.trainer->train_step().loss, recomputed.trainer->train_step().loss);
  EXPECT_TRUE(at::equal(plain.trainer->state().values, recomputed.trainer->state().values));
}

TEST(LoraTraining, Bfloat16FollowsFloat32) {
  LoraSession wide(100, {}, true), narrow(100, {.dtype = at::kBFloat16, .recompute_every = 0}, true);
  double first = 0, want = 0, got = 0;
  for (int step = 0; step < 100; ++step) {
    const double a = wide.trainer->train_step().loss, b = narrow.trainer->train_step().loss;
    if (step == 0) first = a;
    if (step >= 90) want += a / 10, got += b / 10;
  }
  EXPECT_LT(want, 0.95 * first) << "nothing was learned, so nothing was compared";
  EXPECT_NEAR(got, want, 0.05 * want);
  EXPECT_EQ(narrow.trainer->state().values.scalar_type(), at::kFloat);
}

TEST(LoraTraining, TheEmaIsOfTheAdapters) {
  LoraSession session(10);
  nn::StateDict ema;
  const models::Transformer model(nn::Scope(ema), kTiny);
  run::StageConfig stage;
  stage.objective = "text_conditional";
  stage.lora = {.rank = 4, .alpha = 8, .targets = {}};
  run::add_adapters(stage, ema);
  session.trainer->bind_ema(ema);
  while (session.trainer->step() < 10) session.trainer->train_step();
  const std::string b = "blocks.1.attn.qkv.lora_B.weight", w = "blocks.1.attn.qkv.weight";
  EXPECT_TRUE(at::equal(ema.get(w), session.state.get(w)));
  EXPECT_GT(ema.get(b).abs().max().item<double>(), 0);
  EXPECT_FALSE(at::equal(ema.get(b), session.state.get(b)));
  EXPECT_FALSE(at::equal(output_of(model), output_of(session.model)));
}

}  // namespace
}  // namespace pixart::train

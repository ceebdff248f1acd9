#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/nn/state_dict.h"
#include "pixart/train/checkpoint.h"
#include "plain_loader.h"

namespace pixart::train {
namespace {

namespace fs = std::filesystem;

// A model of two numbers-only tensors and a buffer; the loss pulls them to the sample's row.
class Line : public Objective {
 public:
  explicit Line(nn::StateDict& state)
      : weight_(state.add("weight", {3, 2})),
        bias_(state.add("bias", {5})),
        buffer_(state.add("buffer", {2}, false)) {}
  at::Tensor loss(const Batch& batch) override {
    at::Tensor loss = at::zeros({});
    for (int64_t row : batch.plan.rows)
      loss = loss + (weight_ - double(row)).square().mean() + (bias_ + 1).square().mean();
    return loss / double(batch.plan.rows.size());
  }

 private:
  at::Tensor weight_, bias_, buffer_;
};

struct Session {
  Session() : objective(state), trainer(config(), state, objective, loader) {}
  static TrainerConfig config() {
    TrainerConfig result;
    result.steps = 100;
    result.batch_size = 4;
    result.optimizer.lr = 0.1;
    result.ema_decay = 0.5;
    result.lr_schedule.warmup_steps = 0;
    return result;
  }
  nn::StateDict state;
  Line objective;
  Loader loader = testing::plain_loader(10, config().batch_size);
  Trainer trainer;
};

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    std::string pattern = (fs::temp_directory_path() / "pixart-checkpoint-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~CheckpointTest() override { fs::remove_all(folder_); }
  void save(Session& session) {
    save_checkpoint(folder_, session.trainer, session.state, {{"architecture", "line"}}, 1.5);
  }
  fs::path folder_;
};

TEST_F(CheckpointTest, ResumedTrainingIsTheUninterruptedOneBitForBit) {
  Session whole;
  for (int i = 0; i < 20; ++i) whole.trainer.train_step();
  Session first;
  for (int i = 0; i < 7; ++i) first.trainer.train_step();
  save(first);
  Session second;
  EXPECT_EQ(load_checkpoint(newest_good_checkpoint(folder_)->folder, second.trainer, second.state).seconds,
            1.5);
  EXPECT_EQ(second.trainer.step(), 7);
  for (int i = 7; i < 20; ++i) second.trainer.train_step();
  EXPECT_TRUE(at::equal(whole.trainer.state().values, second.trainer.state().values));
  EXPECT_TRUE(at::equal(whole.trainer.state().ema, second.trainer.state().ema));
  EXPECT_TRUE(
      at::equal(whole.trainer.state().optimizer->exp_avg_sq, second.trainer.state().optimizer->exp_avg_sq));
}

TEST_F(CheckpointTest, EveryFlippedByteAndCutIsDetected) {
  Session session;
  session.trainer.train_step();
  save(session);
  const fs::path folder = newest_good_checkpoint(folder_)->folder;
  EXPECT_EQ(verify_checkpoint(folder), "");
  for (const char* name : {"model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"}) {
    std::ifstream in(folder / name, std::ios::binary);
    const std::string good((std::istreambuf_iterator<char>(in)), {});
    for (size_t i = 0; i < good.size(); ++i) {
      std::string bad = good;
      bad[i] = char(bad[i] ^ (1 << (i % 8)));
      std::ofstream(folder / name, std::ios::binary) << bad;
      EXPECT_THAT(verify_checkpoint(folder), ::testing::HasSubstr(name)) << name << " byte " << i;
    }
    std::ofstream(folder / name, std::ios::binary) << good.substr(0, good.size() / 2);
    EXPECT_THAT(verify_checkpoint(folder), ::testing::HasSubstr(name));
    std::ofstream(folder / name, std::ios::binary) << good;
  }
  fs::remove(folder / "ema.safetensors");
  EXPECT_THAT(verify_checkpoint(folder), ::testing::HasSubstr("ema.safetensors is missing"));
  EXPECT_FALSE(newest_good_checkpoint(folder_).has_value());
}

TEST_F(CheckpointTest, FallsBackToTheOneBefore) {
  Session session;
  for (int i = 0; i < 3; ++i) {
    session.trainer.train_step();
    save(session);
  }
  fs::remove(list_checkpoints(folder_).back().folder / "manifest.json");
  EXPECT_EQ(newest_good_checkpoint(folder_)->step, 2);
}

TEST_F(CheckpointTest, PrunesAllButTheLastAndTheKept) {
  Session session;
  for (int i = 0; i < 6; ++i) {
    session.trainer.train_step();
    save(session);
  }
  fs::create_directories(folder_ / "step-00000009.old");  // not a checkpoint
  prune_checkpoints(folder_, 2, {3});
  std::vector<int64_t> steps;
  for (const auto& checkpoint : list_checkpoints(folder_)) steps.push_back(checkpoint.step);
  EXPECT_EQ(steps, (std::vector<int64_t>{3, 5, 6}));
}

TEST_F(CheckpointTest, AnotherModelIsRefused) {
  Session session;
  session.trainer.train_step();
  save(session);
  nn::StateDict state;
  Line objective(state);
  state.add("more", {4});
  Loader loader = testing::plain_loader(10, Session::config().batch_size);
  Trainer trainer(Session::config(), state, objective, loader);
  EXPECT_THROW(load_checkpoint(newest_good_checkpoint(folder_)->folder, trainer, state), UserError);
}

}  // namespace
}  // namespace pixart::train

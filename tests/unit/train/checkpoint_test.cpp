#include <gtest/gtest.h>

#include <cstdlib>

#include "line_trainer.h"
#include "pixart/base/error.h"
#include "pixart/train/checkpoint.h"

namespace pixart::train {
namespace {

namespace fs = std::filesystem;

using testing::Line;
using testing::Session;

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

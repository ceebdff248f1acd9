#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "checkpoint.h"
#include "line_trainer.h"
#include "pixart/base/error.h"
#include "pixart/formats/tensor_file.h"

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
  void save(Session& session) { save_checkpoint(folder_, session.trainer, session.state, facts()); }
  static CheckpointFacts facts() {
    return {
        .seconds = 1.5, .threads = 3, .data = {{"scenes", "abc"}}, .metadata = {{"architecture", "line"}}};
  }
  fs::path folder_;
};

// Every tensor of the optimizer's state, one behind the other.
at::Tensor optimizer_state(const Trainer& trainer) {
  std::vector<at::Tensor> tensors;
  for (const auto& item : trainer.optimizer_state()) tensors.push_back(item.tensor.reshape(-1));
  return at::cat(tensors);
}

struct Variant {
  optim::OptimizerName optimizer;
  std::vector<std::string> no_decay, frozen;
};

class ResumeTest : public CheckpointTest, public ::testing::WithParamInterface<Variant> {
 protected:
  static Session session() {
    run::TrainerConfig config = Session::config();
    config.optimizer.name = GetParam().optimizer;
    config.optimizer.weight_decay = 0.1;
    config.optimizer.no_decay = GetParam().no_decay;
    return Session(config, GetParam().frozen);
  }
};
INSTANTIATE_TEST_SUITE_P(Variants, ResumeTest,
                         ::testing::Values(Variant{optim::OptimizerName::kAdamW, {}, {}},
                                           Variant{optim::OptimizerName::kCame, {}, {}},
                                           Variant{optim::OptimizerName::kMuon, {"bias"}, {"base"}},
                                           Variant{optim::OptimizerName::kAdamW, {"b*"}, {}},
                                           Variant{optim::OptimizerName::kCame, {"bias"}, {"base"}},
                                           Variant{optim::OptimizerName::kAdamW, {"weight"}, {"base"}}));

TEST_P(ResumeTest, ResumedTrainingIsTheUninterruptedOneBitForBit) {
  Session whole = session();
  for (int i = 0; i < 20; ++i) whole.trainer.train_step();
  Session first = session();
  for (int i = 0; i < 7; ++i) first.trainer.train_step();
  save(first);
  Session second = session();
  second.state.get("base").detach().zero_();  // comes from the file, frozen or not
  const auto loaded =
      load_checkpoint(run::newest_good_checkpoint(folder_)->folder, second.trainer, second.state);
  EXPECT_EQ(loaded.seconds, 1.5);
  EXPECT_EQ(loaded.threads, 3);
  EXPECT_EQ(second.trainer.step(), 7);
  EXPECT_EQ(second.trainer.state().optimizer->steps(), 7);
  for (int i = 7; i < 20; ++i) second.trainer.train_step();
  EXPECT_TRUE(at::equal(whole.trainer.state().values, second.trainer.state().values));
  EXPECT_TRUE(at::equal(whole.trainer.state().ema, second.trainer.state().ema));
  EXPECT_TRUE(at::equal(optimizer_state(whole.trainer), optimizer_state(second.trainer)));
  for (const auto& parameter : whole.state.items())
    EXPECT_TRUE(at::equal(parameter.tensor, second.state.get(parameter.name))) << parameter.name;
}

TEST_F(CheckpointTest, PowerEmasContinueAndAreStored) {
  auto config = Session::config();
  config.power_ema.every = 5;
  const auto store = [&](Session& session, const char* name) {
    store_power_emas(folder_ / name, session.trainer, session.state, {});
  };
  Session whole(config);
  for (int i = 0; i < 20; ++i) whole.trainer.train_step();
  store(whole, "whole");
  Session first(config);
  for (int i = 0; i < 7; ++i) first.trainer.train_step();
  save(first);
  Session second(config);
  load_checkpoint(run::newest_good_checkpoint(folder_)->folder, second.trainer, second.state);
  for (int i = 7; i < 20; ++i) second.trainer.train_step();
  store(second, "second");
  const auto a = formats::load_safetensors(folder_ / "whole/step-00000020.safetensors"),
             b = formats::load_safetensors(folder_ / "second/step-00000020.safetensors");
  EXPECT_EQ(a.tensors.size(), 8u);
  for (const auto& [name, tensor] : a.tensors) EXPECT_TRUE(at::equal(tensor, b.tensors.at(name))) << name;
  EXPECT_FALSE(at::equal(a.tensors.at("0.weight"), a.tensors.at("1.weight")));
  EXPECT_EQ(a.metadata, b.metadata);
  EXPECT_EQ(optim::parse_stored_emas(a.metadata.at(optim::kPowerEmaKey), "it").updates, 20);
}

TEST_F(CheckpointTest, FrozenParametersAreSavedAsTheyAre) {
  Session session(Session::config(), {"base"});
  for (int i = 0; i < 3; ++i) session.trainer.train_step();
  save(session);
  const fs::path folder = run::newest_good_checkpoint(folder_)->folder;
  for (const char* name : {"model.safetensors", "ema.safetensors"}) {
    const auto saved = formats::load_safetensors(folder / name).tensors;
    EXPECT_EQ(saved.size(), 4u);
    EXPECT_TRUE(at::equal(saved.at("base"), at::full({2}, 0.5))) << name;
  }
  const auto optimizer = formats::load_safetensors(folder / "optimizer.safetensors").tensors;
  EXPECT_EQ(optimizer.size(), 4u);
  EXPECT_EQ(optimizer.count("exp_avg.base"), 0u);
}

TEST_F(CheckpointTest, TheStateOfAnotherOptimizerIsRefused) {
  Session session;
  session.trainer.train_step();
  save(session);
  auto config = Session::config();
  config.optimizer.name = optim::OptimizerName::kCame;
  Session other(config);
  try {
    load_checkpoint(run::newest_good_checkpoint(folder_)->folder, other.trainer, other.state);
    FAIL() << "no error";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(),
                ::testing::HasSubstr("holds the state of optimizer adamw, but optimizer.name is came"));
  }
}

// Nobody has hashed it, and it would be the last in order.
TEST_F(CheckpointTest, FilesThatTheManifestDoesNotNameAreNotRead) {
  Session session;
  session.trainer.train_step();
  save(session);
  const fs::path earlier = run::newest_good_checkpoint(folder_)->folder;
  session.trainer.train_step();
  save(session);
  const fs::path folder = run::newest_good_checkpoint(folder_)->folder;
  const at::Tensor moments = optimizer_state(session.trainer);
  fs::copy_file(earlier / "optimizer.safetensors", folder / "optimizer.safetensors.old");
  std::ofstream(folder / "optimizer.txt") << "to do";
  fs::create_directories(folder / "optimizer");
  Session other;
  load_checkpoint(folder, other.trainer, other.state);
  EXPECT_TRUE(at::equal(optimizer_state(other.trainer), moments));
}

// What one rank has verified, another may read from a file server that shows other bytes.
TEST_F(CheckpointTest, EachPartIsVerifiedWhereItIsRead) {
  Session session;
  session.trainer.train_step();
  save(session);
  const fs::path folder = run::newest_good_checkpoint(folder_)->folder;
  for (const char* name : {"model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"}) {
    std::string bytes = read_file(folder / name);
    const std::string whole = bytes;
    bytes[bytes.size() - 3] = char(bytes[bytes.size() - 3] ^ 1);
    std::ofstream(folder / name, std::ios::binary) << bytes;
    Session other;
    try {
      load_checkpoint(folder, other.trainer, other.state);
      ADD_FAILURE() << name;
    } catch (const DamagedCheckpoint& error) {
      EXPECT_EQ(error.code(), ExitCode::kStorage);
      EXPECT_THAT(error.what(),
                  ::testing::AllOf(::testing::HasSubstr(name), ::testing::HasSubstr("SHA-256")));
    }
    std::ofstream(folder / name, std::ios::binary) << whole;
  }
}

TEST_F(CheckpointTest, OtherDataIsRefusedAndNamed) {
  Session session;
  session.trainer.train_step();
  save(session);
  const auto folder = run::newest_good_checkpoint(folder_)->folder;
  EXPECT_EQ(load_checkpoint(folder, session.trainer, session.state, {{"scenes", "abc"}}).data.at("scenes"),
            "abc");
  try {
    load_checkpoint(folder, session.trainer, session.state, {{"scenes", "other"}, {"more", "x"}});
    FAIL() << "no error";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), ::testing::AllOf(::testing::HasSubstr("source scenes has changed"),
                                               ::testing::HasSubstr("source more is new")));
  }
}

TEST_F(CheckpointTest, AStateThatIsNotFiniteIsNotKept) {
  Session session;
  session.trainer.train_step();
  require_finite(session.trainer);
  const auto state = session.trainer.state();
  std::vector<std::pair<std::string, at::Tensor>> tensors = {{"a weight", state.values},
                                                             {"the EMA", state.ema}};
  for (const auto& item : session.trainer.optimizer_state())
    tensors.emplace_back("the optimizer's " + item.key, item.tensor);
  for (auto& [name, tensor] : tensors) {
    at::Tensor number = tensor.view({-1})[0];
    const at::Tensor before = number.clone();
    for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
      number.fill_(bad);
      try {
        require_finite(session.trainer);
        ADD_FAILURE() << "no error";
      } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::kNumerics);
        EXPECT_THAT(error.what(), ::testing::HasSubstr(name + " is not finite"));
      }
    }
    number.copy_(before);
  }
  require_finite(session.trainer);
}

TEST_F(CheckpointTest, AnotherModelIsRefused) {
  Session session;
  session.trainer.train_step();
  save(session);
  nn::StateDict state;
  Line objective(state);
  state.add("more", {4});
  data::Loader loader = testing::plain_loader(10, Session::config().batch_size);
  Trainer trainer(Session::config(), state, objective, loader, testing::one_rank());
  EXPECT_THROW(load_checkpoint(run::newest_good_checkpoint(folder_)->folder, trainer, state), UserError);
}

}  // namespace
}  // namespace pixart::train

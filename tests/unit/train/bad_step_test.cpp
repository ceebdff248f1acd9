#include "bad_step.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "line_trainer.h"
#include "pixart/base/file.h"
#include "pixart/formats/tensor_file.h"
#include "scratch_folder.h"

namespace pixart::train {
namespace {

class BadStepTest : public testing::ScratchFolder {};

using nlohmann::json;

TEST_F(BadStepTest, KeepsWhatTheStepWasGiven) {
  testing::Session session;
  session.trainer.train_step();
  session.trainer.on_bad_step([&](const BadStep& bad) {
    write_bad_step(folder_ / "bad_steps", {"text", 7, 0}, bad, session.state);
  });
  at::Tensor bias = session.state.get("bias");
  const at::Tensor before = bias.detach().clone();
  {
    const at::NoGradGuard no_grad;
    bias[2].fill_(std::nan(""));
  }
  EXPECT_TRUE(session.trainer.train_step().skipped);

  const auto own = folder_ / "bad_steps" / "text-step-00000001";
  const json report = json::parse(read_file(own / "rank-0.json"));
  EXPECT_EQ(report.at("step"), 1);
  EXPECT_EQ(report.at("seed"), 7);
  EXPECT_EQ(report.at("loss"), "nan");
  EXPECT_THAT(report.at("gradients_not_finite").get<std::vector<std::string>>(), ::testing::Contains("bias"));
  EXPECT_EQ(report.at("micro_batches").size(), 1);
  EXPECT_EQ(report.at("micro_batches")[0].at("positions"), (std::vector<int64_t>{4, 5, 6, 7}));
  EXPECT_EQ(report.at("micro_batches")[0].at("rows").size(), 4);
  const auto weights = formats::load_safetensors(own / "model.safetensors").tensors;
  EXPECT_TRUE(std::isnan(weights.at("bias")[2].item<double>()));
  EXPECT_TRUE(at::equal(weights.at("weight"), session.state.get("weight")));

  EXPECT_TRUE(session.trainer.train_step().skipped);  // the weights are kept once
  EXPECT_TRUE(std::filesystem::exists(folder_ / "bad_steps" / "text-step-00000002" / "rank-0.json"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "bad_steps" / "text-step-00000002" / "model.safetensors"));
}

TEST_F(BadStepTest, ADiskThatFailsEndsNothing) {
  testing::Session session;
  const BadStep bad{.result = {.step = 3}};
  write_bad_step("/proc/no-such-folder", {"text", 7, 0}, bad, session.state);
}

}  // namespace
}  // namespace pixart::train

#include "pixart/convert/stated_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pixart/base/error.h"
#include "scratch_folder.h"

namespace pixart::convert {
namespace {

using diffusion::Prediction;
using diffusion::Process;
using ::testing::HasSubstr;

class StatedProcess : public testing::ScratchFolder {
 protected:
  Process scheduler(const std::string& json) const { return read_scheduler(write("scheduler.json", json)); }
  std::string refusal(const std::string& json) const {
    try {
      scheduler(json);
      return "";
    } catch (const UserError& error) {
      return error.what();
    }
  }
};

TEST_F(StatedProcess, TheTextReadsBack) {
  Process process;
  EXPECT_EQ(process_text(process), R"({"prediction":"epsilon"})");
  process.prediction = Prediction::kFlow;
  process.shift = 3;
  EXPECT_EQ(process_text(process), R"({"prediction":"flow","shift":3.0})");
  EXPECT_EQ(parse_process(process_text(process), "x")->shift, 3);
  process = {};
  process.prediction = Prediction::kV;
  process.zero_terminal_snr = true;
  process.schedule = "squaredcos_cap_v2";
  process.num_train_steps = 500;
  const auto again = parse_process(process_text(process), "x");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->prediction, Prediction::kV);
  EXPECT_TRUE(again->zero_terminal_snr);
  EXPECT_EQ(again->schedule, "squaredcos_cap_v2");
  EXPECT_EQ(again->num_train_steps, 500);
  process = {};
  process.consistency = true;
  EXPECT_EQ(process_text(process), R"({"prediction":"epsilon","consistency":true})");
  EXPECT_TRUE(parse_process(process_text(process), "x")->consistency);
  EXPECT_FALSE(again->consistency);
  EXPECT_EQ(process_text(std::nullopt), "null");
  EXPECT_FALSE(parse_process("null", "x"));
}

TEST_F(StatedProcess, DamagedTextIsRefused) {
  for (const char* text :
       {"", "[]", "{}", R"({"prediction": 3})", R"({"prediction": "u"})",
        R"({"prediction": "flow", "shift": 0})", R"({"prediction": "v", "num_train_steps": 0})",
        R"({"prediction": "v", "schedule": "cubic"})",
        R"({"prediction": "epsilon", "zero_terminal_snr": true})",
        R"({"prediction": "flow", "consistency": true})"})
    EXPECT_THROW(parse_process(text, "x"), UserError) << text;
}

TEST_F(StatedProcess, SchedulersOfDiffusers) {
  EXPECT_EQ(scheduler(R"({"_class_name": "DDIMScheduler"})").prediction, Prediction::kEpsilon);
  EXPECT_EQ(scheduler(R"({"prediction_type": "sample"})").prediction, Prediction::kXStart);
  const auto v = scheduler(R"({"prediction_type": "v_prediction", "rescale_betas_zero_snr": true})");
  EXPECT_EQ(v.prediction, Prediction::kV);
  EXPECT_TRUE(v.zero_terminal_snr);
  for (const char* flow : {R"({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0})",
                           R"({"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": true,
                               "prediction_type": "flow_prediction", "flow_shift": 3.0})"}) {
    EXPECT_EQ(scheduler(flow).prediction, Prediction::kFlow);
    EXPECT_EQ(scheduler(flow).shift, 3);
  }
  EXPECT_TRUE(scheduler(R"({"_class_name": "LCMScheduler"})").consistency);
  EXPECT_FALSE(v.consistency);
  EXPECT_THAT(refusal(R"({"prediction_type": "score"})"), HasSubstr("prediction_type score is unknown"));
  EXPECT_THAT(refusal(R"({"beta_schedule": "scaled_linear"})"), HasSubstr("scaled_linear"));
  EXPECT_EQ(
      scheduler(R"({"beta_start": 0.0002, "beta_end": 0.04, "num_train_timesteps": 500})").num_train_steps,
      500);
  for (const char* betas : {R"({"beta_end": 0.012})", R"({"beta_start": 0.00085})",
                            R"({"num_train_timesteps": 500})", R"({"trained_betas": [0.1, 0.2]})"})
    EXPECT_THAT(refusal(betas), HasSubstr("other betas")) << betas;
  EXPECT_EQ(scheduler(R"({"trained_betas": null, "beta_schedule": "squaredcos_cap_v2", "beta_end": 0.012})")
                .schedule,
            "squaredcos_cap_v2");  // which has no ends
  EXPECT_THAT(refusal(R"({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true})"),
              HasSubstr("use_dynamic_shifting"));
  EXPECT_THAT(refusal("{"), HasSubstr("JSON object"));
}

TEST_F(StatedProcess, TheSchedulerWinsOverMetadataAndTheAnswerOverBoth) {
  const formats::Metadata own = {{"pixart.process", R"({"prediction":"v"})"}};
  for (const char* folder : {"pipe/scheduler", "pipe/transformer", "alone"})
    std::filesystem::create_directories(folder_ / folder);
  write("pipe/scheduler/scheduler_config.json", R"({"_class_name": "FlowMatchHeunDiscreteScheduler"})");
  write("pipe/transformer/config.json", "{}");
  write("alone/config.json", "{}");
  for (const char* part : {"pipe", "pipe/transformer", "pipe/transformer/", "pipe/transformer/config.json"})
    EXPECT_EQ(stated_process(folder_ / part, own)->prediction, Prediction::kFlow) << part;
  EXPECT_EQ(stated_process(folder_ / "alone", own)->prediction, Prediction::kV);
  EXPECT_EQ(stated_process(folder_ / "alone", {{"pixart.format_version", "1"}})->prediction,
            Prediction::kEpsilon);
  EXPECT_FALSE(
      stated_process(folder_ / "alone", {{"pixart.process", "null"}, {"pixart.format_version", "1"}}));
  EXPECT_FALSE(stated_process(folder_ / "alone", {}));

  const auto stated = stated_process(folder_ / "alone", own);
  EXPECT_EQ(known_process({.prediction = Prediction::kXStart}, stated, "x").prediction, Prediction::kXStart);
  EXPECT_EQ(known_process({}, stated, "x").prediction, Prediction::kV);
  try {
    known_process({}, {}, "model.pth");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("model.pth does not say what the model predicts"));
  }
}

// An answer that repeats what the files say does not take away the rest of it.
TEST_F(StatedProcess, TheAnswerChangesOnlyWhatItSays) {
  Process flow;
  flow.prediction = Prediction::kFlow;
  flow.shift = 3;
  flow.num_train_steps = 500;
  EXPECT_EQ(process_text(process_with({.prediction = Prediction::kFlow}, flow, "x")), process_text(flow));
  EXPECT_EQ(process_with({.shift = 1}, flow, "x")->shift, 1);
  const auto v = process_with({.prediction = Prediction::kV}, flow, "x");
  EXPECT_EQ(process_text(v), R"({"prediction":"v","num_train_steps":500})");
  EXPECT_TRUE(process_with({.zero_terminal_snr = true}, v, "x")->zero_terminal_snr);
  Process zero = *v;
  zero.zero_terminal_snr = true;
  EXPECT_TRUE(process_with({.prediction = Prediction::kV}, zero, "x")->zero_terminal_snr);
  EXPECT_FALSE(process_with({.prediction = Prediction::kXStart}, zero, "x")->zero_terminal_snr);
  EXPECT_FALSE(process_with({.zero_terminal_snr = true, .shift = 2}, {}, "x"));  // of what, nobody knows
}

TEST_F(StatedProcess, AChoiceWithoutEffectIsRefused) {
  const auto refused = [](const ChosenProcess& chosen, Prediction stated) -> std::string {
    Process process;
    process.prediction = stated;
    try {
      known_process(chosen, process, "it");
      return "";
    } catch (const UserError& error) {
      return error.what();
    }
  };
  for (const auto prediction : {Prediction::kEpsilon, Prediction::kFlow})
    EXPECT_THAT(
        refused({.zero_terminal_snr = true}, prediction),
        HasSubstr("it: --zero-terminal-snr has no effect with a model that predicts " + word_of(prediction)));
  for (const auto prediction : {Prediction::kEpsilon, Prediction::kXStart, Prediction::kV})
    EXPECT_THAT(refused({.shift = 2}, prediction), HasSubstr("it: a shift has no effect"))
        << word_of(prediction);
  EXPECT_EQ(refused({.prediction = Prediction::kFlow, .shift = 2}, Prediction::kV), "");
}

}  // namespace
}  // namespace pixart::convert

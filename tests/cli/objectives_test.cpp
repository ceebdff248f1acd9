// What a model predicts: from the keys of a stage to images and converted files.
#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "pixart/formats/image_file.h"
#include "process.h"

namespace pixart::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kPrompt = "a red circle on a white background",
                  kText = "run/checkpoints/text/step-00000030", kModel = kText + "/ema.safetensors";

class Objectives : public ::testing::Test {
 protected:
  ProcessResult pixart(const std::vector<std::string>& arguments) {
    return run_pixart(arguments, folder_.path());
  }
  // Trains the three stages; the class and the text stage with these keys.
  ProcessResult train(const std::vector<std::string>& keys) {
    write_text(folder_ / "run.yaml", tiny_run_yaml());
    std::vector<std::string> arguments = {"train", "run.yaml"};
    for (const auto& key : keys)
      for (const char* stage : {"class", "text"})
        arguments.insert(arguments.end(), {"--set", std::string("stages.") + stage + "." + key});
    return pixart(arguments);
  }
  ProcessResult sample(const std::vector<std::string>& model, const std::string& out,
                       const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"sample", "--steps", "4", "--guidance", "1", "--out", out};
    arguments.insert(arguments.end(), model.begin(), model.end());
    if (model.front() == "run") arguments.insert(arguments.end(), {"--stage", "text"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    arguments.push_back(kPrompt);
    return pixart(arguments);
  }
  std::vector<uint8_t> image(const std::string& out) const {
    return formats::load_image(folder_ / out / "0000.png").rgb;
  }
  std::string text_of(const std::string& file) const {
    std::ifstream stream(folder_ / file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  static std::vector<std::string> alone(const std::string& weights) {
    return {weights, "--vae", "run/autoencoder", "--text-encoder", "run/text_encoder"};
  }
  TemporaryFolder folder_;
};

TEST_F(Objectives, AFlowModelFromItsKeysToOtherPrograms) {
  const auto trained = train({"prediction=flow", "shift=2", "timesteps=logit_normal"});
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_THAT(trained.output, HasSubstr("re-parameterised"));
  ASSERT_EQ(sample({"run"}, "own").code, 0);
  EXPECT_THAT(formats::read_png_text(folder_ / "own/0000.png").at("process"),
              AllOf(HasSubstr("flow"), HasSubstr("2")));
  for (const char* sampler : {"euler", "heun", "unipc"})
    EXPECT_EQ(sample({"run"}, sampler, {"--sampler", sampler}).code, 0) << sampler;

  const auto unfit = sample({"run"}, "unfit", {"--sampler", "ddim"});
  EXPECT_EQ(unfit.code, 78);
  EXPECT_THAT(unfit.output, HasSubstr("sampler ddim cannot draw with a model that predicts flow"));
  EXPECT_FALSE(fs::exists(folder_ / "unfit"));
  const auto contradicted = sample({"run"}, "unfit", {"--prediction", "v"});
  EXPECT_EQ(contradicted.code, 78);
  EXPECT_THAT(contradicted.output, HasSubstr("was trained to predict flow, not v"));
  const auto darker = sample({"run"}, "unfit", {"--zero-terminal-snr"});
  EXPECT_EQ(darker.code, 78);
  EXPECT_THAT(darker.output, HasSubstr("stage text was trained without zero terminal SNR"));

  // The metadata and the scheduler say it too.
  ASSERT_EQ(sample(alone(kModel), "weights").code, 0);
  EXPECT_EQ(image("weights"), image("own"));
  ASSERT_EQ(sample(alone(kModel), "repeated", {"--prediction", "flow"}).code, 0);
  EXPECT_EQ(image("repeated"), image("own"));  // an answer that says the same keeps the shift
  const auto idle = sample(alone(kModel), "unfit", {"--zero-terminal-snr"});
  EXPECT_EQ(idle.code, 78);
  EXPECT_THAT(idle.output, HasSubstr("--zero-terminal-snr has no effect with a model that predicts flow"));
  const auto converted = pixart({"convert", kModel, "pipeline", "--pipeline", "--vae", "run/autoencoder",
                                 "--text-encoder", "run/text_encoder"});
  ASSERT_EQ(converted.code, 0) << converted.output;
  EXPECT_THAT(text_of("pipeline/scheduler/scheduler_config.json"),
              AllOf(HasSubstr("flow_prediction"), HasSubstr("\"flow_shift\": 2.0"),
                    HasSubstr("\"use_flow_sigmas\": true")));
  ASSERT_EQ(sample({"pipeline"}, "piped").code, 0);
  EXPECT_EQ(image("piped"), image("own"));

  ASSERT_EQ(sample({"run"}, "shifted", {"--shift", "5"}).code, 0);
  EXPECT_NE(image("shifted"), image("own"));
  const auto again = pixart({"sample", "--from-image", "shifted/0000.png", "--out", "again"});
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_EQ(image("again"), image("shifted"));

  const auto other = sample({"run"}, "shifted", {"--shift", "4", "--resume"});
  EXPECT_EQ(other.code, 78);
  EXPECT_THAT(other.output,
              AllOf(HasSubstr("process was"), HasSubstr("\"shift\":5"), HasSubstr("\"shift\":4")));
  EXPECT_EQ(sample({"run"}, "shifted", {"--shift", "5", "--resume"}).code, 0);
}

TEST_F(Objectives, AModelOfVThatBeginsAtPureNoise) {
  const auto trained =
      train({"prediction=v", "zero_terminal_snr=true", "loss_weighting=min_snr", "timesteps=stratified"});
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_THAT(trained.output, HasSubstr("re-parameterised"));
  ASSERT_EQ(sample({"run"}, "own").code, 0);
  ASSERT_EQ(sample({"run"}, "said", {"--prediction", "v", "--zero-terminal-snr"}).code, 0);
  EXPECT_EQ(image("said"), image("own"));
  for (const char* sampler : {"iddpm", "ddim", "sa_solver", "lcm", "unipc"})
    EXPECT_EQ(sample({"run"}, sampler, {"--sampler", sampler}).code, 0) << sampler;
  const auto converted = pixart({"convert", kModel, "pipeline", "--pipeline", "--vae", "run/autoencoder",
                                 "--text-encoder", "run/text_encoder"});
  ASSERT_EQ(converted.code, 0) << converted.output;
  EXPECT_THAT(text_of("pipeline/scheduler/scheduler_config.json"),
              AllOf(HasSubstr("v_prediction"), HasSubstr("\"rescale_betas_zero_snr\": true")));
  ASSERT_EQ(sample({"pipeline"}, "piped").code, 0);
  EXPECT_EQ(image("piped"), image("own"));

  // A DiT's pipeline begins at the noisiest timestep, and a PixArt made from it predicts what the DiT does.
  const std::string dit = "run/checkpoints/class/step-00000030/ema.safetensors";
  const auto of_classes = pixart({"convert", dit, "classes", "--pipeline", "--vae", "run/autoencoder"});
  ASSERT_EQ(of_classes.code, 0) << of_classes.output;
  EXPECT_THAT(text_of("classes/scheduler/scheduler_config.json"),
              AllOf(HasSubstr("DDIMScheduler"), HasSubstr("\"rescale_betas_zero_snr\": true"),
                    HasSubstr("\"timestep_spacing\": \"trailing\"")));
  const auto made =
      pixart({"convert", dit, "start.safetensors", "--reparameterize", "--caption-channels", "32"});
  ASSERT_EQ(made.code, 0) << made.output;
  EXPECT_THAT(pixart({"inspect", "start.safetensors"}).output,
              HasSubstr(R"(predicts     {"prediction":"v","zero_terminal_snr":true})"));

  const auto shifted = sample({"run"}, "unfit", {"--shift", "3"});
  EXPECT_EQ(shifted.code, 78);
  EXPECT_THAT(shifted.output, HasSubstr("a shift has no effect"));
}

TEST_F(Objectives, StagesThatPredictOtherThingsSaySo) {
  write_text(folder_ / "run.yaml", tiny_run_yaml());
  const auto trained = pixart({"train", "run.yaml", "--set", "stages.text.prediction=v"});
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_THAT(trained.output,
              HasSubstr("init.from class predicts epsilon, and this stage trains it to predict v"));
}

TEST_F(Objectives, QkNormGoesWhereItIsKnown) {
  write_text(folder_ / "run.yaml", tiny_run_yaml());
  const auto trained = pixart({"train", "run.yaml", "--set", "transformer.qk_norm=true"});
  ASSERT_EQ(trained.code, 0) << trained.output;
  ASSERT_EQ(sample({"run"}, "own").code, 0);
  ASSERT_EQ(pixart({"convert", kModel, "official.pth"}).code, 0);
  ASSERT_EQ(sample(alone("official.pth"), "official", {"--prediction", "epsilon"}).code, 0);
  EXPECT_EQ(image("official"), image("own"));
  const auto inspected = pixart({"inspect", "official.pth", "--tensors"});
  EXPECT_THAT(inspected.output, HasSubstr("blocks.0.attn.q_norm.weight"));
  const auto refused = pixart({"convert", kModel, "diffusers"});
  EXPECT_EQ(refused.code, 78);
  EXPECT_THAT(refused.output, HasSubstr("qk_norm, which diffusers' models do not have"));
  EXPECT_FALSE(fs::exists(folder_ / "diffusers"));
}

// A PixArt-Sigma from a PixArt-alpha: any size, without micro-conditions, with compressed keys.
TEST_F(Objectives, ALargerStageMayCompressItsKeys) {
  write_text(folder_ / "run.yaml", tiny_run_yaml());
  const auto train_with = [&](const std::string& compression) {
    return pixart({"train", "run.yaml", "--set", "stages.larger.micro_conditions=false", "--set",
                   "stages.larger.kv_compression=" + compression});
  };
  const auto deep = train_with("{sampling: conv, layers: [1, 2]}");
  EXPECT_EQ(deep.code, 78);
  EXPECT_THAT(deep.output, HasSubstr("block 2; the model has blocks 0 to 1"));
  const auto odd = train_with("{sampling: conv, factor: 5, layers: [1]}");
  EXPECT_EQ(odd.code, 78);
  EXPECT_THAT(odd.output, HasSubstr("does not divide 6 x 6 tokens (resolution 48)"));
  EXPECT_FALSE(fs::exists(folder_ / "run/checkpoints/autoencoder"));
  const auto trained = train_with("{sampling: conv, layers: [1]}");
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_THAT(trained.output,
              AllOf(HasSubstr("stage larger: PixArt-Sigma of"),
                    HasSubstr("stage larger: text: kv_compression: conv, factor 2, blocks 1"),
                    HasSubstr("stage larger: text: 4 tensors are new: blocks.1.attn.sr.weight")));
  const auto draw = [&](const std::vector<std::string>& model, const std::string& out,
                        const std::string& height) {
    std::vector<std::string> arguments = {"sample",   "--steps", "2",       "--out", out,
                                          "--height", height,    "--width", "40"};
    arguments.insert(arguments.end(), model.begin(), model.end());
    arguments.push_back(kPrompt);
    return pixart(arguments);
  };
  const auto wide = draw({"run", "--stage", "larger"}, "own", "24");
  ASSERT_EQ(wide.code, 0) << wide.output;
  ASSERT_EQ(draw(alone("run/checkpoints/larger/step-00000006/ema.safetensors"), "weights", "24").code, 0);
  EXPECT_EQ(image("weights"), image("own"));
  const auto narrow = draw({"run", "--stage", "larger"}, "narrow", "8");
  EXPECT_EQ(narrow.code, 78);
  EXPECT_THAT(narrow.output, HasSubstr("leaves no key of 1 x 5 tokens"));
}

// A file in official names without our metadata says nothing: the command asks, and takes the answer.
TEST_F(Objectives, AsksWhereNothingSaysIt) {
  ASSERT_EQ(train({}).code, 0);
  ASSERT_EQ(sample(alone(kModel), "own").code, 0);
  std::string bytes = text_of(kModel);
  for (const std::string key : {"pixart.process", "pixart.format_version"}) {
    const auto found = bytes.find(key);
    ASSERT_NE(found, std::string::npos) << key;
    bytes.replace(found, 6, "foreig");  // of the same length, so that the header keeps its size
  }
  write_text(folder_ / "foreign.safetensors", bytes);
  const auto asked = sample(alone("foreign.safetensors"), "foreign");
  EXPECT_EQ(asked.code, 78);
  EXPECT_THAT(asked.output, AllOf(HasSubstr("does not say what the model predicts"),
                                  HasSubstr("--prediction epsilon, x_start, v, flow")));
  ASSERT_EQ(sample(alone("foreign.safetensors"), "foreign", {"--prediction", "epsilon"}).code, 0);
  EXPECT_EQ(image("foreign"), image("own"));
  EXPECT_EQ(formats::read_png_text(folder_ / "foreign/0000.png").count("process"), 0u);

  const std::vector<std::string> convert = {
      "convert", "foreign.safetensors", "pipeline",       "--pipeline",
      "--vae",   "run/autoencoder",     "--text-encoder", "run/text_encoder"};
  const auto refused = pixart(convert);
  EXPECT_EQ(refused.code, 78);
  EXPECT_THAT(refused.output, HasSubstr("--prediction"));
  EXPECT_FALSE(fs::exists(folder_ / "pipeline"));
  auto answered = convert;
  answered.insert(answered.end(), {"--prediction", "v"});
  ASSERT_EQ(pixart(answered).code, 0);
  EXPECT_THAT(text_of("pipeline/scheduler/scheduler_config.json"), HasSubstr("v_prediction"));
  ASSERT_EQ(sample({"pipeline"}, "piped").code, 0);
  const auto resumed = sample({"pipeline"}, "piped", {"--prediction", "epsilon", "--resume"});
  EXPECT_EQ(resumed.code, 78);
  EXPECT_THAT(resumed.output, HasSubstr("process was"));
  // A file keeps not knowing it.
  ASSERT_EQ(pixart({"convert", "foreign.safetensors", "official.pth"}).code, 0);
  EXPECT_EQ(sample(alone("official.pth"), "official").code, 78);
}

// An image says the schedule of its model's pipeline folder, also where nothing else differs from the published
// process.
TEST_F(Objectives, AnImageOfAnotherScheduleIsDrawnAgain) {
  ASSERT_EQ(train({}).code, 0);
  const auto converted = pixart({"convert", kModel, "pipeline", "--pipeline", "--vae", "run/autoencoder",
                                 "--text-encoder", "run/text_encoder"});
  ASSERT_EQ(converted.code, 0) << converted.output;
  ASSERT_EQ(sample({"pipeline"}, "linear").code, 0);
  const std::string scheduler = "pipeline/scheduler/scheduler_config.json", linear = "\"linear\"";
  std::string text = text_of(scheduler);
  const auto found = text.find(linear);
  ASSERT_NE(found, std::string::npos) << text;
  write_text(folder_ / scheduler, text.replace(found, linear.size(), "\"squaredcos_cap_v2\""));
  ASSERT_EQ(sample({"pipeline"}, "cosine").code, 0);
  EXPECT_NE(image("cosine"), image("linear"));
  const auto again = pixart({"sample", "--from-image", "cosine/0000.png", "--out", "again"});
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_EQ(image("again"), image("cosine"));
}

}  // namespace
}  // namespace pixart::testing

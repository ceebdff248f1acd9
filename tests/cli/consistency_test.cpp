// A stage that distils a PixArt into a consistency model, as a user would run it: killed and continued, on two ranks,
// sampled and converted.
#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "pixart/formats/hash.h"
#include "pixart/formats/image_file.h"
#include "run_with_stages.h"

namespace pixart::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

const std::string kDistilPrompt = "a red circle on a white background",
                  kFew = "checkpoints/few/step-00000012";

std::string distilled_yaml() {
  return tiny_run_with(R"(  - name: few
    objective: consistency
    source: scenes
    resolution: 32
    steps: 12
    batch_size: 8
    micro_batch_size: 4
    init: {how: copy, from: text}
    consistency: {least_guidance: 2, most_guidance: 6}
    lr_schedule: {warmup_steps: 2}
    gradient_clip: 1
    ema_decay: 0.9
    samples: {prompts: [a red circle on a white background]}
    validation: {every: 6, source: others, samples: 2}
    checkpoints: {every: 3, keep_last: 9}
)");
}

class ConsistencyRun : public RunWithStages {
 protected:
  static void SetUpTestSuite() {
    train(replaced(distilled_yaml(), "  - {name: scenes, type: scenes, count: 48}\n",
                   "  - {name: scenes, type: scenes, count: 48}\n"
                   "  - {name: others, type: scenes, count: 8, seed: 5}\n"));
  }
  static std::string text_of(const fs::path& file) {
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  static std::vector<std::string> hashes_of(const std::string& run) {
    std::vector<std::string> hashes;
    for (const char* file : {"model.safetensors", "ema.safetensors", "optimizer.safetensors"})
      hashes.push_back(formats::sha256_of_file(path(run) / kFew / file));
    return hashes;
  }
  // The run as it was before the stage.
  static void copy_before(const std::string& to) {
    fs::copy(path("run"), path(to), fs::copy_options::recursive);
    fs::remove_all(path(to) / "checkpoints/few");
  }
  static std::vector<std::string> train_again(const std::string& run) {
    return {"train", "run.yaml", "--set", "run=" + run, "--restart-stage", "few"};
  }
};

TEST_F(ConsistencyRun, SaysWhatItIsAndDrawsInFourSteps) {
  EXPECT_THAT(result_.output, Not(HasSubstr("it follows slowly")));
  const std::string model = "run/" + kFew + "/ema.safetensors";
  EXPECT_THAT(pixart({"inspect", model}).output,
              HasSubstr(R"(predicts     {"prediction":"epsilon","consistency":true})"));
  EXPECT_THAT(text_of(path("run/run.yaml")),
              AllOf(HasSubstr("sampler: lcm"), HasSubstr("sampler: dpm_solver_pp")));
  ASSERT_EQ(pixart({"sample", "run", "--out", "own", kDistilPrompt}).code, 0);
  const auto text = formats::read_png_text(path("own/0000.png"));
  EXPECT_EQ(text.at("stage"), "few");
  EXPECT_EQ(text.at("sampler"), "lcm");
  EXPECT_EQ(text.at("num_steps"), "4");
  EXPECT_EQ(text.at("guidance"), "1");
  const auto again = pixart({"sample", "--from-image", "own/0000.png", "--out", "again"});
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_EQ(formats::load_image(path("again/0000.png")).rgb, formats::load_image(path("own/0000.png")).rgb);
  const auto other =
      pixart({"sample", "run", "--sampler", "ddim", "--steps", "2", "--out", "other", kDistilPrompt});
  EXPECT_EQ(other.code, 0);
  EXPECT_THAT(other.output, HasSubstr("this model is distilled for sampler lcm"));
  ASSERT_EQ(
      pixart({"sample", "run", "--stage", "text", "--steps", "2", "--out", "teacher", kDistilPrompt}).code,
      0);
  EXPECT_EQ(formats::read_png_text(path("teacher/0000.png")).at("sampler"), "dpm_solver_pp");
}

TEST_F(ConsistencyRun, IsConvertedWithItsScheduler) {
  const auto converted = pixart({"convert", "run/" + kFew + "/ema.safetensors", "pipeline", "--pipeline",
                                 "--vae", "run/autoencoder", "--text-encoder", "run/text_encoder"});
  ASSERT_EQ(converted.code, 0) << converted.output;
  EXPECT_THAT(text_of(path("pipeline/scheduler/scheduler_config.json")),
              AllOf(HasSubstr("LCMScheduler"), HasSubstr("\"original_inference_steps\": 50")));
  EXPECT_THAT(text_of(path("pipeline/model_index.json")), HasSubstr("LCMScheduler"));
  ASSERT_EQ(pixart({"sample", "pipeline", "--out", "piped", kDistilPrompt}).code, 0);
  ASSERT_EQ(pixart({"sample", "run", "--out", "direct", kDistilPrompt}).code, 0);
  EXPECT_EQ(formats::load_image(path("piped/0000.png")).rgb,
            formats::load_image(path("direct/0000.png")).rgb);
}

TEST_F(ConsistencyRun, KilledAndContinuedItIsTheSame) {
  copy_before("killed");
  kill_and_continue(train_again("killed"), "few", path("killed/checkpoints/few/step-00000003"),
                    {path("killed") / kFew});
  EXPECT_EQ(hashes_of("run"), hashes_of("killed"));
}

TEST_F(ConsistencyRun, AnotherTeacherIsNoticed) {
  fs::copy(path("run"), path("changed"), fs::copy_options::recursive);
  for (const char* step : {"step-00000006", "step-00000009", "step-00000012"})
    fs::remove_all(path("changed/checkpoints/few") / step);
  // Another training of the teacher's stage.
  fs::remove_all(path("changed/checkpoints/text"));
  const std::vector<std::string> train = {"train",          "run.yaml",
                                          "--set",          "run=changed",
                                          "--allow-change", "stages.text.ema_decay",
                                          "--set",          "stages.text.ema_decay=0.5"};
  auto teacher = train;
  teacher.insert(teacher.end(), {"--stage", "text", "--restart-stage", "text"});
  const auto retrained = pixart(teacher);
  ASSERT_EQ(retrained.code, 0) << retrained.output;
  const auto refused = pixart(train);
  EXPECT_EQ(refused.code, 78) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("teacher has changed"));
}

// Another run, whose teacher is a file.
TEST_F(ConsistencyRun, AdaptersOfATeacherThatPredictsWhatTheStageSays) {
  const std::string yaml = R"(run: alone
device: cpu
autoencoder: {path: run/autoencoder}
text_encoder: {path: run/text_encoder, max_tokens: 10}
transformer: {patch_size: 2, hidden_size: 36, depth: 2, num_heads: 2}
sources: [{name: scenes, type: scenes, count: 48}]
stages:
  - {name: few, objective: consistency, source: scenes, resolution: 32, steps: 2, batch_size: 8, lora: {rank: 2},
     init: {how: copy, from: run/checkpoints/text/step-00000030/ema.safetensors}}
)";
  write_text(path("alone.yaml"), yaml);
  const auto refused = pixart({"train", "alone.yaml", "--check", "--set", "stages.few.prediction=v"});
  EXPECT_EQ(refused.code, 78);
  EXPECT_THAT(refused.output, HasSubstr("predicts epsilon, so the stage needs prediction: epsilon"));
  const auto trained = pixart({"train", "alone.yaml"});
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_THAT(trained.output, HasSubstr("with ema_decay 0.9999 it follows slowly"));
  EXPECT_TRUE(fs::exists(path("alone/lora/few/pytorch_lora_weights.safetensors")));
}

}  // namespace
}  // namespace pixart::testing

#include "pixart/plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "pixart/base/error.h"
#include "pixart/config/config.h"
#include "pixart/plan/paper_stages.h"

namespace pixart::plan {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
namespace fs = std::filesystem;

run::RunConfig preset(const char* name) {
  return run::read_run_config(fs::path(PIXART_SOURCE_DIR) / "configs" / name);
}
run::RunConfig paper() { return preset("paper/alpha.yaml"); }

PlanOptions options(const char* gpu, int64_t gpus = 64) {
  PlanOptions result{.gpu = find_gpu(gpu)};
  result.gpus = gpus;
  return result;
}

// The stages' names in the order of paper_stages().
PlanOptions paper_rates(const run::RunConfig& config, double factor, const char* gpu) {
  auto result = options(gpu);
  for (const auto& stage : config.stages)
    result.images_per_second[stage.name] =
        factor * paper_images_per_second(stage.objective, int(stage.resolution), double(stage.batch_size),
                                         double(stage.steps));
  return result;
}

TEST(Plan, PapersRatesGiveThePapersDays) {
  const auto config = paper();
  const auto v100 = plan_run(config, paper_rates(config, 1, "v100"));
  const double days[] = {88, 672, 416, 320, 160};
  ASSERT_EQ(v100.stages.size(), 5u);
  for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(v100.stages[i].consumption.gpu_days, days[i], 1e-6);
  EXPECT_NEAR(v100.sum.gpu_days, 1656, 1e-6);
  const auto a100 = plan_run(config, paper_rates(config, kV100DaysPerA100Day, "a100-80"));
  EXPECT_NEAR(a100.sum.gpu_days, kPaperA100Days, 0.5);  // the paper rounds
}

// Twenty steps with guidance are forty evaluations, each a third of a training step without its backward pass.
TEST(Plan, TellsTheSecondsAndTheMemoryOfMetrics) {
  auto config = paper();
  const auto before = plan_run(config, options("a100-80", 8)).stages[1];
  EXPECT_EQ(before.metrics.looks, 0);
  auto& stage = config.stages[1];
  stage.metrics.every = stage.steps / 4 + 1;
  stage.metrics.images = 801;
  stage.metrics.scores = {"fid", "cmmd"};
  stage.metrics.clip = "no-such-folder";
  const auto plan = plan_run(config, options("a100-80", 8));
  const auto& after = plan.stages[1];
  EXPECT_EQ(after.metrics.looks, 4);
  const double gpu_flops = after.images_per_second / 8 * after.flops.executed;
  const double drawing = 101 * 40 * after.flops.forward / gpu_flops;
  EXPECT_GT(after.metrics.seconds_each, drawing);
  const auto& vae = autoencoder_cost(models::vae_preset("sd-vae"), stage.resolution);
  const double float32 = 0.35 * find_gpu("a100-80").peak(run::Precision::kFloat32);
  EXPECT_LT(after.metrics.seconds_each, drawing + 101 * (vae.decode + 500e9) / float32);
  EXPECT_DOUBLE_EQ(after.consumption.seconds, before.consumption.seconds + 4 * after.metrics.seconds_each);
  // Inception has 23.9 million weights, CLIP ViT-L/14 428 million.
  EXPECT_NEAR(after.memory.buffers - before.memory.buffers, 4 * (23.9e6 + 428e6), 4 * 3e6);
  EXPECT_THAT(plan.assumptions, ::testing::Contains(HasSubstr("CLIP ViT-L/14")));
  stage.metrics.guidance = 1;
  const double unguided = plan_run(config, options("a100-80", 8)).stages[1].metrics.seconds_each;
  EXPECT_NEAR(unguided, after.metrics.seconds_each - drawing / 2, 1e-6 * drawing);
}

TEST(Plan, ParametersOfThePapersModel) {
  const auto plan = plan_run(paper(), options("a100-80"));
  EXPECT_EQ(plan.stages[1].parameters, 610856096);  // PixArt
  EXPECT_EQ(plan.stages[3].parameters, 611349152);  // PixArt-MS
  EXPECT_NEAR(plan.stages[1].flops.training, 893.2e9, 0.1e9);
  EXPECT_THAT(plan.assumptions, ::testing::Contains(HasSubstr("T5 v1.1 XXL")));
}

// PixArt-Sigma has PixArt-alpha's weights, no micro-conditions, and with KV compression in 14 blocks a
// convolution of 2 x 2 and a norm.
TEST(Plan, OfSigmaCountsTokensAndKvCompression) {
  const auto plan = plan_run(preset("sigma/sigma.yaml"), options("a100-80"));
  ASSERT_EQ(plan.stages.size(), 6u);
  const int64_t plain = 610856096, compressed = plain + 14 * 1152 * (4 + 1 + 2);
  const std::vector<int64_t> parameters = {plain, plain, plain, compressed, plain, compressed};
  // By hand from flops.h, with 300 tokens; in a compressed block N tokens attend to N / 4. The convolution
  // itself, a depth-wise one of keys and values, is less than a thousandth.
  const std::vector<double> tera = {0.9961, 3.8632, 19.898, 17.463, 157.09, 118.13};
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(plan.stages[i].parameters, parameters[i]) << plan.stages[i].name;
    EXPECT_NEAR(plan.stages[i].flops.training, 1e12 * tera[i], 2e-3 * 1e12 * tera[i]) << plan.stages[i].name;
  }
  const double kept = plan.stages[2].memory.activations;
  EXPECT_NEAR(plan.stages[3].memory.activations, kept, 0.1 * kept) << "the convolution keeps its input";
  EXPECT_LT(plan.stages[5].step_seconds, 0.8 * plan.stages[4].step_seconds);
  EXPECT_TRUE(plan.fits);
}

TEST(Plan, FixedMemoryIsTwentyBytesAParameter) {
  auto config = paper();
  auto& stage = config.stages[1];
  stage.precision = run::Precision::kFloat32;
  const double numbers = 610856096;
  const auto parts = plan_memory(config, stage, options("a100-80"));
  EXPECT_EQ(parts.weights, 4 * numbers);
  EXPECT_EQ(parts.gradients, 4 * numbers);
  EXPECT_EQ(parts.optimizer, 8 * numbers);
  EXPECT_EQ(parts.ema, 4 * numbers);
  EXPECT_EQ(parts.low_precision_copies, 0);
  auto sharded = options("a100-80");
  sharded.shard_optimizer = true;
  EXPECT_EQ(plan_memory(config, stage, sharded).optimizer, 8 * numbers / 64);
  EXPECT_EQ(plan_memory(config, stage, sharded).ema, 4 * numbers / 64);
  stage.precision = run::Precision::kBFloat16;
  stage.activation_checkpointing = 0;
  EXPECT_EQ(plan_memory(config, stage, options("a100-80")).low_precision_copies, 2 * numbers);
  stage.activation_checkpointing = 1;  // of one block and what is outside blocks
  EXPECT_EQ(plan_memory(config, stage, options("a100-80")).low_precision_copies,
            2.0 * (numbers - 28 * 21255552 + 21255552));
}

TEST(Plan, CameKeepsOneMomentAndMeans) {
  auto config = paper();
  config.stages[1].optimizer.name = optim::OptimizerName::kCame;
  const auto parts = plan_memory(config, config.stages[1], options("a100-80"));
  EXPECT_GT(parts.optimizer, parts.weights);
  EXPECT_LT(parts.optimizer, 1.02 * parts.weights);
}

TEST(Plan, MuonKeepsOneMomentOfMatrices) {
  auto config = paper();
  config.stages[1].optimizer.name = optim::OptimizerName::kMuon;
  const auto parts = plan_memory(config, config.stages[1], options("a100-80"));
  EXPECT_GT(parts.optimizer, parts.weights);
  EXPECT_LT(parts.optimizer, 1.03 * parts.weights);
}

TEST(Plan, FrozenParametersNeedNoStateAndNoGradient) {
  auto config = paper();
  config.stages[1].frozen = {"blocks.*"};
  const auto parts = plan_memory(config, config.stages[1], options("a100-80"));
  EXPECT_EQ(parts.gradients, 4.0 * (610856096 - 28 * 21255552));
  EXPECT_EQ(parts.weights, 4.0 * 610856096);
}

TEST(Plan, AdaptersAloneHaveGradientsMomentsAndEma) {
  auto config = paper();
  auto& stage = config.stages[1];
  const auto whole = plan_memory(config, stage, options("a100-80"));
  stage.lora.rank = 16;
  // Layers from the width d to d (3), 2 d (1), 3 d (1), 4 d (1) and back (1), in 28 blocks.
  const int64_t adapters = 28 * 16 * 1152 * (3 * 2 + 3 + 4 + 5 + 5);
  const auto parts = plan_memory(config, stage, options("a100-80"));
  EXPECT_EQ(parts.weights, 4.0 * (610856096 + adapters));
  EXPECT_EQ(parts.gradients, 4.0 * adapters);
  EXPECT_EQ(parts.optimizer, 8.0 * adapters);
  EXPECT_EQ(parts.ema, 4.0 * adapters);
  EXPECT_LT(parts.total(), whole.total() - 14.0 * 610856096);
  const auto plan = plan_run(config, options("a100-80")).stages[1];
  EXPECT_EQ(plan.parameters, 610856096);
  EXPECT_EQ(plan.trained, adapters);
}

TEST(Plan, SeveralRanksNeedRoomToTalk) {
  auto config = paper();
  const auto& stage = config.stages[1];
  const double trained = 4.0 * 610856096;
  EXPECT_EQ(plan_memory(config, stage, options("a100-80")).communication, 0) << "in place";
  auto sharded = options("a100-80");
  sharded.shard_optimizer = true;
  EXPECT_EQ(plan_memory(config, stage, sharded).communication, trained) << "the gathered EMA";
  PlanOptions cpu{.gpu = find_gpu("cpu", 1, 1e12)};
  EXPECT_EQ(plan_memory(config, stage, cpu).communication, 0);
  cpu.gpus = 2;
  const double bucket = plan_memory(config, stage, cpu).communication;
  EXPECT_GE(bucket, 32 << 20);
  EXPECT_LT(bucket, 0.05 * trained);
}

TEST(Plan, SaysWhereAProcessorIsSlowInBfloat16) {
  auto config = paper();
  config.stages[1].precision = run::Precision::kBFloat16;
  const auto warnings = [&](CpuBfloat16 kind) {
    return plan_run(config, {.gpu = find_gpu("cpu", 2, 1e12, kind)}).warnings;
  };
  EXPECT_THAT(warnings(CpuBfloat16::kNone), ::testing::Contains(HasSubstr("neither AMX nor AVX512-BF16")));
  EXPECT_THAT(warnings(CpuBfloat16::kAvx512), ::testing::Not(::testing::Contains(HasSubstr("AVX512"))));
}

// A stage of two resolutions needs the memory of the larger plan of both, and has the mean time of a sample.
TEST(Plan, SeveralResolutionsArePlannedEach) {
  auto config = paper();
  config.stages = {config.stages.at(3)};
  auto& stage = config.stages[0];
  stage.multi_scale = true, stage.aspect_buckets = false;
  stage.resolution = 512, stage.micro_batch_size = 4, stage.batch_size = 256;
  stage.activation_checkpointing = 0;
  const auto gpu = options("a100-80", 1);
  const auto alone = [&](int64_t side, int64_t micro) {
    auto one = config;
    one.stages[0].resolutions.clear();
    one.stages[0].resolution = side, one.stages[0].micro_batch_size = micro;
    return plan_run(one, gpu).stages[0];
  };
  const auto small = alone(256, 16), large = alone(512, 4);
  stage.resolutions = {{.side = 256}, {.side = 512}};
  const auto run = plan_run(config, gpu);
  const auto& plan = run.stages[0];
  ASSERT_EQ(plan.resolutions.size(), 2u);
  EXPECT_EQ(plan.resolutions[0].micro_batch, 16) << "as many tokens";
  EXPECT_EQ(plan.resolutions[1].micro_batch, 4);
  EXPECT_EQ(plan.resolutions[0].bytes, small.memory.total());
  EXPECT_EQ(plan.resolutions[1].largest_micro_batch, large.largest_micro_batch);
  EXPECT_LT(plan.resolutions[0].bytes, 1.1 * plan.resolutions[1].bytes);
  EXPECT_EQ(plan.memory.total(), std::max(small.memory.total(), large.memory.total()));
  EXPECT_EQ(plan_memory(config, stage, gpu).total(), plan.memory.total());
  EXPECT_DOUBLE_EQ(plan.step_seconds, (small.step_seconds + large.step_seconds) / 2);
  EXPECT_DOUBLE_EQ(plan.flops.training, (small.flops.training + large.flops.training) / 2);
  EXPECT_THAT(run.assumptions, ::testing::Contains(HasSubstr("50 % have 256 pixels, 50 % have 512 pixels")));
  stage.resolution_rule = data::ResolutionRule::kShare;
  stage.resolutions[0].share = 3;
  stage.resolutions[1].micro_batch_size = 1000;
  const auto other = plan_run(config, gpu);
  EXPECT_DOUBLE_EQ(other.stages[0].resolutions[0].share, 0.75);
  EXPECT_FALSE(other.fits);
  EXPECT_THAT(other.warnings, ::testing::Contains(HasSubstr("at 512 pixels (resolutions) does not fit")));
}

TEST(Plan, TheLargestMicroBatchFitsAndTheNextDoesNot) {
  auto config = paper();
  config.stages.resize(2);
  auto& stage = config.stages[1];
  stage.activation_checkpointing = 0;
  const auto gpu = options("a100-40");
  const auto plan = plan_run(config, gpu);
  const int64_t largest = plan.stages[1].largest_micro_batch;
  ASSERT_GT(largest, 1);
  ASSERT_LT(largest, plan.stages[1].samples_per_gpu);
  stage.micro_batch_size = largest;
  EXPECT_TRUE(plan_run(config, gpu).fits);
  stage.micro_batch_size = largest + 1;
  const auto over = plan_run(config, gpu);
  EXPECT_FALSE(over.fits);
  EXPECT_THAT(over.warnings, ::testing::Contains(HasSubstr("does not fit")));
}

// Whether one of the paper's GPUs has room for the stage if no block is recomputed.
bool fits_without_recomputing(run::RunConfig config, size_t stage, const char* gpu) {
  config.stages = {config.stages[stage]};
  config.stages[0].activation_checkpointing = 0;
  return plan_run(config, options(gpu)).fits;
}

TEST(Plan, ThePapersStagesRecomputeOnlyWhatDoesNotFit) {
  size_t stages = 0, files = 0;
  for (const char* folder : {"configs/paper", "configs/sigma"})
    for (const auto& file : fs::directory_iterator(fs::path(PIXART_SOURCE_DIR) / folder)) {
      const auto config = run::read_run_config(file.path());
      ++files;
      for (size_t i = 0; i < config.stages.size(); ++i, ++stages)
        EXPECT_EQ(config.stages[i].activation_checkpointing == 0,
                  fits_without_recomputing(config, i, "a100-80"))
            << file.path() << ": " << config.stages[i].name;
    }
  EXPECT_EQ(files, 6u + 7);
  EXPECT_EQ(stages, 10u + 12);
  EXPECT_FALSE(fits_without_recomputing(paper(), 4, "a100-40")) << "1024 px";
  EXPECT_TRUE(fits_without_recomputing(paper(), 3, "a100-40")) << "512 px";
}

TEST(Plan, TimeFollowsFromWhatIsExecuted) {
  auto config = paper();
  config.stages.resize(2);
  auto gpu = options("a100-80");
  config.stages[1].activation_checkpointing = 1;
  const auto checkpointed = plan_run(config, gpu).stages[1];
  EXPECT_NEAR(checkpointed.step_seconds, 178 * checkpointed.flops.executed / (0.35 * 312e12), 1e-9);
  config.stages[1].activation_checkpointing = 0;
  const auto plain = plan_run(config, gpu).stages[1];
  EXPECT_NEAR(plain.mfu, 0.35, 1e-9);
  EXPECT_LT(checkpointed.mfu, 0.27);
  gpu.mfu[""] = 0.5;
  EXPECT_NEAR(plan_run(config, gpu).stages[1].step_seconds, plain.step_seconds * 0.35 / 0.5, 1e-9);
}

TEST(Plan, CountsWhatIsEncodedInTheSteps) {
  auto config = paper();
  config.stages.resize(2);
  config.text_encoder.dtype = run::EncoderDtype::kBFloat16;
  const auto gpu = options("a100-80");
  const auto stored = plan_run(config, gpu).stages[1];
  EXPECT_EQ(stored.encoding.flops, 0);
  auto& encode = config.stages[1].encode;
  encode.latents = run::Encoding::kOnTheFly;
  const auto images = plan_run(config, gpu).stages[1];
  const double vae = autoencoder_cost(models::vae_preset("sd-vae"), 256).encode;
  EXPECT_DOUBLE_EQ(images.encoding.flops, vae);
  const double float32 = 0.35 * find_gpu("a100-80").peak(run::Precision::kFloat32);
  EXPECT_NEAR(images.step_seconds, stored.step_seconds + 178 * vae / float32, 1e-9);
  EXPECT_LT(images.mfu, stored.mfu);
  EXPECT_EQ(images.memory.buffers, stored.memory.buffers);  // the autoencoder is there to draw samples
  encode.captions = run::Encoding::kOnTheFly;
  const auto both = plan_run(config, gpu).stages[1];
  const double t5 = text_encoder_flops(models::t5_preset("t5-v1_1-xxl"), 120);
  EXPECT_DOUBLE_EQ(both.encoding.flops, vae + t5);
  // 4.76 billion weights, of which 0.13 are the embedding.
  EXPECT_NEAR(both.memory.buffers - stored.memory.buffers, 2 * 4.762e9, 2e7);
  EXPECT_NEAR(t5, 120 * 2 * (4.762e9 - 0.13e9), 0.01 * t5);
  config.stages[1].micro_batch_size = 1;
  config.stages[1].activation_checkpointing = 1;
  auto& size = config.transformer;  // whose blocks need less memory than the encoder
  size.preset = {};
  size.patch_size = 2, size.hidden_size = 1152, size.depth = 24, size.num_heads = 16;
  const auto memory = plan_run(config, gpu).stages[1].memory;
  EXPECT_NEAR(memory.activations + memory.workspace, 3 * 128 * 256 * 256 * 4, 1);
  auto measured = gpu;
  measured.images_per_second[""] = 100;
  EXPECT_EQ(plan_run(config, measured).stages[1].encoding.seconds, 0);
  EXPECT_NEAR(plan_run(config, measured).stages[1].step_seconds, 1.78, 1e-9);
}

TEST(Plan, MoneyAndEnergy) {
  auto gpu = options("a100-80", 8);
  gpu.price_per_gpu_hour = 2;
  gpu.kg_co2_per_kwh = 0.5;
  const auto sum = plan_run(paper(), gpu).sum;
  const double hours = sum.gpu_days * 24;
  EXPECT_NEAR(sum.cost, 2 * hours, 1e-6 * sum.cost);
  EXPECT_NEAR(sum.kwh, 0.4 * hours, 1e-6 * sum.kwh);
  EXPECT_NEAR(sum.kg_co2, 0.2 * hours, 1e-6 * sum.kg_co2);
  EXPECT_NEAR(sum.seconds * 8 / 86400, sum.gpu_days, 1e-6 * sum.gpu_days);
}

class Telemetry : public ::testing::Test {
 protected:
  Telemetry() { fs::create_directories(folder_); }
  ~Telemetry() override { fs::remove_all(folder_); }
  void write(const std::string& text) { std::ofstream(folder_ / "telemetry.jsonl") << text; }
  fs::path folder_ = fs::path(::testing::TempDir()) /
                     (std::string("plan_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(Telemetry, MedianOfEachStage) {
  write(R"({"kind":"start","device":"NVIDIA A100-SXM4-80GB","devices":8}
{"kind":"interval","stage":"text","step":20,"mfu":0.1}
{"kind":"interval","stage":"text","step":40,"mfu":0.4}
{"kind":"interval","stage":"text","step":60,"mfu":0.5}
{"kind":"interval","stage":"class","step":20,"flops_per_second":748.8e12}
{"kind":"save","stage":"text","step":60}
{"kind":"interval","sta)");
  const auto shares = measured_mfu(folder_, find_gpu("h100"), run::Precision::kBFloat16);
  EXPECT_DOUBLE_EQ(shares.at("text"), 0.4);
  EXPECT_DOUBLE_EQ(shares.at("class"), 0.3);  // of 8 x 312
  EXPECT_DOUBLE_EQ(shares.at(""), 0.35);
}

TEST_F(Telemetry, ADeviceWithoutKnownPeakIsAnError) {
  write(R"({"kind":"start","device":"Some Card","devices":1}
{"kind":"interval","stage":"text","flops_per_second":1e12})");
  EXPECT_THAT([&] { measured_mfu(folder_, find_gpu("h100"), run::Precision::kBFloat16); },
              ThrowsMessage<UserError>(HasSubstr("--images-per-second")));
  EXPECT_THAT([&] { measured_mfu(folder_ / "absent", find_gpu("h100"), run::Precision::kBFloat16); },
              ThrowsMessage<UserError>(HasSubstr("telemetry.jsonl")));
}

TEST_F(Telemetry, TheCpuOfTheRunIsTheCpuOfThePlan) {
  write(R"({"kind":"start","device":"cpu","devices":1}
{"kind":"interval","stage":"text","flops_per_second":64e9})");
  EXPECT_DOUBLE_EQ(measured_mfu(folder_, find_gpu("cpu", 2, 1e9), run::Precision::kFloat32).at("text"), 0.5);
  EXPECT_THROW(measured_mfu(folder_, find_gpu("h100"), run::Precision::kFloat32), UserError);
}

// The largest value that a key's rule allows; "" if it has no such value.
std::string largest_of(const config::KeyInfo& key) {
  for (const std::string mark : {" to ", "at most "})
    if (const size_t at = key.rule.rfind(mark); at != std::string::npos)
      return key.rule.substr(at + mark.size());
  return "";
}

// The key as an override of `kSmall`, for each of its stages.
std::vector<std::string> overrides_of(const config::KeyInfo& key) {
  const std::string largest = largest_of(key);
  const bool is_list = key.type.starts_with("list");
  const std::string value = "=" + (is_list ? "[" + largest + "]" : largest);
  if (!key.path.starts_with("stages[].")) return {key.path + value};
  std::vector<std::string> result;
  for (const char* stage : {"autoencoder", "class", "text"})
    result.push_back("stages." + std::string(stage) + key.path.substr(8) + value);
  return result;
}

constexpr const char* kSmall = R"(run: r
autoencoder: {block_out_channels: [4, 4], layers_per_block: 1, norm_num_groups: 1}
transformer: {patch_size: 1, hidden_size: 12, depth: 1, num_heads: 1}
sources: [{name: a, type: scenes}]
stages:
  - {name: autoencoder, objective: autoencoder, source: a, resolution: 8, steps: 5, batch_size: 1}
  - {name: class, objective: class_conditional, source: a, resolution: 8, steps: 5, batch_size: 1}
  - {name: text, objective: text_conditional, source: a, resolution: 8, steps: 5, batch_size: 1, multi_scale: true}
)";

// Plans with these overrides; an error of the user's is an answer, too.
void expect_plan_or_user_error(const std::vector<std::string>& overrides) {
  try {
    const auto config = config::read_text<run::RunConfig>(kSmall, "small", overrides);
    const auto plan = plan_run(config, options("h100", 1 << 20));
    for (const auto& stage : plan.stages) {
      EXPECT_TRUE(std::isfinite(stage.memory.total()) && stage.memory.total() > 0) << stage.name;
      EXPECT_TRUE(std::isfinite(stage.consumption.seconds)) << stage.name;
      EXPECT_GT(stage.parameters, 0) << stage.name;
    }
  } catch (const UserError&) {
  }
}

TEST(Plan, LargestValuesOfAllKeysCanBePlanned) {
  for (const auto& key : config::keys<run::RunConfig>()) {
    const bool is_below_lists = key.path.starts_with("sources") ||
                                key.path.find("mix[]") != std::string::npos ||
                                key.path.starts_with("evaluation");
    if (largest_of(key).empty() || is_below_lists) continue;
    SCOPED_TRACE(key.path);
    for (const auto& one : overrides_of(key)) {
      SCOPED_TRACE(one);
      expect_plan_or_user_error({one});
    }
  }
  expect_plan_or_user_error(
      {"autoencoder.block_out_channels=[65536, 65536, 65536, 65536]", "autoencoder.layers_per_block=64",
       "autoencoder.latent_channels=1024", "transformer.hidden_size=65532", "transformer.depth=1024",
       "transformer.mlp_ratio=64", "text_encoder.d_model=65536", "text_encoder.max_tokens=8192",
       "stages.autoencoder.resolution=16384", "stages.text.resolution=16384",
       "stages.text.batch_size=1000000", "stages.text.steps=1000000000"});
}

}  // namespace
}  // namespace pixart::plan

// What plan_memory() says beforehand is what training takes, and what tiles save: the peak of tensors, counted
// in LibTorch's allocator.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "counting_allocator.h"
#include "one_rank.h"
#include "pixart/base/random.h"
#include "pixart/config/config.h"
#include "pixart/features/latent_codec.h"
#include "pixart/features/stage_transformer.h"
#include "pixart/models/vae.h"
#include "pixart/plan/plan.h"
#include "pixart/run/trained_parameters.h"
#include "pixart/train/objectives.h"
#include "pixart/train/trainer.h"
#include "plain_codec.h"
#include "plain_loader.h"

namespace pixart::train {
namespace {

constexpr int64_t kClasses = 10, kSteps = 1000;
constexpr uint64_t kSeed = 3;

at::Tensor normal(at::IntArrayRef shape, uint64_t stream) {
  at::Tensor tensor = at::empty(shape);
  fill_normal({7, stream, Purpose::kTest}, {tensor.data_ptr<float>(), size_t(tensor.numel())});
  return tensor;
}

// Random latents and captions of one micro-batch that is always the same; each pass reads its own copy.
struct RandomSamples {
  explicit RandomSamples(const run::StageConfig& stage, int64_t side)
      : count(stage.micro_batch_size > 0 ? stage.micro_batch_size : stage.batch_size),
        latents(normal({count, 4, side, side}, 1)) {}
  RandomSamples(const run::StageConfig& stage, const models::TransformerConfig& config)
      : RandomSamples(stage, config.shape().input_size) {
    if (config.caption_channels() == 0) return;
    captions = normal({count, config.max_tokens(), config.caption_channels()}, 2);
    mask = at::ones({count, config.max_tokens()}, at::kLong);
    mask.narrow(1, config.max_tokens() - 1, 1).slice(0, 1).zero_();  // padding: all but the first are shorter
  }
  data::Batch read(const data::MicroBatch& plan) const {
    data::Batch batch{.plan = plan, .mean = latents.clone(), .log_var = at::full_like(latents, -4)};
    if (captions.defined())
      batch.caption = captions.clone(), batch.mask = mask.clone();
    else
      batch.label = at::zeros({count}, at::kLong);
    return batch;
  }
  int64_t count;
  at::Tensor latents, captions = {}, mask = {};
};

run::TrainerConfig trainer_config(const run::StageConfig& stage) {
  run::TrainerConfig config;
  config.steps = stage.steps;
  config.batch_size = stage.batch_size;
  config.optimizer = optim::resolved(stage.optimizer);
  config.ema_decay = 0.99;
  return config;
}

int64_t measured_peak(const run::StageConfig& stage, const models::TransformerConfig& config) {
  const features::LatentCodec codec = testing::plain_codec();
  const RandomSamples samples(stage, config);
  auto& allocator = testing::CountingAllocator::instance();
  allocator.forget_peak();
  const int64_t before = allocator.live_bytes();
  nn::StateDict state;
  models::Execution execution{.dtype = {}, .recompute_every = stage.activation_checkpointing};
  if (stage.precision == run::Precision::kBFloat16) execution.dtype = at::kBFloat16;
  const models::Transformer model = models::Transformer(nn::Scope(state), config).with(execution);
  models::initialize(state, config, {.seed = 5, .embedder_std = 0.0});
  run::add_adapters(stage, state);
  run::choose_trained(stage, state);
  DiffusionObjective objective(
      model, {.codec = &codec,
              .loss = diffusion::LossTables(diffusion::make_noise_schedule("linear", kSteps), at::kCPU),
              .seed = kSeed,
              .draw = draws_by_sample(kSeed, kSteps, stage.condition_dropout),
              .device = at::kCPU});
  data::Loader loader = testing::plain_loader(
      stage.batch_size, {.batch_size = stage.batch_size, .micro_batch_size = stage.micro_batch_size},
      [&](const data::MicroBatch& plan) { return samples.read(plan); });
  Trainer trainer(trainer_config(stage), state, objective, loader, testing::one_rank());
  for (int step = 0; step < 2; ++step) trainer.train_step();
  return allocator.peak_bytes() - before;
}

std::string run_file(const std::string& transformer, const std::string& stage) {
  return "run: r\nautoencoder: {block_out_channels: [8, 8], layers_per_block: 1, norm_num_groups: 4}\n"
         "text_encoder: {d_model: 96, max_tokens: 12}\n"
         "transformer: {" +
         transformer +
         "}\nsources: [{name: a, type: class_folder, path: nowhere}]\nstages:\n  - {name: one, " + stage +
         ", source: a, resolution: 32, steps: 4}\n";
}

struct Case {
  const char* name;
  std::string transformer, stage;
};

class PlannedMemory : public ::testing::TestWithParam<Case> {};

// 8 %: what the formulas leave out is small tensors and the attention kernel's scratch memory.
TEST_P(PlannedMemory, IsThePeakOfTensors) {
  constexpr double kTolerance = 0.08;
  const auto config =
      config::read_text<run::RunConfig>(run_file(GetParam().transformer, GetParam().stage), "run");
  const auto& stage = config.stages.front();
  plan::PlanOptions options{.gpu = plan::find_gpu("cpu", 1, 1e12)};
  options.num_classes = kClasses;
  auto parts = plan::plan_memory(config, stage, options);
  const auto vae = features::configured_vae(config.autoencoder);
  nn::StateDict autoencoder({.device = at::kMeta});  // training holds it; the test has no need of one
  const models::AutoencoderKl unused(nn::Scope(autoencoder), vae);
  parts.buffers -= 4.0 * double(autoencoder.num_parameters());

  const models::ConditionSizes sizes{.labels = {.num_classes = kClasses},
                                     .text = {.caption_channels = config.text_encoder.size.d_model}};
  const int64_t peak = measured_peak(stage, features::transformer_config(config, stage, vae, sizes));
  const double ratio = parts.total() / double(peak);
  std::printf("%s: predicted %.2f MB, measured %.2f MB (%+.1f %%), activations %.2f MB\n", GetParam().name,
              parts.total() / 1e6, double(peak) / 1e6, 100 * (ratio - 1),
              (parts.activations + parts.workspace) / 1e6);
  EXPECT_NEAR(ratio, 1.0, kTolerance);
  // Otherwise the test would be about weights, which are easy.
  EXPECT_GT(parts.activations + parts.workspace, 0.3 * parts.total());
}

INSTANTIATE_TEST_SUITE_P(
    Tiny, PlannedMemory,
    ::testing::Values(Case{"class", "patch_size: 2, hidden_size: 96, depth: 3, num_heads: 4",
                           "objective: class_conditional, batch_size: 32"},
                      Case{"text_checkpointed", "patch_size: 2, hidden_size: 96, depth: 4, num_heads: 4",
                           "objective: text_conditional, batch_size: 64, activation_checkpointing: 1"},
                      Case{"text_half_checkpointed", "patch_size: 2, hidden_size: 96, depth: 4, num_heads: 4",
                           "objective: text_conditional, batch_size: 64, activation_checkpointing: 2"},
                      Case{"text_wide", "patch_size: 2, hidden_size: 192, depth: 2, num_heads: 6",
                           "objective: text_conditional, batch_size: 64, micro_batch_size: 32"},
                      Case{"text_came", "patch_size: 2, hidden_size: 96, depth: 3, num_heads: 4",
                           "objective: text_conditional, batch_size: 32, optimizer: {name: came}"},
                      Case{"class_lora", "patch_size: 2, hidden_size: 96, depth: 3, num_heads: 4",
                           "objective: class_conditional, batch_size: 32, lora: {rank: 4}, init: {how: copy, "
                           "from: nowhere.pth}"},
                      Case{"text_lora", "patch_size: 2, hidden_size: 96, depth: 3, num_heads: 4",
                           "objective: text_conditional, batch_size: 32, lora: {rank: 8}, init: {how: copy, "
                           "from: nowhere.pth}"},
                      Case{"text_lora_checkpointed", "patch_size: 2, hidden_size: 96, depth: 4, num_heads: 4",
                           "objective: text_conditional, batch_size: 64, lora: {rank: 4}, init: {how: copy, "
                           "from: nowhere.pth}, activation_checkpointing: 1"},
                      Case{
                          "text_compressed", "patch_size: 2, hidden_size: 96, depth: 3, num_heads: 4",
                          "objective: text_conditional, batch_size: 64, multi_scale: true, micro_conditions: "
                          "false, kv_compression: {sampling: conv, layers: [0, 1, 2]}"},
                      Case{"text_bfloat16", "patch_size: 2, hidden_size: 96, depth: 3, num_heads: 4",
                           "objective: text_conditional, batch_size: 32, precision: bfloat16"}),
    [](const auto& info) { return std::string(info.param.name); });

// The image, the edges that tiles share, and the activations of one tile are all that is in memory.
TEST(DecodingInTiles, TakesTheMemoryOfOneTile) {
  constexpr int64_t kTile = 16, kSide = 64;
  models::VaeConfig config;
  config.block_out_channels = {32, 32}, config.layers_per_block = 1, config.norm_num_groups = 4;
  nn::StateDict state;
  const models::AutoencoderKl vae(nn::Scope(state), config);
  models::initialize(state, config, 5);
  at::NoGradGuard no_grad;
  auto& allocator = testing::CountingAllocator::instance();
  const auto peak = [&](int64_t side, const models::Tiling& tiling) {
    const at::Tensor latent = normal({1, 4, side, side}, 1);
    allocator.forget_peak();
    const int64_t before = allocator.live_bytes();
    models::decode_tiled(vae, latent, tiling);
    return allocator.peak_bytes() - before;
  };
  const int64_t one = peak(kTile, {.tile = kTile}), tiled = peak(kSide, {.tile = kTile}),
                whole = peak(kSide, {.tile = kSide}), image = 3 * 4 * (2 * kSide) * (2 * kSide);
  std::printf("one tile %.2f MB, in tiles %.2f MB, whole %.2f MB, image %.2f MB\n", double(one) / 1e6,
              double(tiled) / 1e6, double(whole) / 1e6, double(image) / 1e6);
  // The edges, a quarter of each tile in two rows of six, are a sixth of the image.
  EXPECT_LT(tiled, one + image + image / 4);
  EXPECT_GT(tiled, image);
  EXPECT_GT(whole, 8 * one);
}

}  // namespace
}  // namespace pixart::train

// A stage that encodes images and captions in its steps, next to the same stage with stored features.
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>

#include "one_rank.h"
#include "pixart/base/env.h"
#include "pixart/base/random.h"
#include "pixart/features/batch_encoder.h"
#include "pixart/features/damaged_features.h"
#include "pixart/features/extract.h"
#include "pixart/features/feature_reader.h"
#include "pixart/features/run_context.h"
#include "pixart/features/stage_images.h"
#include "pixart/features/teacher.h"
#include "pixart/train/objectives.h"
#include "pixart/train/trainer.h"
#include "ranks.h"
#include "tiny_clip.h"
#include "tiny_session.h"

namespace pixart::train {
namespace {

namespace fs = std::filesystem;
using run::Encoding;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

constexpr int64_t kSide = 32, kMaxTokens = 12, kBatch = 4;
constexpr uint64_t kSeed = 7;

models::PixArtConfig transformer_of(const run::StageConfig& stage, int64_t caption_channels) {
  models::PixArtConfig config = testing::kTiny;
  config.multi_scale = stage.multi_scale, config.micro_conditions = stage.has_micro_conditions();
  config.depth = 2;
  config.caption_channels = caption_channels, config.max_tokens = kMaxTokens;
  return config;
}

struct Outcome {
  std::vector<double> losses;
  at::Tensor values;
};

void expect_close(const Outcome& a, const Outcome& b) {
  ASSERT_EQ(a.losses.size(), b.losses.size());
  for (size_t step = 0; step < a.losses.size(); ++step)
    EXPECT_NEAR(a.losses[step], b.losses[step], 1e-5) << "step " << step;
}

void expect_same_bits(const Outcome& a, const Outcome& b) {
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_TRUE(at::equal(a.values, b.values));
}

// A run with an autoencoder and a text encoder of random weights, and one source of images of noise.
class OnTheFly : public ::testing::Test {
 protected:
  OnTheFly() : folder_(fs::path(::testing::TempDir()) / fmt::format("pixart_on_the_fly_{}", process_id())) {
    at::set_num_threads(1);
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "images");
    for (int i = 0; i < 20; ++i) write_image(i, i);
    config_.run = folder_ / "run", config_.features.path = folder_ / "features";
    config_.autoencoder.path = folder_ / "vae";
    config_.text_encoder.max_tokens = kMaxTokens;
    config_.text_encoder.size = {.d_model = 16, .num_layers = 1, .num_heads = 2, .d_ff = 32};
    config_.features.shard_megabytes = 0.02;
    config_.sources.resize(1);
    config_.sources[0].name = "noise", config_.sources[0].path = folder_ / "images";
    config_.sources[0].quarantine_budget = 0.2;
    config_.stages.resize(1);
    stage().name = "text", stage().objective = "text_conditional", stage().source = "noise";
    stage().resolution = kSide, stage().horizontal_flip = true, stage().batch_size = kBatch;
    save_autoencoder();
  }
  ~OnTheFly() override { fs::remove_all(folder_); }

  run::StageConfig& stage() { return config_.stages[0]; }

  // Of the size 36 x 40, or wider, or less high.
  void write_image(int number, uint64_t seed, int more = 0, int height = 36) const {
    const fs::path stem = folder_ / "images" / fmt::format("{:02}", number);
    Image image(height, 40 + more);
    for (size_t i = 0; i < image.rgb.size(); ++i)
      image.rgb[i] = uint8_t(uniform_below({.seed = seed, .stream = 1}, 256, i));
    formats::save_png(stem.string() + ".png", image);
    std::ofstream(stem.string() + ".txt") << "image " << number << " of noise";
  }

  void save_autoencoder() const {
    models::VaeConfig vae;
    vae.block_out_channels = {4, 4, 8}, vae.layers_per_block = 1, vae.norm_num_groups = 2;
    vae.scaling_factor = 0.7;
    nn::StateDict state;
    const models::AutoencoderKl model(nn::Scope(state), vae);
    models::initialize(state, vae, 3);
    models::save_vae(folder_ / "vae", vae, state);
  }

  // The parts of a stage, as train/stage_diffusion.cpp puts them together.
  struct Parts {
    std::unique_ptr<features::RunContext> context;
    std::shared_ptr<const features::LatentCodec> codec = {};
    std::shared_ptr<const features::CaptionEncoder> captions = {};
    std::vector<data::Ledger> ledgers = {};
    features::FeatureReader reader = {};
    features::BatchEncoder encode = {};
  };
  Parts open(bool is_new = true) {
    Parts parts{.context =
                    std::make_unique<features::RunContext>(features::RunContext{.config = config_,
                                                                                .folder = {config_.run},
                                                                                .device = at::kCPU,
                                                                                .ranks = testing::one_rank(),
                                                                                .sources = {}})};
    auto& run = *parts.context;
    parts.codec = std::make_shared<features::LatentCodec>(features::load_codec(config_, at::kCPU));
    parts.captions = run.caption_encoder();
    parts.captions->load();
    parts.encode = {.latent_dtype = config_.features.latent_dtype,
                    .caption_dtype = config_.features.caption_dtype};
    parts.encode.alignment = parts.reader.alignment = stage().alignment;
    const auto teacher = stage().alignment.is_on()
                             ? std::make_shared<const features::Teacher>(*stage().alignment.teacher, at::kCPU)
                             : nullptr;
    auto own = run.parts(stage());
    auto& reader = parts.reader;
    const auto quarantine = std::make_shared<data::QuarantineFile>(folder_ / "quarantine.jsonl");
    for (auto& part : own) {
      const run::StageConfig cut = stage().at(part.resolution);
      if (stage().reads_stored_latents())
        part.latents = std::make_shared<data::LatentSet>(
            features::latent_set(config_, cut, "noise", *part.dataset, *parts.codec, at::kCPU));
      else if (cut.has_buckets())
        part.shapes = std::make_shared<features::ImageShapes>(
            features::image_shapes(config_, cut, config_.sources[0], *part.dataset));
      if (stage().reads_stored_teacher())
        part.teacher = std::make_shared<data::LatentSet>(
            features::teacher_set(config_, cut, "noise", *part.dataset, *teacher));
      if (stage().reads_stored_captions())
        part.captions = std::make_shared<data::CaptionSet>(
            features::caption_set(config_, "noise", *part.dataset, *parts.captions));
      parts.ledgers.push_back(features::ledger_of(part, quarantine.get()));
    }
    if (!stage().reads_stored_latents()) {
      const features::ImageMemoryPlace memory{.folder = folder_ / "checksums", .is_new = is_new};
      reader.images =
          std::make_shared<features::StageImages>(own, stage(), parts.codec->config(), kSeed, memory);
      parts.encode.codec = parts.codec, parts.encode.teacher = teacher;
    }
    if (!stage().reads_stored_captions()) reader.tokenizer = parts.encode.captions = parts.captions;
    reader.damaged = std::make_shared<features::DamagedFeatures>(
        own, parts.ledgers, std::vector<std::shared_ptr<data::QuarantineFile>>(own.size(), quarantine));
    reader.parts = std::move(own);
    reader.seed = kSeed, reader.with_captions = true, reader.mirror = true, reader.max_tokens = kMaxTokens;
    reader.shapes = std::make_shared<data::TrainingShapes>(stage().shapes());
    return parts;
  }

  // The stage in training.
  struct Training {
    Training(OnTheFly& test, int64_t threads, run::Numerics numerics, distributed::Communicator& ranks)
        : parts(test.open()),
          config(transformer_of(test.stage(), parts.captions->channels())),
          model(nn::Scope(state), config),
          objective(model, {.codec = parts.codec.get(),
                            .loss = diffusion::TrainingLoss(test.stage(), at::kCPU),
                            .seed = kSeed,
                            .draw = draws_by_sample(kSeed, 1000, 0.1),
                            .device = at::kCPU,
                            .encode = parts.encode,
                            .skipped = {},
                            .alignment = {.config = test.stage().alignment,
                                          .projection = features::add_projection(
                                              test.stage(), config.hidden_size, state)}}),
          loader(features::make_order(parts.reader.parts, parts.ledgers, test.stage(), kSeed, nullptr,
                                      test.config_.order_version()),
                 {.batch_size = kBatch,
                  .micro_batch_sizes = test.stage().micro_batch_sizes(),
                  .rank = ranks.rank(),
                  .world_size = ranks.world_size(),
                  .one_by_one = numerics == run::Numerics::kExact},
                 {.threads = threads}, parts.reader) {
      models::initialize(state, config, {.seed = 5, .embedder_std = 0.0});
      auto settings = testing::config_of(50, kBatch);
      settings.numerics = numerics;
      trainer = std::make_unique<Trainer>(settings, state, objective, loader, ranks);
    }
    Parts parts;
    models::PixArtConfig config;
    nn::StateDict state;
    models::Transformer model;
    DiffusionObjective objective;
    data::Loader loader;
    std::unique_ptr<Trainer> trainer;
  };

  Outcome train(int64_t steps, int64_t threads = 2, run::Numerics numerics = run::Numerics::kDefault,
                distributed::Communicator& ranks = testing::one_rank()) {
    Training training(*this, threads, numerics, ranks);
    Outcome outcome;
    while (training.trainer->step() < steps) outcome.losses.push_back(training.trainer->train_step().loss);
    outcome.values = training.trainer->state().values.clone();
    return outcome;
  }
  void expect_same_on_two_ranks(int64_t steps) {
    open();  // makes the text encoder and what is stored
    const auto train_on = [&](int world) {
      std::vector<Outcome> outcomes(static_cast<size_t>(world));
      const auto errors = distributed::testing::with_ranks(world, 60, [&](distributed::Communicator& ranks) {
        outcomes[size_t(ranks.rank())] = train(steps, 1, run::Numerics::kExact, ranks);
      });
      EXPECT_THAT(errors, Each(""));
      return outcomes;
    };
    const Outcome one = train_on(1).front();
    for (const auto& outcome : train_on(2)) expect_same_bits(outcome, one);
  }
  void expect_to_continue(int64_t stop, int64_t steps) {
    const Outcome whole = train(steps);
    Training first(*this, 2, run::Numerics::kDefault, testing::one_rank()),
        second(*this, 2, run::Numerics::kDefault, testing::one_rank());
    while (first.trainer->step() < stop) first.trainer->train_step();
    const auto from = first.trainer->state(), to = second.trainer->state();
    to.values.copy_(from.values);  // what a checkpoint holds
    to.ema.copy_(from.ema);
    const auto moments = first.trainer->optimizer_state(), copies = second.trainer->optimizer_state();
    for (size_t i = 0; i < moments.size(); ++i) at::Tensor(copies.at(i).tensor).copy_(moments[i].tensor);
    to.optimizer->steps() = from.optimizer->steps();
    *to.step = *from.step;
    for (int64_t step = stop; step < steps; ++step)
      EXPECT_EQ(second.trainer->train_step().loss, whole.losses[size_t(step)]) << step;
    EXPECT_TRUE(at::equal(to.values, whole.values));
  }
  void give_teacher() {
    testing::write_tiny_clip(folder_ / "clip", PIXART_SOURCE_DIR);
    auto& alignment = stage().alignment;
    alignment.teacher = folder_ / "clip", alignment.block = 0, alignment.hidden_size = 8;
  }
  void encode(Encoding latents, Encoding captions) { stage().encode = {latents, captions, false}; }

  fs::path folder_;
  run::RunConfig config_;
};

// An autoencoder adds float32 numbers in another order in another batch; a value may then be rounded to the next
// float16. Losses of all steps show it in the seventh digit.
TEST_F(OnTheFly, FiftyStepsHaveTheLossesOfStoredFeatures) {
  constexpr int64_t kSteps = 50;
  const Outcome stored = train(kSteps);
  EXPECT_LT(stored.losses.back(), stored.losses.front()) << "nothing was learned, so nothing was compared";
  fs::rename(folder_ / "features", folder_ / "kept");
  encode(Encoding::kOnTheFly, Encoding::kOnTheFly);
  expect_close(train(kSteps), stored);
  EXPECT_FALSE(fs::exists(folder_ / "features")) << "something was stored";
  fs::rename(folder_ / "kept", folder_ / "features");
  for (const auto& [latents, captions] : {std::pair{Encoding::kOnTheFly, Encoding::kStored},
                                          std::pair{Encoding::kStored, Encoding::kOnTheFly}}) {
    encode(latents, captions);
    expect_close(train(10), {.losses = {stored.losses.begin(), stored.losses.begin() + 10}, .values = {}});
  }
}

// Flips and shapes of the stored features are those of the latents.
TEST_F(OnTheFly, ATeacherSeesTheImagesOfTheLatents) {
  constexpr int64_t kSteps = 10;
  const Outcome plain = train(kSteps);
  give_teacher();
  const Outcome stored = train(kSteps);
  EXPECT_TRUE(fs::exists(folder_ / "features" / "noise-teacher-clip-32-mirrored" / "manifest.json"));
  EXPECT_GT(stored.losses.front(), plain.losses.front() + 0.1);
  encode(Encoding::kOnTheFly, Encoding::kOnTheFly);
  expect_close(train(kSteps), stored);
}

TEST_F(OnTheFly, ATeacherChangesNothingOfRanksAndStops) {
  give_teacher();
  expect_same_on_two_ranks(4);
  expect_to_continue(3, 6);
}

TEST_F(OnTheFly, EveryStoredTypeIsRoundedToAlike) {
  for (const auto& [latents, captions] :
       {std::pair{data::LatentDtype::kFloat16, data::CaptionDtype::kFloat8},
        std::pair{data::LatentDtype::kFloat32, data::CaptionDtype::kFloat32}}) {
    config_.features.latent_dtype = latents, config_.features.caption_dtype = captions;
    fs::remove_all(folder_ / "features");
    encode(Encoding::kStored, Encoding::kStored);
    const Outcome stored = train(10);
    encode(Encoding::kOnTheFly, Encoding::kOnTheFly);
    expect_close(train(10), stored);
  }
}

TEST_F(OnTheFly, ThreadsThatReadChangeNoBit) {
  encode(Encoding::kOnTheFly, Encoding::kOnTheFly);
  const Outcome none = train(8, /*threads=*/0);
  for (const int64_t threads : {1, 4}) expect_same_bits(train(8, threads), none);
}

TEST_F(OnTheFly, ExactNumericsGiveTheSameBitsOnTwoRanks) {
  encode(Encoding::kOnTheFly, Encoding::kOnTheFly);
  expect_same_on_two_ranks(8);
}

TEST_F(OnTheFly, AStageContinuesBitForBit) {
  encode(Encoding::kOnTheFly, Encoding::kOnTheFly);
  stage().encode.random_crop = true;
  expect_to_continue(3, 8);
}

TEST_F(OnTheFly, ADamagedImageIsReplacedAsAmongStoredFeatures) {
  fs::resize_file(folder_ / "images/07.png", 1000);
  const Outcome stored = train(10);
  encode(Encoding::kOnTheFly, Encoding::kOnTheFly);
  const Outcome found = train(10);
  expect_close(found, stored);
  std::ifstream quarantine(folder_ / "quarantine.jsonl");
  std::string line;
  std::getline(quarantine, line);
  EXPECT_THAT(line, AllOf(HasSubstr("07.png"), HasSubstr("damaged_picture")));
  expect_same_bits(train(10), found);
  config_.sources[0].quarantine_budget = 0;
  EXPECT_THAT([&] { train(10); }, ::testing::ThrowsMessage<UserError>(
                                      AllOf(HasSubstr("07.png"), HasSubstr("quarantine_budget = 0 of 20"))));
}

TEST_F(OnTheFly, AnImageThatWasReplacedEndsTheStage) {
  encode(Encoding::kOnTheFly, Encoding::kStored);
  const auto plan = [](std::vector<int64_t> rows) {
    return data::MicroBatch{.positions = rows, .rows = rows};
  };
  const auto first = open();
  first.reader(plan({0, 1, 2}));
  first.reader.images->save_checksums();
  write_image(2, /*seed=*/99);
  EXPECT_NO_THROW(open().reader(plan({2})));  // another training
  const auto second = open(/*is_new=*/false);
  EXPECT_NO_THROW(second.reader(plan({0, 1, 3})));
  EXPECT_THAT([&] { second.reader(plan({2})); },
              ::testing::ThrowsMessage<UserError>(AllOf(HasSubstr("not those"), HasSubstr("noise: 02.png"))));
}

// 36 x 56 pixels become 32 x 49, so that there are 18 places.
TEST_F(OnTheFly, RandomCropsAreDrawnForEachPosition) {
  for (int i = 0; i < 20; ++i) write_image(i, 5, /*more=*/16);
  encode(Encoding::kOnTheFly, Encoding::kStored);
  stage().horizontal_flip = false;
  const auto read = [&](int64_t position) {
    return open().reader({.positions = {position}, .rows = {0}}).image[0];
  };
  EXPECT_TRUE(at::equal(read(0), read(1)));
  stage().encode.random_crop = true;
  std::set<std::vector<uint8_t>> crops;
  const auto opened = open();
  for (int64_t position = 0; position < 60; ++position) {
    const at::Tensor image = opened.reader({.positions = {position}, .rows = {0}}).image[0];
    const auto* pixels = image.const_data_ptr<uint8_t>();
    crops.insert({pixels, pixels + image.numel()});
  }
  EXPECT_GT(crops.size(), 12u);
  EXPECT_LE(crops.size(), 18u);
  EXPECT_TRUE(at::equal(read(3), opened.reader({.positions = {3}, .rows = {0}}).image[0]));
}

// Squares of 32 pixels, and of 16 for the seven images that are less high than 32. One image is damaged.
class SeveralResolutions : public OnTheFly {
 protected:
  SeveralResolutions() {
    for (int i = 0; i < 20; i += 3) write_image(i, uint64_t(i), 0, /*height=*/20);
    fs::resize_file(folder_ / "images/07.png", 1000);
    stage().multi_scale = true, stage().micro_conditions = false;
    stage().resolutions = {{.side = 16}, {.side = kSide}};
    stage().micro_batch_size = 1;  // and four of the smaller ones
  }
};

// Each sample comes once in an epoch, in micro-batches of one shape and with no more tokens than one of the large ones.
TEST_F(SeveralResolutions, AnEpochHasEachSampleOnceAtItsResolution) {
  for (const auto encoding : {Encoding::kStored, Encoding::kOnTheFly}) {
    encode(encoding, Encoding::kStored);
    const auto parts = open();
    for (const auto version : {data::OrderVersion::kListed, data::OrderVersion::kComputed}) {
      const auto order =
          features::make_order(parts.reader.parts, parts.ledgers, stage(), kSeed, nullptr, version);
      std::map<int64_t, int> seen;
      std::set<std::pair<int64_t, size_t>> shapes;  // side, and samples of a micro-batch
      for (int64_t step = 0; step < 5; ++step)
        for (int64_t rank = 0; rank < 2; ++rank)
          for (const auto& plan : data::plan_step(*order,
                                                  {.batch_size = kBatch,
                                                  .micro_batch_sizes = stage().micro_batch_sizes(),
                                                  .rank = rank,
                                                  .world_size = 2},
                                                  step)) {
            const data::Batch batch = parts.reader(plan);
            const int64_t side = batch.mean.defined() ? 4 * batch.mean.size(2) : batch.image.size(2);
            shapes.insert({side, plan.rows.size()});
            for (const int64_t row : batch.plan.rows) {
              ++seen[row];
              EXPECT_EQ(side, row % 3 == 0 ? 16 : 32) << row;
            }
          }
      EXPECT_EQ(seen.size(), 19u);
      EXPECT_EQ(seen.count(7), 0u);
      int twice = 0;
      for (const auto& [row, times] : seen) twice += times - 1;
      EXPECT_EQ(twice, 1) << "in the place of the damaged one";
      for (const auto& [side, samples] : shapes) EXPECT_TRUE(side == 16 ? samples <= 4 : samples == 1);
      EXPECT_TRUE(std::any_of(shapes.begin(), shapes.end(), [](const auto& one) { return one.second > 1; }));
    }
  }
}

TEST_F(SeveralResolutions, NeitherRanksNorAStopNorEncodingInTheStepsChangeTheTraining) {
  write_image(7, 7);  // whole: a damaged one has another place in the order where it is found late
  const Outcome stored = train(10);
  expect_to_continue(3, 8);
  expect_same_on_two_ranks(6);
  encode(Encoding::kOnTheFly, Encoding::kStored);
  expect_close(train(10), stored);
  expect_to_continue(3, 8);
  expect_same_on_two_ranks(6);
}

// A source may come at each resolution, with the feature sets of stages that have one.
TEST_F(SeveralResolutions, ASourceMayComeAtEach) {
  stage().source.clear();
  stage().mix = {{.source = "noise", .resolution = 16}, {.source = "noise", .passes = 0.5, .resolution = 32}};
  for (const auto encoding : {Encoding::kStored, Encoding::kOnTheFly}) {
    encode(encoding, Encoding::kStored);
    const auto parts = open();
    for (const auto version : {data::OrderVersion::kListed, data::OrderVersion::kComputed}) {
      const auto order =
          features::make_order(parts.reader.parts, parts.ledgers, stage(), kSeed, nullptr, version);
      ASSERT_EQ(order->epoch_size(), 30);
      std::map<int64_t, std::set<int64_t>> seen;  // by side
      for (int64_t position = 0; position < 30; ++position) {
        const int64_t row = order->row(position);
        const data::Batch batch =
            parts.reader({.positions = {position}, .rows = {row}, .bucket = order->bucket(row)});
        const int64_t side = batch.mean.defined() ? 4 * batch.mean.size(2) : batch.image.size(2);
        EXPECT_EQ(side, row < 20 ? 16 : 32);
        seen[side].insert(row % 20);
      }
      if (encoding == Encoding::kOnTheFly) continue;  // the damaged image is found when it is read
      EXPECT_EQ(seen[16].size(), 19u);
      EXPECT_GE(seen[32].size(), 9u);
    }
  }
  for (const char* set : {"noise-latents-16-mirrored", "noise-latents-32-mirrored"})
    EXPECT_TRUE(fs::exists(folder_ / "features" / set / "manifest.json")) << set;
  encode(Encoding::kStored, Encoding::kStored);
  expect_to_continue(3, 8);
  expect_same_on_two_ranks(6);
}

// A resolution has the latents that a stage of this resolution alone has.
TEST_F(SeveralResolutions, LatentsAreThoseOfTheirResolution) {
  constexpr double kRounding = 2e-3;  // to float16: an autoencoder adds in another order in another batch
  const auto latents_of = [&](int64_t row) {
    auto parts = open();
    parts.reader.with_sizes = true;
    return parts.reader(
        {.positions = {row}, .rows = {row}, .bucket = features::bucket_of(parts.reader.parts[0], row)});
  };
  const data::Batch small = latents_of(3), large = latents_of(4);
  EXPECT_TRUE(fs::exists(folder_ / "features/noise-latents-16-32-mirrored/manifest.json"));
  stage().resolutions.clear();
  EXPECT_TRUE(at::allclose(latents_of(4).mean, large.mean, kRounding, kRounding));
  stage().resolution = 16;
  EXPECT_TRUE(at::allclose(latents_of(3).mean, small.mean, kRounding, kRounding));
  EXPECT_EQ(small.image_size[0][0].item<float>(), 20) << "the condition is the size of the image";
}

}  // namespace
}  // namespace pixart::train

// The objectives themselves: what of a batch reaches the model, and what is made of its answer. Expected
// losses are composed here from the models and the loss, without the objectives.
#include "pixart/train/objectives.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <numeric>

#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/nn/random_fill.h"
#include "plain_codec.h"

namespace pixart::train {
namespace {

constexpr int64_t kSteps = 1000, kSamples = 3, kClasses = 5, kTokens = 4, kWidth = 6;
constexpr double kScaling = 0.3;
const std::vector<double> kMean = {0.5, -1, 2, 0.1}, kDeviation = {2, 0.5, 1, 3};

at::Tensor normal(at::IntArrayRef shape, uint64_t stream) {
  at::Tensor tensor = at::empty(shape);
  fill_normal({11, stream, Purpose::kTest}, {tensor.data_ptr<float>(), size_t(tensor.numel())});
  return tensor;
}

const diffusion::LossTables& tables() {
  static const diffusion::LossTables result(diffusion::make_noise_schedule("linear", kSteps), at::kCPU);
  return result;
}

DiffusionDraw some_draw() {
  return {.noise = normal({kSamples, 4, 8, 8}, 1),
          .posterior = normal({kSamples, 4, 8, 8}, 2),
          .t = at::tensor({10, 500, 990}, at::kLong),
          .drop = at::tensor({0, 1, 0}, at::kLong)};
}

data::Batch some_batch() {
  data::Batch batch;
  batch.plan.positions = {7, 8, 9}, batch.plan.rows = {2, 0, 1};
  batch.mean = normal({kSamples, 4, 8, 8}, 3), batch.log_var = normal({kSamples, 4, 8, 8}, 4);
  batch.label = at::tensor({0, 3, 4}, at::kLong);
  batch.caption = normal({kSamples, kTokens, kWidth}, 5);
  batch.mask = at::tensor({1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0}, at::kLong).view({kSamples, kTokens});
  batch.image_size = at::tensor({600.0f, 400.0f, 300.0f, 900.0f, 512.0f, 512.0f}).view({kSamples, 2});
  batch.aspect_ratio = at::tensor({1.5f, 0.33f, 1.0f}).view({kSamples, 1});
  return batch;
}

// The loss of a batch as the loader hands it over.
double loss_of(Objective&& objective, data::Batch batch) {
  objective.prepare(batch);
  return objective.loss(batch).item<double>();
}

// What the transformer is trained on: drawn from the moments, then normalised.
at::Tensor latents_of(const data::Batch& batch, const DiffusionDraw& draw) {
  const auto per_channel = [](const std::vector<double>& values) {
    return at::tensor(values, at::kFloat).view({1, 4, 1, 1});
  };
  const at::Tensor sample = batch.mean + (0.5 * batch.log_var).exp() * draw.posterior;
  return (sample - per_channel(kMean)) * kScaling / per_channel(kDeviation);
}

at::Tensor expected(const diffusion::Denoiser& model, const data::Batch& batch, const DiffusionDraw& draw) {
  return diffusion_losses(tables(), model, latents_of(batch, draw), draw.noise, draw.t).mean();
}

// Both kinds of models with weights in which nothing is silent, and their objectives.
class Objectives : public ::testing::Test {
 protected:
  Objectives()
      : dit_(nn::Scope(dit_state_), kDit),
        pixart_(nn::Scope(pixart_state_), config(false)),
        multi_scale_(nn::Scope(multi_scale_state_), config(true)) {
    for (const auto* state : {&dit_state_, &pixart_state_, &multi_scale_state_})
      for (const auto& item : state->items()) nn::fill_normal_named(item.tensor, item.name, 5, 0.2);
  }
  static models::PixArtConfig config(bool multi_scale) {
    return {{.input_size = 8, .hidden_size = 24, .depth = 1, .num_heads = 2},
            {.caption_channels = kWidth,
             .max_tokens = kTokens,
             .multi_scale = multi_scale,
             .micro_conditions = multi_scale}};
  }
  DiffusionSetting setting(const DiffusionDraw& draw = some_draw()) const {
    return {.codec = &codec_,
            .loss = tables(),
            .seed = 21,
            .draw = [draw](const data::Batch&) { return draw; },
            .device = at::kCPU};
  }
  double class_loss(const data::Batch& batch, const DiffusionDraw& draw = some_draw()) const {
    return loss_of(DiffusionObjective(dit_, setting(draw)), batch);
  }
  double text_loss(const models::Transformer& model, const data::Batch& batch,
                   const DiffusionDraw& draw = some_draw()) const {
    return loss_of(DiffusionObjective(model, setting(draw)), batch);
  }
  double expected_class(const at::Tensor& labels, const data::Batch& batch) const {
    const auto model = [&](const at::Tensor& x, const at::Tensor& t) {
      return dit_.forward(x, t, {.label = labels});
    };
    return expected(model, batch, some_draw()).item<double>();
  }
  static double expected_text(const models::Transformer& pixart, const models::Condition& text,
                              const data::Batch& batch) {
    const auto model = [&](const at::Tensor& x, const at::Tensor& t) { return pixart.forward(x, t, text); };
    return expected(model, batch, some_draw()).item<double>();
  }
  // Of the batch, sample 1 with the null caption and its own mask.
  static models::Condition condition(const models::Transformer& model, const data::Batch& batch) {
    at::Tensor caption = batch.caption.clone();
    caption[1].copy_(model.null_of({.caption = caption}).caption[1]);
    return {.caption = caption, .mask = batch.mask, .drop = {}, .image_size = {}, .aspect_ratio = {}};
  }

  static constexpr models::DitConfig kDit{{.input_size = 8, .hidden_size = 24, .depth = 1, .num_heads = 2},
                                          {.num_classes = kClasses}};
  at::NoGradGuard no_grad_;
  features::LatentCodec codec_ = testing::plain_codec(kScaling, kMean, kDeviation);
  nn::StateDict dit_state_, pixart_state_, multi_scale_state_;
  models::Transformer dit_, pixart_, multi_scale_;
};

constexpr double kRounding = 2e-6;  // float32, of losses of about one, added in another order

TEST_F(Objectives, ADroppedClassIsTheNullClass) {
  const data::Batch batch = some_batch();
  const double loss = class_loss(batch);
  EXPECT_NEAR(loss, expected_class(at::tensor({int64_t{0}, kClasses, int64_t{4}}), batch), kRounding * loss);
  for (const auto& other : {std::vector<int64_t>{0, 3, 4},
                            {kClasses, 3, kClasses},
                            {0, kClasses - 1, 4},
                            {kClasses, kClasses, kClasses}})
    EXPECT_GT(std::abs(loss - expected_class(at::tensor(other), batch)), 100 * kRounding * loss);
  EXPECT_EQ(batch.label[1].item<int64_t>(), 3);  // the batch stays as it was read
}

TEST_F(Objectives, LatentsAreDrawnFromTheirMomentsAndNormalised) {
  const data::Batch batch = some_batch();
  const double loss = class_loss(batch);
  data::Batch shifted = batch;  // what is left when a step is left out
  shifted.mean = latents_of(batch, some_draw()), shifted.log_var = at::full_like(batch.mean, -100);
  EXPECT_GT(std::abs(class_loss(shifted) - loss), 1e-3 * loss);
  DiffusionDraw mean_only = some_draw();
  mean_only.posterior = at::zeros_like(mean_only.noise);
  EXPECT_GT(std::abs(class_loss(batch, mean_only) - loss), 1e-3 * loss);
}

TEST_F(Objectives, ADroppedCaptionIsTheNullCaptionWithTheSamplesMask) {
  const data::Batch batch = some_batch();
  const auto text = condition(pixart_, batch);
  const double loss = text_loss(pixart_, batch);
  EXPECT_NEAR(loss, expected_text(pixart_, text, batch), kRounding * loss);
  auto own = text;
  own.caption = batch.caption;
  EXPECT_GT(std::abs(loss - expected_text(pixart_, own, batch)), 100 * kRounding * loss);
}

TEST_F(Objectives, MaskedTokensAreNotSeen) {
  data::Batch batch = some_batch();
  const double loss = text_loss(pixart_, batch);
  batch.caption = batch.caption.clone();
  batch.caption[0][3].add_(1);
  EXPECT_GT(std::abs(text_loss(pixart_, batch) - loss), 100 * kRounding * loss) << "a token that counts";
  batch.caption[0][3].sub_(1);
  for (const auto& [sample, token] : {std::pair{1, 2}, {1, 3}, {2, 3}})
    batch.caption[sample][token].fill_(100);
  EXPECT_NEAR(text_loss(pixart_, batch), loss, kRounding * loss);
  batch.mask = at::ones_like(batch.mask);
  EXPECT_GT(std::abs(text_loss(pixart_, batch) - loss), 100 * kRounding * loss);
}

TEST_F(Objectives, CaptionsInBfloat16AreTheirNumbersInFloat32) {
  data::Batch batch = some_batch(), narrow = batch;
  narrow.caption = batch.caption.to(at::kBFloat16);
  batch.caption = narrow.caption.to(at::kFloat);
  EXPECT_EQ(text_loss(pixart_, narrow), text_loss(pixart_, batch));
}

TEST_F(Objectives, MicroConditionsReachTheModelAsTheyAre) {
  const data::Batch batch = some_batch();
  auto text = condition(multi_scale_, batch);
  text.image_size = batch.image_size, text.aspect_ratio = batch.aspect_ratio;
  const double loss = text_loss(multi_scale_, batch);
  EXPECT_NEAR(loss, expected_text(multi_scale_, text, batch), kRounding * loss);
  auto turned = text, other = text;
  turned.image_size = batch.image_size.flip({1});
  other.aspect_ratio = batch.aspect_ratio.reciprocal();
  for (const auto& wrong : {turned, other})
    EXPECT_GT(std::abs(loss - expected_text(multi_scale_, wrong, batch)), 100 * kRounding * loss);
}

TEST_F(Objectives, AModelWithoutMicroConditionsNeedsNone) {
  data::Batch batch = some_batch();
  const double loss = text_loss(pixart_, batch);
  batch.image_size = at::Tensor(), batch.aspect_ratio = at::Tensor();
  EXPECT_EQ(text_loss(pixart_, batch), loss);
}

TEST_F(Objectives, TrainingDrawsBySample) {
  const data::Batch batch = some_batch();
  auto shipped = setting();
  shipped.draw = draws_by_sample(21, kSteps, 0.5);
  const auto draw = draw_diffusion_inputs(21, batch.plan.positions, {4, 8, 8}, kSteps, 0.5);
  EXPECT_EQ(loss_of(DiffusionObjective(dit_, shipped), batch), class_loss(batch, draw));
  EXPECT_EQ(loss_of(DiffusionObjective(pixart_, shipped), batch), text_loss(pixart_, batch, draw));
}

// The published loss, with its bound, of the patches of some tokens.
TEST_F(Objectives, TheLossOfSomeTokensIsOfTheirPatches) {
  const data::Batch batch = some_batch();
  auto shipped = setting();
  DiffusionDraw draw = some_draw();
  draw.kept = at::tensor({0, 5, 15, 1, 2, 3, 4, 8, 12}, at::kLong).view({3, 3});
  shipped.draw = [&](const data::Batch&) { return draw; };
  shipped.skipped = {.rate = 0.8, .from = 1, .to = 1, .loss_of_kept = true};  // no block is skipped
  const at::Tensor x_start = latents_of(batch, draw);
  const auto text = condition(pixart_, batch);
  const at::Tensor output = pixart_.forward(diffusion::add_noise(tables(), x_start, draw.noise, draw.t),
                                            draw.t.to(at::kFloat), text);
  double expected_loss = 0;
  for (int64_t i = 0; i < 3; ++i)
    for (int64_t k = 0; k < 3; ++k) {
      const int64_t token = draw.kept[i][k].item<int64_t>();
      const auto patch = [&](const at::Tensor& latent) {
        return latent.narrow(0, i, 1).narrow(2, token / 4 * 2, 2).narrow(3, token % 4 * 2, 2);
      };
      const auto model = [&](const at::Tensor&, const at::Tensor&) { return patch(output); };
      expected_loss +=
          diffusion_losses(tables(), model, patch(x_start), patch(draw.noise), draw.t.narrow(0, i, 1))
              .item<double>() /
          9;
    }
  EXPECT_NEAR(loss_of(DiffusionObjective(pixart_, shipped), batch), expected_loss,
              10 * kRounding * expected_loss);
}

TEST(KeptTokens, AreDrawnByPosition) {
  const at::Tensor all = draw_kept_tokens(21, {4, 5, 6, 7}, 64, 0.75),
                   some = draw_kept_tokens(21, {6, 5}, 64, 0.75);
  ASSERT_EQ(all.sizes(), at::IntArrayRef({4, 16}));
  EXPECT_TRUE(at::equal(all[2], some[0]) && at::equal(all[1], some[1]));
  EXPECT_FALSE(at::equal(all[0], all[1]));
  EXPECT_FALSE(at::equal(all, draw_kept_tokens(22, {4, 5, 6, 7}, 64, 0.75)));
  EXPECT_TRUE((all.diff(1, 1) > 0).all().item<bool>()) << "each once, in order";
  EXPECT_TRUE((all >= 0).all().item<bool>() && (all < 64).all().item<bool>());
  // Each of 64 tokens about 2000 / 4 times; five standard deviations of a binomial count are 97.
  std::vector<int64_t> positions(2000);
  std::iota(positions.begin(), positions.end(), 0);
  const at::Tensor counts = at::bincount(draw_kept_tokens(21, positions, 64, 0.75).flatten(), {}, 64);
  EXPECT_LT((counts - 500).abs().max().item<int64_t>(), 97);
}

TEST(KeptTokens, AreDrawnUntilTheEndAlone) {
  const auto draw = with_kept_tokens(draws_by_sample(21, kSteps, 0.5), 21,
                                     {.rate = 0.5, .from = 1, .to = 2, .until = 7}, 2);
  data::Batch batch = some_batch();
  batch.plan.step = 6;
  EXPECT_EQ(draw(batch).kept.sizes(), at::IntArrayRef({3, 8}));
  batch.plan.step = 7;
  EXPECT_FALSE(draw(batch).kept.defined());
}

// Teacher, target and student have weights of their own. The dropped sample is the null caption for all three.
TEST_F(Objectives, ADistilledLossComparesStudentAndTargetByTheTeachersStep) {
  const auto network = [](uint64_t seed) {
    nn::StateDict state;
    auto made = std::make_shared<models::Transformer>(nn::Scope(state), config(false));
    for (const auto& item : state.items()) nn::fill_normal_named(item.tensor, item.name, seed, 0.2);
    return made;
  };
  const auto teacher = network(6), target = network(7);
  DiffusionDraw draw = some_draw();
  draw.t = at::tensor({0, 20, 49}, at::kLong);
  draw.guidance = at::tensor({1.0f, 3.0f, 5.0f});
  const diffusion::ConsistencyLoss loss(diffusion::make_noise_schedule("linear", kSteps), {}, at::kCPU);
  auto distilled = setting(draw);
  distilled.distillation = Distillation{teacher, target, loss, 5};
  const data::Batch batch = some_batch();
  const double found = loss_of(DiffusionObjective(pixart_, distilled), batch);

  const models::Condition text{.caption = batch.caption, .mask = batch.mask, .drop = draw.drop};
  const auto with = [](const models::Transformer& model, const models::Condition& condition) {
    return [&model, condition](const at::Tensor& x, const at::Tensor& t) {
      return model.forward(x, t, condition);
    };
  };
  const auto composed = [&](const models::Condition& first, const models::Condition& second) {
    const diffusion::Denoiser pair = [&](const at::Tensor& x, const at::Tensor& t) {
      return at::cat({teacher->forward(x, t, first), teacher->forward(x, t, second)});
    };
    return loss
        .losses({.student = with(pixart_, text), .teacher_pair = pair, .target = with(*target, text)},
                latents_of(batch, draw), draw.noise, draw.t, draw.guidance)
        .mean()
        .item<double>();
  };
  EXPECT_NEAR(found, composed(text, teacher->null_of(text)), 10 * kRounding * found);
  EXPECT_GT(std::abs(found - composed(teacher->null_of(text), text)), 100 * kRounding * found);
  EXPECT_TRUE(DiffusionObjective(pixart_, distilled).reads_ema());
  EXPECT_FALSE(DiffusionObjective(pixart_, setting()).reads_ema());
}

at::Tensor timesteps_of(const diffusion::DiffusionConfig& config, int64_t step, int64_t first, int64_t count,
                        int64_t batch_size) {
  data::Batch batch;
  batch.plan.step = step;
  for (int64_t i = 0; i < count; ++i) batch.plan.positions.push_back(step * batch_size + first + i);
  batch.mean = at::zeros({count, 4, 2, 2});
  return draws_by_sample(21, config, batch_size, 0.5)(batch).t;
}

TEST(TimestepDraws, UniformOnesAreThoseOfEveryEarlierRun) {
  const auto before = draw_diffusion_inputs(21, {16, 17, 18, 19}, {4, 2, 2}, kSteps, 0.5);
  EXPECT_TRUE(at::equal(timesteps_of({}, 2, 0, 4, 8), before.t));
}

TEST(TimestepDraws, AStepSeesEveryPartOnceHoweverItIsCut) {
  diffusion::DiffusionConfig config;
  config.timesteps = diffusion::TimestepDraw::kStratified;
  const at::Tensor whole = timesteps_of(config, 3, 0, 8, 8);
  const at::Tensor parts = at::cat({timesteps_of(config, 3, 0, 3, 8), timesteps_of(config, 3, 3, 5, 8)});
  EXPECT_TRUE(at::equal(parts, whole));
  const at::Tensor strata = std::get<0>(at::sort(at::floor_divide(whole, kSteps / 8)));
  EXPECT_TRUE(at::equal(strata, at::arange(8)));
  const at::Tensor other = timesteps_of(config, 4, 0, 8, 8);
  EXPECT_FALSE(at::equal(at::floor_divide(other, kSteps / 8), at::floor_divide(whole, kSteps / 8)));
}

TEST(TimestepDraws, LogitNormalOnesAreInTheMiddleAndDependOnThePositionAlone) {
  diffusion::DiffusionConfig config;
  config.timesteps = diffusion::TimestepDraw::kLogitNormal;
  const at::Tensor t = timesteps_of(config, 0, 0, 2000, 2000);
  EXPECT_TRUE(at::equal(timesteps_of(config, 0, 500, 10, 2000), t.narrow(0, 500, 10)));
  const double middle = at::logical_and(t >= 269, t < 731).to(at::kDouble).mean().item<double>();
  EXPECT_NEAR(middle, 0.683, 0.03);  // one standard deviation; 0.462 if uniform
  config.logit_mean = 1;
  EXPECT_GT(timesteps_of(config, 0, 0, 2000, 2000).to(at::kDouble).mean().item<double>(), 650);
}

TEST_F(Objectives, TheLossIsThatOfWhatTheModelPredicts) {
  diffusion::DiffusionConfig config;
  config.prediction = diffusion::Prediction::kFlow;
  config.loss_weighting = diffusion::LossWeighting::kMinSnr;
  auto flow = setting();
  flow.loss = diffusion::TrainingLoss(config, at::kCPU);
  const data::Batch batch = some_batch();
  const DiffusionDraw draw = some_draw();
  const at::Tensor x_start = latents_of(batch, draw);
  const auto labels = at::tensor({0, 5, 4}, at::kLong);  // 5: the null class of the dropped sample
  const auto model = [&](const at::Tensor& x, const at::Tensor& t) {
    return dit_.forward(x, t, {.label = labels});
  };
  const double expected = flow.loss.losses(model, x_start, draw.noise, draw.t).mean().item<double>();
  EXPECT_NEAR(loss_of(DiffusionObjective(dit_, flow), batch), expected, kRounding * expected);
  EXPECT_NE(expected, class_loss(batch));
}

// What the loader's threads do once, no step does again: the loss uses the draws of the prepared batch.
TEST_F(Objectives, DrawsAreMadeWhenABatchIsPrepared) {
  int draws = 0;
  auto counting = setting();
  counting.draw = [&](const data::Batch&) {
    ++draws;
    return some_draw();
  };
  DiffusionObjective objective(pixart_, counting);
  data::Batch batch = some_batch();
  EXPECT_THROW(objective.loss(batch), InternalError);
  objective.prepare(batch);
  EXPECT_EQ(draws, 1);
  const double loss = objective.loss(batch).item<double>();
  EXPECT_EQ(objective.loss(batch).item<double>(), loss);
  EXPECT_EQ(loss, text_loss(pixart_, batch));
  EXPECT_EQ(draws, 1);
}

// One row, at each held-out timestep: nothing dropped, the mean of the moments, whatever is drawn for
// training.
TEST_F(Objectives, HeldOutLossesDropNothingAndDrawNothing) {
  data::Batch one = some_batch();
  for (at::Tensor* tensor :
       {&one.mean, &one.log_var, &one.label, &one.caption, &one.mask, &one.image_size, &one.aspect_ratio})
    *tensor = tensor->narrow(0, 1, 1);
  one.plan.rows = {42};
  const auto fixed = held_out_inputs(21, 42, {4, 8, 8}, kSteps);
  for (int64_t i = 0; i < kHeldOutTimesteps; ++i) {
    const DiffusionDraw draw{.noise = fixed.noise[i].unsqueeze(0),
                             .posterior = at::zeros({1, 4, 8, 8}),
                             .t = fixed.t[i].view({1}),
                             .drop = at::zeros({1}, at::kLong)};
    const double of_class = class_loss(one, draw), of_text = text_loss(multi_scale_, one, draw);
    const auto classes = DiffusionObjective(dit_, setting()).held_out_losses(one);
    const auto texts = DiffusionObjective(multi_scale_, setting()).held_out_losses(one);
    EXPECT_EQ(classes.sizes(), (std::vector<int64_t>{kHeldOutTimesteps}));
    EXPECT_NEAR(classes[i].item<double>(), of_class, kRounding * of_class);
    EXPECT_NEAR(texts[i].item<double>(), of_text, kRounding * of_text);
  }
}

TEST_F(Objectives, HeldOutLossesHaveNoWeights) {
  data::Batch one = some_batch();
  for (at::Tensor* tensor :
       {&one.mean, &one.log_var, &one.label, &one.caption, &one.mask, &one.image_size, &one.aspect_ratio})
    *tensor = tensor->narrow(0, 1, 1);
  one.plan.rows = {42};
  diffusion::DiffusionConfig config;
  config.loss_weighting = diffusion::LossWeighting::kMinSnr;
  auto weighted = setting();
  weighted.loss = diffusion::TrainingLoss(config, at::kCPU);
  EXPECT_TRUE(at::equal(DiffusionObjective(dit_, weighted).held_out_losses(one),
                        DiffusionObjective(dit_, setting()).held_out_losses(one)));
}

TEST(AutoencoderObjectives, LossIsReconstructionAndWeightedKl) {
  at::NoGradGuard no_grad;
  models::VaeConfig config;
  config.block_out_channels = {4, 4}, config.layers_per_block = 1, config.norm_num_groups = 2;
  nn::StateDict state;
  const models::AutoencoderKl model(nn::Scope(state), config);
  for (const auto& item : state.items()) nn::fill_normal_named(item.tensor, item.name, 5, 0.2);
  constexpr double kKlWeight = 0.7;
  constexpr uint64_t kSeed = 13;
  AutoencoderObjective objective(model, kSeed, kKlWeight, at::kCPU);
  data::Batch batch;
  batch.plan.positions = {4, 9};
  batch.image = at::arange(2 * 3 * 8 * 8, at::kLong).mul(37).remainder(256).to(at::kByte).view({2, 3, 8, 8});

  const at::Tensor image = batch.image.to(at::kFloat) / 127.5 - 1;
  const auto moments = model.encode(image);
  at::Tensor noise = at::empty_like(moments.mean);
  const int64_t size = noise[0].numel();
  for (int64_t i = 0; i < 2; ++i)
    fill_normal({kSeed, uint64_t(batch.plan.positions[size_t(i)]), Purpose::kPosterior},
                {noise.data_ptr<float>() + i * size, size_t(size)});
  const auto with_noise = [&](const at::Tensor& drawn) {
    const at::Tensor error = model.decode(moments.mean + (0.5 * moments.log_var).exp() * drawn) - image;
    const at::Tensor kl = 0.5 * (moments.mean.square() + moments.log_var.exp() - 1 - moments.log_var).mean();
    return (error.abs().mean() + error.square().mean() + kKlWeight * kl).item<double>();
  };
  EXPECT_THROW(objective.loss(batch), InternalError);
  objective.prepare(batch);
  const double loss = objective.loss(batch).item<double>();
  EXPECT_NEAR(loss, with_noise(noise), kRounding * loss);
  const double held_out = objective.held_out_losses(batch).item<double>();
  EXPECT_NEAR(held_out, with_noise(at::zeros_like(noise)), kRounding * held_out);
  EXPECT_GT(std::abs(held_out - loss), 100 * kRounding * loss);
}

}  // namespace
}  // namespace pixart::train

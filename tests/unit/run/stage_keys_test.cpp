#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "pixart/features/stage_transformer.h"
#include "run_file_text.h"

namespace pixart::run {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Every key that a row of the table of objectives claims is refused by the rows that do not.
TEST(StageKeys, KeysOfOtherObjectivesAreRefusedByName) {
  const std::map<std::string, std::string> values = {{"horizontal_flip", "true"},
                                                     {"precision", "bfloat16"},
                                                     {"activation_checkpointing", "2"},
                                                     {"condition_dropout", "0.2"},
                                                     {"lora", "{rank: 4}"},
                                                     {"aspect_buckets", "true"},
                                                     {"resolutions", "[{side: 256}, {side: 512}]"},
                                                     {"resolution_rule", "share"},
                                                     {"multi_scale", "true"},
                                                     {"micro_conditions", "true"},
                                                     {"kv_compression", "{sampling: conv, layers: [1]}"},
                                                     {"position_scale", "2"},
                                                     {"kl_weight", "0.5"},
                                                     {"prediction", "v"},
                                                     {"shift", "3"},
                                                     {"zero_terminal_snr", "true"},
                                                     {"timesteps", "stratified"},
                                                     {"logit_mean", "1"},
                                                     {"logit_std", "2"},
                                                     {"loss_weighting", "p2"},
                                                     {"min_snr_gamma", "3"},
                                                     {"p2_gamma", "2"},
                                                     {"variational_bound", "none"},
                                                     {"encode", "{latents: on_the_fly}"},
                                                     {"routing", "{rate: 0.5, to: 4}"},
                                                     {"masking", "{rate: 0.5}"},
                                                     {"alignment", "{teacher: clip}"},
                                                     {"consistency", "{huber_width: 0.01}"},
                                                     {"control", "{condition: canny}"},
                                                     {"metrics", "{every: 5}"}};
  std::set<std::string> claimed;
  for (const auto& row : objective_table()) claimed.insert(row.keys.begin(), row.keys.end());
  ASSERT_EQ(claimed.size(), values.size());
  for (const auto& row : objective_table()) {
    const std::string file = replace(kGood, "objective: class_conditional", "objective: " + row.name);
    for (const auto& key : claimed) {
      const bool applies = std::find(row.keys.begin(), row.keys.end(), key) != row.keys.end();
      const std::string error =
          error_of(replace(file, "steps: 5}", "steps: 5, " + key + ": " + values.at(key) + "}"));
      const std::string message = key + " has no effect with objective " + row.name;
      EXPECT_EQ(error.find(message) == std::string::npos, applies) << error;
    }
  }
}

TEST(StageKeys, AConsistencyStageDrawsInFourSteps) {
  const std::string stage =
      "  - {name: few, objective: consistency, source: a, steps: 5, init: {how: copy, from: two}";
  const auto config = config::read_text<RunConfig>(kGood + stage + "}\n", "run.yaml");
  const auto& few = config.stage("few");
  EXPECT_TRUE(few.process().consistency);
  EXPECT_EQ(few.sampler().sampler, "lcm");
  EXPECT_EQ(few.sampler().num_steps, 4);
  EXPECT_EQ(few.sampler().guidance, 1);
  EXPECT_EQ(config.stage("two").sampler().num_steps, 20);
  EXPECT_FALSE(config.stage("two").process().consistency);
  EXPECT_THAT(error_of(kGood + stage + ", prediction: v}\n"),
              HasSubstr("the teacher two has prediction: epsilon and zero_terminal_snr: false"));
  EXPECT_THAT(error_of(kGood + stage + ", prediction: flow}\n"),
              HasSubstr("prediction: flow is not possible with objective consistency"));
  EXPECT_THAT(error_of(kGood + stage + ", consistency: {least_guidance: 9}}\n"),
              HasSubstr("least_guidance 9 is more than most_guidance 5.5"));
  EXPECT_THAT(error_of(kGood + "  - {name: few, objective: consistency, source: a, steps: 5}\n"),
              HasSubstr("init.how: random is not possible with objective consistency; possible: copy"));
}

TEST(StageKeys, TheBaseOfMupFitsHeadsAndOptimizer) {
  const auto with = [](const std::string& keys, const std::string& stage = "") {
    const std::string file = replace(kGood, "preset: XL/2", "preset: XL/2, " + keys);
    return error_of(stage.empty() ? file : replace(file, "steps: 5}", "steps: 5, " + stage + "}"));
  };
  EXPECT_EQ(with("base_width: 288"), "");
  EXPECT_EQ(with("base_width: 256, base_heads: 4"), "");
  EXPECT_THAT(with("base_width: 100"), HasSubstr("base_width 100 is not a multiple of 16 heads"));
  EXPECT_THAT(with("base_width: 90, base_heads: 5"), HasSubstr("base_width 90 is not a multiple of 4"));
  EXPECT_THAT(with("base_heads: 4"), HasSubstr("base_heads has no effect without base_width"));
  for (const char* name : {"came", "muon"})
    EXPECT_THAT(with("base_width: 288", std::string("optimizer: {name: ") + name + "}"),
                HasSubstr(std::string("transformer.base_width needs optimizer.name: adamw, not ") + name));
}

TEST(StageKeys, SizesOfTheStages) {
  const auto config = config::read_text<RunConfig>(kGood, "run.yaml");
  const models::VaeConfig vae;
  const models::ConditionSizes sizes{.labels = {.num_classes = 7}, .text = {.caption_channels = 96}};
  const auto by_class = features::transformer_config(config, config.stage("one"), vae, sizes);
  EXPECT_EQ(by_class.shape().input_size, 32);  // 256 px / 8
  EXPECT_EQ(by_class.shape().hidden_size, 1152);
  EXPECT_EQ(by_class.num_classes(), 7);
  EXPECT_EQ(by_class.max_tokens(), 0);
  const auto by_text = features::transformer_config(config, config.stage("two"), vae, sizes);
  EXPECT_EQ(by_text.shape().depth, 28);
  EXPECT_EQ(by_text.max_tokens(), 120);
  EXPECT_EQ(by_text.caption_channels(), 96);
  EXPECT_EQ(by_text.num_classes(), 0);
  auto odd = config;
  odd.stages[0].resolution = 250;
  EXPECT_THROW(features::transformer_config(odd, odd.stages[0], vae, sizes), UserError);
  auto several = config;
  StageConfig& two = several.stages[1];
  two.multi_scale = true, two.resolution = 512;
  two.resolutions = {{.side = 256}, {.side = 512}};
  EXPECT_EQ(features::transformer_config(several, two, vae, sizes).shape().input_size, 64);
  two.resolutions[0].side = 250;
  EXPECT_THROW(features::transformer_config(several, two, vae, sizes), UserError);
}

TEST(StageKeys, CompressedKeysFitTheModel) {
  const auto error_with = [](const std::string& keys) {
    return error_of(replace(kGood, "init: {how: reparameterize, from: one}", keys));
  };
  EXPECT_EQ(error_with("kv_compression: {sampling: conv, layers: [14, 27]}"), "");
  EXPECT_THAT(error_with("kv_compression: {sampling: conv, factor: 1, layers: [28, 5, 40, 5]}"),
              ::testing::AllOf(HasSubstr("no effect with factor: 1"),
                               HasSubstr("block 28; the model has blocks 0 to 27"), HasSubstr("block 40"),
                               HasSubstr("block 5 twice")));
  EXPECT_THAT(error_with("kv_compression: {sampling: every}"),
              HasSubstr("stages.two: kv_compression: sampling: "
                        "every needs layers"));
  EXPECT_THAT(error_with("kv_compression: {layers: [3]}"), HasSubstr("no effect with sampling: none"));
  EXPECT_THAT(error_with("kv_compression: {sampling: ave, layers: [3]}"), HasSubstr("average"));
  EXPECT_THAT(error_with("kv_compression: {sampling: conv, factor: 33, layers: [3]}"), HasSubstr("1 to 32"));
  EXPECT_THAT(
      error_of(replace(kGood, "from: one}", "from: one}, kv_compression: {sampling: conv, layers: [1]}")),
      HasSubstr("copy from that stage"));
}

TEST(StageKeys, MicroConditionsFollowMultiScale) {
  const auto with = [](const std::string& keys) {
    return replace(kGood, "init: {how: reparameterize, from: one}", keys);
  };
  const auto has = [&](const std::string& keys) {
    return config::read_text<RunConfig>(with(keys), "run.yaml").stage("two").has_micro_conditions();
  };
  EXPECT_FALSE(has("multi_scale: false"));
  EXPECT_TRUE(has("multi_scale: true"));
  EXPECT_FALSE(has("multi_scale: true, micro_conditions: false"));
  EXPECT_THAT(error_of(with("micro_conditions: true")),
              HasSubstr("micro_conditions needs multi_scale: true"));
  const auto narrow = [&](const std::string& keys) {
    return error_of(
        replace(with(keys), "preset: XL/2", "patch_size: 2, hidden_size: 32, depth: 1, num_heads: 4"));
  };
  EXPECT_THAT(narrow("multi_scale: true"), HasSubstr("multiple of 3"));
  EXPECT_EQ(narrow("multi_scale: true, micro_conditions: false"), "");
}

TEST(StageKeys, TheFactorDividesTheGridsOfAStage) {
  const auto error_with = [](const std::string& keys) -> std::string {
    const auto config = config::read_text<RunConfig>(
        replace(kGood, "init: {how: reparameterize, from: one}", "multi_scale: true, " + keys), "run.yaml");
    try {
      const auto made = features::transformer_config(config, config.stage("two"), {}, {});
      EXPECT_EQ(made.kv_compression(), config.stage("two").kv_compression);
      EXPECT_TRUE(made.has_micro_conditions());
      return "";
    } catch (const UserError& error) {
      return error.what();
    }
  };
  const auto compressed = [](const std::string& how) {
    return "kv_compression: {layers: [0], sampling: " + how + "}";
  };
  EXPECT_EQ(error_with(compressed("conv, factor: 4")), "");  // 16 x 16 tokens
  EXPECT_EQ(error_with(compressed("every, factor: 32")), "");
  for (const char* sampling : {"conv", "average", "uniform"})
    EXPECT_THAT(error_with(compressed(std::string(sampling) + ", factor: 3")),
                HasSubstr("stage two: kv_compression.factor 3 does not divide 16 x 16 tokens"));
  EXPECT_THAT(error_with(compressed("every, factor: 3")), HasSubstr("16 x 16 = 256 tokens"));
  EXPECT_THAT(error_with(compressed("conv, factor: 32")), HasSubstr("leaves no key of 16 x 16 tokens"));
  const std::string buckets = "resolution: 512, aspect_buckets: true, ";
  EXPECT_EQ(error_with(buckets + compressed("uniform, factor: 2")), "");
  EXPECT_EQ(error_with(buckets + compressed("conv, factor: 4")), "");
  EXPECT_THAT(error_with(buckets + compressed("uniform, factor: 4")),
              ::testing::AllOf(HasSubstr("problems"), HasSubstr("(an aspect bucket)")));
}

TEST(StageKeys, LoraGoesWithWeightsThatAreTrainedAlready) {
  const std::string three = kGood +
                            "  - {name: three, objective: text_conditional, source: a, steps: 5, init: {how: "
                            "copy, from: two}, lora: {rank: 4}}\n";
  EXPECT_EQ(error_of(three), "");
  const auto problem_of = [&](const std::string& from, const std::string& to) {
    return error_of(replace(three, from, to));
  };
  EXPECT_THAT(problem_of("{how: copy, from: two}", "{how: random}"),
              HasSubstr("init.how must be copy, not random"));
  EXPECT_THAT(problem_of("{how: copy, from: two}", "{how: reparameterize, from: one}"),
              HasSubstr("init.how must be copy, not reparameterize"));
  EXPECT_THAT(problem_of("lora: {rank: 4}", "lora: {rank: 4}, frozen: [t_block.*]"),
              HasSubstr("frozen has no effect with lora"));
  EXPECT_THAT(problem_of("rank: 4", "rank: 0, alpha: 8, targets: [t_block.*]"),
              ::testing::AllOf(HasSubstr("alpha has no effect"), HasSubstr("targets has no effect")));
  EXPECT_THAT(problem_of("rank: 4", "rank: 4, alpha: 0"), HasSubstr("alpha"));
  const std::string autoencoder = replace(kGood, "objective: class_conditional, source: a, steps: 5",
                                          "objective: autoencoder, source: a, steps: 5, lora: {rank: 4}");
  EXPECT_THAT(error_of(autoencoder), HasSubstr("lora has no effect with objective autoencoder"));
}

TEST(StageKeys, WhatIsEncodedInTheSteps) {
  const auto problem_of = [](const std::string& stage, const std::string& keys) {
    return error_of(replace(kGood, stage + ", source: a, steps: 5",
                            stage + ", source: a, steps: 5, encode: {" + keys + "}"));
  };
  EXPECT_EQ(problem_of("text_conditional", "latents: on_the_fly, captions: on_the_fly, random_crop: true"),
            "");
  EXPECT_EQ(problem_of("class_conditional", "latents: on_the_fly"), "");
  EXPECT_THAT(problem_of("text_conditional", "captions: on_the_fly, random_crop: true"),
              HasSubstr("random_crop needs latents: on_the_fly"));
  EXPECT_THAT(problem_of("class_conditional", "captions: on_the_fly"),
              HasSubstr("encode.captions has no effect with objective class_conditional"));
  EXPECT_THAT(problem_of("text_conditional", "latents: sometimes"),
              AllOf(HasSubstr("stored"), HasSubstr("on_the_fly")));
  EXPECT_THAT(error_of(replace(kGood, "class_conditional, source: a, steps: 5",
                               "autoencoder, source: a, steps: 5, encode: {latents: on_the_fly}")),
              HasSubstr("encode has no effect with objective autoencoder"));
  const auto config = config::read_text<RunConfig>(
      replace(kGood, "text_conditional, source: a, steps: 5",
              "text_conditional, source: a, steps: 5, encode: {latents: on_the_fly, captions: on_the_fly}"),
      "run.yaml");
  const StageConfig &one = config.stage("one"), &two = config.stage("two");
  EXPECT_TRUE(one.reads_stored_latents());
  EXPECT_FALSE(one.reads_stored_captions());  // it reads none
  EXPECT_FALSE(two.reads_stored_latents() || two.reads_stored_captions());
  EXPECT_TRUE(two.held_out().reads_stored_latents() && two.held_out().reads_stored_captions());
}

TEST(StageKeys, LoraCannotChangeOnResume) {
  const std::string three = kGood +
                            "  - {name: three, objective: text_conditional, source: a, steps: 5, init: {how: "
                            "copy, from: two}, lora: {rank: 4, targets: [t_block.*]}}\n";
  const auto before = config::read_text<RunConfig>(three, "a");
  for (const auto& [from, to] :
       {std::pair{"rank: 4", "rank: 5"}, {"rank: 4", "rank: 4, alpha: 2"}, {"t_block", "x_block"}}) {
    const auto changes = config::compare(before, config::read_text<RunConfig>(replace(three, from, to), "b"));
    ASSERT_EQ(changes.size(), 1u) << to;
    EXPECT_EQ(changes[0].on_resume, OnResume::kFixed) << to;
  }
}

}  // namespace
}  // namespace pixart::run

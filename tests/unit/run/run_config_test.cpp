#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "pixart/base/error.h"
#include "pixart/config/config.h"
#include "pixart/features/stage_transformer.h"
#include "pixart/run/run_config.h"
#include "run_file_text.h"
#include "scratch_folder.h"

namespace pixart::run {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(RunConfig, ReadsAndWritesBack) {
  const auto config = config::read_text<RunConfig>(kGood, "run.yaml");
  EXPECT_EQ(config.stage("two").init.from, "one");
  EXPECT_EQ(config.stage("two").gradient_clip, 0.01);  // the released configs' value
  const auto again = config::read_text<RunConfig>(config::to_yaml(config), "again");
  EXPECT_TRUE(config::compare(config, again).empty());
  EXPECT_THROW(config.stage("tow"), UserError);
}

const std::string kDog = R"(run: r
transformer: {preset: XL/2}
sources:
  - {name: dog, type: image_folder, path: dog, prompt: a photo of sks dog}
  - {name: dogs, type: image_folder, path: dogs, prompt: a photo of a dog, draw: 200}
stages:
  - name: one
    objective: text_conditional
    mix: [{source: dog, passes: 40}, {source: dogs, prior_weight: 1}]
    steps: 5
    init: {how: copy, from: pixart.pth}
)";

TEST(RunConfig, ImagesOfTheClassNeedImagesOfTheInstance) {
  EXPECT_EQ(error_of(kDog), "");
  EXPECT_THAT(error_of(replace(kDog, "passes: 40", "prior_weight: 1")),
              HasSubstr("every source of mix has a prior_weight"));
  EXPECT_THAT(error_of(replace(kDog, "prior_weight: 1", "prior_weight: -1")), HasSubstr("prior_weight"));
  EXPECT_THAT(error_of(replace(kDog, "objective: text_conditional", "objective: autoencoder")),
              HasSubstr("prior_weight has no effect with objective autoencoder"));
}

TEST(RunConfig, ImagesAreDrawnWithAPromptByWeightsThatExist) {
  EXPECT_THAT(error_of(replace(kDog, "{how: copy, from: pixart.pth}", "{how: random}")),
              HasSubstr("init.how must be copy, not random"));
  EXPECT_THAT(error_of(replace(kDog, "prompt: a photo of a dog, ", "")), HasSubstr("draw needs prompt"));
  EXPECT_THAT(error_of(replace(kDog, "draw: 200", "draw: 200, include: [a]")), HasSubstr("excludes include"));
  EXPECT_THAT(error_of(replace(kDog, "draw: 200", "caption_lines: first")),
              HasSubstr("no effect with prompt"));
  EXPECT_THAT(error_of(replace(kDog, "objective: text_conditional", "objective: class_conditional")),
              HasSubstr("which objective class_conditional does not read"));
}

TEST(RunConfig, ControlTrainsCopiesOfTrainedBlocks) {
  const auto with = [](const std::string& keys) {
    return error_of(replace(kDog, "    steps: 5\n", "    steps: 5\n" + keys));
  };
  const std::string control = "    control: {condition: canny}\n";
  EXPECT_EQ(with(control), "");
  EXPECT_THAT(error_of(replace(replace(kDog, "    steps: 5\n", "    steps: 5\n" + control),
                               "{how: copy, from: pixart.pth}", "{how: random}")),
              HasSubstr("control trains copies of trained blocks: init.how must be copy, not random"));
  EXPECT_THAT(with(control + "    lora: {rank: 4}\n"),
              HasSubstr("lora has no place in a stage with control"));
  EXPECT_THAT(with(control + "    encode: {latents: on_the_fly}\n"),
              HasSubstr("control needs encode.latents: stored"));
  EXPECT_THAT(with("    control: {condition: canny, blocks: 28}\n"), HasSubstr("at most 27 can be copied"));
  EXPECT_THAT(with("    control: {condition: canny, low: 300}\n"), HasSubstr("low 300 is above high 200"));
  EXPECT_THAT(with("    control: {low: 50}\n"), HasSubstr("no effect without condition: canny"));
  EXPECT_THAT(with("    control: {condition: hed}\n"), HasSubstr("condition"));
}

TEST(RunConfig, SkippedTokensFitTheModel) {
  const auto with = [](const std::string& keys) {
    return error_of(replace(kGood, "source: a, steps: 5}", "source: a, steps: 5, " + keys + "}"));
  };
  EXPECT_EQ(with("routing: {rate: 0.5, to: 24, until: 4}"), "");
  EXPECT_EQ(with("masking: {rate: 0.75, after_blocks: 4, until: 5}"), "");
  EXPECT_EQ(with("routing: {rate: 0, to: 99}"), "") << "nothing is routed";
  EXPECT_THAT(with("routing: {rate: 0.5}"), HasSubstr("run.yaml:5: stages.one: routing.to is missing"));
  EXPECT_THAT(with("routing: {rate: 0.5, from: 3, to: 3}"), HasSubstr("must be more than routing.from 3"));
  EXPECT_THAT(with("routing: {rate: 0.5, to: 29}"), HasSubstr("routing.to 29 is more than the 28 blocks"));
  EXPECT_THAT(with("routing: {rate: 0.5, to: 9, until: 6}"),
              HasSubstr("routing.until 6 is after the last of 5 steps"));
  EXPECT_THAT(with("masking: {rate: 0.5, after_blocks: 28}"),
              HasSubstr("masking.after_blocks 28 leaves no block"));
  EXPECT_THAT(with("masking: {rate: 0.99}"), HasSubstr("rate"));
  EXPECT_THAT(with("masking: {rate: 0.5}, routing: {rate: 0.5, to: 9}"),
              HasSubstr("routing and masking exclude each other: remove one of them"));
  const std::string sigma = replace(kGood, "init: {how: reparameterize, from: one}",
                                    "multi_scale: true, kv_compression: {sampling: conv, layers: [20]}, "
                                    "routing: {rate: 0.5, to: 21}");
  EXPECT_THAT(error_of(sigma), HasSubstr("kv_compression needs all tokens in block 20, but routing"));
  EXPECT_EQ(error_of(replace(sigma, "to: 21", "to: 20")), "");
}

TEST(RunConfig, KeysOfAlignmentNeedATeacher) {
  const auto with = [](const std::string& keys) {
    return error_of(replace(kGood, "source: a, steps: 5}", "source: a, steps: 5, " + keys + "}"));
  };
  EXPECT_EQ(with("routing: {rate: 0, from: 2}, masking: {rate: 0, after_blocks: 2}"), "") << "turned off";
  EXPECT_EQ(with("alignment: {weight: 0, block: 1}"), "") << "turned off";
  EXPECT_THAT(
      with("alignment: {block: 1, until: 3}"),
      AllOf(HasSubstr("2 problems"), HasSubstr("alignment.block has no effect without alignment.teacher"),
            HasSubstr("alignment.until has no effect without alignment.teacher")));
}

TEST(RunConfig, AStageStartsFromAnEarlierOneOfItsKind) {
  const std::string from = "from: one}}";
  const auto with = [&](const std::string& init) { return error_of(replace(kGood, from, init + "}}")); };
  EXPECT_EQ(with("from: weights.pth"), "");
  EXPECT_THAT(with("from: two"), HasSubstr("run.yaml:6: stages.two: init.from names the stage itself"));
  const std::string third =
      "  - {name: three, objective: text_conditional, source: a, steps: 5, init: {how: copy, from: two}}\n";
  EXPECT_EQ(error_of(kGood + third), "");
  EXPECT_THAT(
      error_of(replace(kGood, "  - {name: one", third + "  - {name: one")),
      HasSubstr("run.yaml:5: stages.three: init.from names stage two, which is trained after this one"));
  EXPECT_THAT(
      error_of(replace(kGood + third, "copy, from: two", "copy, from: one")),
      HasSubstr("stages.three: init.how: copy needs weights of a PixArt, but stage one of init.from trains "
                "a DiT; use init.how: reparameterize"));
  const std::string autoencoder = replace(kGood, "objective: class_conditional", "objective: autoencoder");
  EXPECT_THAT(error_of(replace(autoencoder, "how: reparameterize", "how: copy")),
              HasSubstr("stage one of init.from trains an autoencoder; name weights of the same kind"));
  EXPECT_THAT(error_of(autoencoder),
              HasSubstr("init.from must be a class-conditional stage, not one (autoencoder)"));
}

// The line is that of the stage or source, not that of the file's beginning.
TEST(RunConfig, ProblemsBetweenPartsHaveTheirPlace) {
  EXPECT_THAT(error_of(replace(kGood, "name: two", "name: one")),
              HasSubstr("run.yaml:6: stages.one: name 'one' is used twice"));
  EXPECT_THAT(error_of(replace(kGood, "name: two", "name: ../two")),
              HasSubstr("run.yaml:6: stages.1: name '../two'"));
  EXPECT_THAT(error_of(replace(kGood, "sources: [{name: a,", "sources: [{name: a b,")),
              HasSubstr("run.yaml:3: sources.a b: name 'a b' may contain only letters"));
  EXPECT_THAT(error_of(replace(kGood, "text_conditional, source: a", "text_conditional, source: b")),
              HasSubstr("run.yaml:6: stages.two: unknown source 'b'"));
  EXPECT_THAT(error_of(replace(kGood, "run: r", "run: \"\"")), HasSubstr("run.yaml:1: run: is empty"));
  EXPECT_THAT(error_of("run: r\nsources: []\nstages: []\n"),
              HasSubstr("run.yaml:3: stages: the list is empty"));
}

TEST(RunConfig, ATeacherFitsTheModel) {
  const auto with = [](const std::string& keys) {
    return error_of(
        replace(kGood, "source: a, steps: 5}", "source: a, steps: 5, alignment: {" + keys + "}}"));
  };
  EXPECT_EQ(with("teacher: clip, block: 27, until: 5"), "");
  EXPECT_EQ(with("teacher: clip, weight: 0, block: 40"), "") << "nothing is aligned";
  EXPECT_THAT(with("teacher: clip, block: 28"),
              HasSubstr("alignment.block 28 is not a block of the model, whose last is 27"));
  EXPECT_THAT(with("teacher: clip, until: 6"), HasSubstr("alignment.until 6 is after the last of 5 steps"));
  EXPECT_THAT(
      error_of(replace(kGood, "init: {how: reparameterize, from: one}",
                       "init: {how: copy, from: x.pth}, lora: {rank: 2}, alignment: {teacher: clip}")),
      HasSubstr("alignment is not possible with lora"));
}

TEST(RunConfig, SpikesNeedRollBacksAndAFactorAboveOne) {
  const auto with = [](const std::string& keys) {
    return error_of(
        replace(kGood, "source: a, steps: 5}", "source: a, steps: 5, bad_steps: {" + keys + "}}"));
  };
  EXPECT_EQ(with("roll_back: true, spike_factor: 10"), "");
  EXPECT_THAT(with("spike_factor: 10"), HasSubstr("spike_factor has no effect with roll_back: false"));
  EXPECT_THAT(with("roll_back: true, spike_factor: 0.5"), HasSubstr("it must be more than 1"));
}

TEST(RunConfig, MetricsNeedWhatTheirScoresRead) {
  const auto with = [](const std::string& keys) {
    std::string yaml = replace(kGood, "sources: [{name: a, type: scenes}]",
                               "sources: [{name: a, type: scenes}, {name: b, type: scenes}]");
    return error_of(replace(yaml, "from: one}}", "from: one}, metrics: {" + keys + "}}"));
  };
  EXPECT_EQ(with("every: 2, source: b, scores: [fid], weights: w.pth, reference: r"), "");
  EXPECT_EQ(with("every: 2, suite: coco.txt, scores: [clip], clip: c"), "");
  EXPECT_EQ(with("every: 0, images: 100"), "");
  EXPECT_THAT(with("every: 2, source: b, scores: [fid, cmmd]"),
              AllOf(HasSubstr("reference is missing"), HasSubstr("weights is missing"),
                    HasSubstr("clip is missing")));
  EXPECT_THAT(with("every: 2, source: b, scores: [aesthetic], clip: c, aesthetic_head: h, reference: r"),
              HasSubstr("reference has no effect"));
  EXPECT_THAT(with("every: 2, source: b"), HasSubstr("scores is missing"));
  EXPECT_THAT(with("every: 2, source: b, scores: [clp], clip: c"), HasSubstr("Did you mean 'clip'?"));
  EXPECT_THAT(with("scores: [clip], clip: c"), HasSubstr("scores has no effect with every: 0"));
  EXPECT_THAT(with("every: 2, scores: [clip], clip: c"), HasSubstr("metrics needs prompts"));
  EXPECT_THAT(with("every: 2, source: b, suite: s, scores: [clip], clip: c"),
              HasSubstr("metrics.suite and metrics.source exclude each other"));
  EXPECT_THAT(with("every: 2, source: a, scores: [clip], clip: c"),
              HasSubstr("metrics.source a is also trained on"));
  EXPECT_THAT(with("every: 2, source: c, scores: [clip], clip: c"), HasSubstr("metrics.source"));
  EXPECT_THAT(with("every: 2, source: b, images: 3, scores: [precision-recall], weights: w, reference: r"),
              HasSubstr("precision-recall needs at least 4"));
  EXPECT_THAT(with("every: 2, source: b, sampler: euler, scores: [clip], clip: c"),
              HasSubstr("metrics.sampler: "));
}

TEST(RunConfig, MetricsOfClassesHaveNoPrompts) {
  const auto with = [](const std::string& keys) {
    return error_of(replace(kGood, "objective: class_conditional, source: a, steps: 5}",
                            "objective: class_conditional, source: a, steps: 5, metrics: {" + keys + "}}"));
  };
  EXPECT_EQ(with("every: 2, scores: [fid], weights: w.pth, reference: r"), "");
  EXPECT_THAT(with("every: 2, suite: s, scores: [fid], weights: w.pth, reference: r"),
              HasSubstr("have no effect with an objective that draws from classes"));
  EXPECT_THAT(with("every: 2, scores: [clip], clip: c"), HasSubstr("which this objective does not read"));
}

TEST(RunConfig, MetricsDrawAsSamplesUnlessTheySayOtherwise) {
  StageConfig stage;
  stage.samples.num_steps = 7;
  stage.samples.guidance = 3;
  EXPECT_EQ(stage.metrics_sampler().num_steps, 7);
  stage.metrics.guidance = 1.5;
  stage.metrics.sampler = "ddim";
  EXPECT_EQ(stage.metrics_sampler().guidance, 1.5);
  EXPECT_EQ(stage.metrics_sampler().sampler, "ddim");
  EXPECT_EQ(stage.metrics_sampler().num_steps, 7);
}

// Without bounds a slip of the hand becomes an overflow, or a model that takes hours to build.
TEST(RunConfig, EveryNumberHasALargestValue) {
  const std::set<std::string> any = {"seed",
                                     "sources[].seed",
                                     "sources[].max_samples",
                                     "evaluation.bars[].at_least",
                                     "sources[].scores.limits[].at_least",
                                     "sources[].scores.limits[].at_most"};
  for (const auto& key : config::keys<RunConfig>()) {
    const bool is_number =
        key.type.find("integer") != std::string::npos || key.type.find("number") != std::string::npos;
    if (!is_number || any.count(key.path) > 0) continue;
    const bool has_largest =
        key.rule.find(" to ") != std::string::npos || key.rule.find("at most ") != std::string::npos;
    EXPECT_TRUE(has_largest) << key.path << ": " << key.rule;
  }
}

TEST(RunConfig, SizesThatDoNotMakeAModelAreRefused) {
  const auto error_with = [](const std::string& section) { return error_of(section + "\n" + kGood); };
  EXPECT_THAT(error_with("autoencoder: {norm_num_groups: 3}"), HasSubstr("3 does not divide 128"));
  EXPECT_EQ(error_with("autoencoder: {block_out_channels: [8, 8], norm_num_groups: 3}"),
            "run.yaml:1: autoencoder: norm_num_groups 3 does not divide 8 of block_out_channels");
  EXPECT_THAT(error_with("autoencoder: {block_out_channels: []}"), HasSubstr("has 0 entries"));
  EXPECT_EQ(error_with("autoencoder: {path: p, norm_num_groups: 3}"), "");
  EXPECT_THAT(error_with("text_encoder: {d_model: 4, num_heads: 8}"), HasSubstr("num_heads 8"));
  const std::string sizes = "{patch_size: 1, hidden_size: 4, depth: 1, num_heads: 1, mlp_ratio: 0.1}";
  EXPECT_THAT(error_of(replace(kGood, "{preset: XL/2}", sizes)), HasSubstr("mlp_ratio 0.1"));
}

const std::string kWithOptimizer =
    replace(kGood, "source: a, steps: 5}", "source: a, steps: 5, optimizer: {}}");

class RunConfigFile : public testing::ScratchFolder {
 protected:
  optim::OptimizerConfig optimizer_of(const std::string& section) const {
    return read(section).stage("one").optimizer;
  }
  RunConfig read(const std::string& section) const {
    return read_run_config(
        write("run.yaml", replace(kWithOptimizer, "optimizer: {}", "optimizer: " + section)));
  }
};

TEST_F(RunConfigFile, OptimizersHaveTheirPublishedValues) {
  const auto came = optimizer_of("{name: came, lr: 1.0e-4}");
  EXPECT_EQ(came.betas, (std::vector<double>{0.9, 0.999, 0.9999}));
  EXPECT_EQ(came.weight_decay, 0.0);
  EXPECT_EQ(came.clip_threshold, 1.0);
  // Runs that began before there was a choice have these values in their run.yaml, and continue.
  const auto before = read("{lr: 2.0e-5, betas: [0.9, 0.999], eps: 1.0e-10, weight_decay: 0.03}");
  EXPECT_TRUE(config::compare(before, read("{}")).empty());
  const auto changes = config::compare(before, read("{name: came}"));
  ASSERT_FALSE(changes.empty());
  EXPECT_EQ(changes.front().path, "stages.one.optimizer.name");
  EXPECT_EQ(changes.front().on_resume, OnResume::kFixed);
}

TEST(RunConfig, KeysOfRealPartsWithoutEffectAreRefused) {
  EXPECT_EQ(error_of("text_encoder: {tokenizer: spiece.model}\n" + kGood), "");
  EXPECT_THAT(error_of("text_encoder: {path: t5, tokenizer: spiece.model}\n" + kGood),
              HasSubstr("tokenizer has no effect with path"));
  const auto error_with = [](const std::string& keys) {
    return error_of(replace(kGood, "source: a, steps: 5}", "source: a, steps: 5, " + keys + "}"));
  };
  EXPECT_EQ(error_with("samples: {preview_decoder: taesd}, power_ema: {every: 5, lengths: [0.05, 0.2]}"), "");
  EXPECT_THAT(error_with("power_ema: {every: 5, lengths: [0.05]}"), HasSubstr("two different numbers"));
  const std::string first = replace(kGood, "objective: class_conditional", "objective: autoencoder");
  EXPECT_THAT(error_of(replace(first, "source: a, steps: 5}",
                               "source: a, steps: 5, samples: {preview_decoder: taesd}}")),
              HasSubstr("samples.preview_decoder has no effect"));
}

TEST(RunConfig, OptimizerKeysWithoutEffectAreRefused) {
  const auto error_with = [](const std::string& optimizer) {
    return error_of(replace(kWithOptimizer, "optimizer: {}", "optimizer: " + optimizer));
  };
  EXPECT_EQ(error_with("{name: came}"), "");
  EXPECT_EQ(error_with("{no_decay: ['*.bias']}"), "");
  EXPECT_THAT(error_with("{name: adam}"), HasSubstr("adamw"));
  EXPECT_THAT(error_with("{betas: [0.9, 0.99, 0.999]}"), HasSubstr("adamw takes 2"));
  EXPECT_THAT(error_with("{name: came, betas: [0.9, 0.99]}"), HasSubstr("came takes 3"));
  EXPECT_THAT(error_with("{clip_threshold: 1}"), HasSubstr("only with name: came"));
  EXPECT_THAT(error_with("{weight_decay: 0, no_decay: ['*.bias']}"), HasSubstr("no effect"));
}

TEST(RunConfig, RefusesWhatDoesNotFit) {
  EXPECT_EQ(error_of(kGood), "");
  EXPECT_THAT(error_of(replace(kGood, "preset: XL/2", "preset: XL/3")), HasSubstr("XL/3"));
  EXPECT_THAT(error_of(replace(kGood, "preset: XL/2", "preset: XL/2, depth: 3")),
              HasSubstr("exclude each other"));
  EXPECT_THAT(error_of(replace(kGood, "preset: XL/2", "depth: 3")), HasSubstr("all of patch_size"));
  EXPECT_THAT(
      error_of(replace(kGood, "preset: XL/2", "patch_size: 2, hidden_size: 30, depth: 1, num_heads: 4")),
      HasSubstr("multiple of num_heads"));
  EXPECT_THAT(error_of(replace(kGood, "source: a", "source: b")), HasSubstr("unknown source 'b'"));
  EXPECT_THAT(error_of(replace(kGood, "from: one", "from: \"\"")), HasSubstr("needs from"));
  EXPECT_THAT(error_of(replace(kGood, "name: two", "name: one")), HasSubstr("used twice"));
  EXPECT_THAT(error_of(replace(kGood, "name: two", "name: ../two")), HasSubstr("may contain only letters"));
  EXPECT_THAT(error_of(replace(kGood, "steps: 5}", "steps: 5, batch_size: 10, micro_batch_size: 4}")),
              HasSubstr("not a multiple"));
  EXPECT_THAT(error_of(replace(kGood, "steps: 5}", "steps: 5, multi_scale: true}")),
              HasSubstr("multi_scale"));
  EXPECT_THAT(error_of(replace(kGood, "steps: 5}", "steps: 5, samples: {sampler: dpm}}")),
              HasSubstr("sampler"));
  EXPECT_THAT(error_of(replace(kGood, "steps: 5}", "steps: 0}")), HasSubstr("steps"));
  EXPECT_THAT(error_of(replace(kGood, "steps: 5}", "steps: 5, precision: float16}")), HasSubstr("bfloat16"));
  EXPECT_THAT(error_of(replace(kGood, "steps: 5}", "steps: 5, activation_checkpointing: -1}")),
              HasSubstr("activation_checkpointing"));
  const std::string autoencoder = replace(kGood, "objective: class_conditional", "objective: autoencoder");
  EXPECT_THAT(error_of(replace(autoencoder, "steps: 5}", "steps: 5, precision: bfloat16}")),
              HasSubstr("precision has no effect"));
  EXPECT_THAT(error_of(replace(autoencoder, "steps: 5}", "steps: 5, activation_checkpointing: 2}")),
              HasSubstr("activation_checkpointing has no effect"));
}

TEST(RunConfig, KeysOfTheLossFitEachOther) {
  const auto error_with = [](const std::string& keys) {
    return error_of(replace(kGood, "source: a, steps: 5}", "source: a, steps: 5, " + keys + "}"));
  };
  for (const char* good :
       {"prediction: v", "prediction: flow, shift: 3, timesteps: logit_normal, logit_mean: 0.5",
        "prediction: v, zero_terminal_snr: true, loss_weighting: min_snr, min_snr_gamma: 3",
        "loss_weighting: p2, p2_gamma: 0.5", "prediction: x_start, variational_bound: none",
        "variational_bound: only", "prediction: flow, samples: {sampler: heun}",
        "loss_weighting: released_snr", "timesteps: stratified"})
    EXPECT_EQ(error_with(good), "") << good;
  EXPECT_THAT(error_with("zero_terminal_snr: true"), HasSubstr("needs prediction: v"));
  EXPECT_THAT(error_with("prediction: flow, zero_terminal_snr: true"), HasSubstr("no effect"));
  EXPECT_THAT(error_with("prediction: v, shift: 3"),
              HasSubstr("shift has no effect with prediction: v; it is a key of flow"));
  EXPECT_THAT(error_with("logit_mean: 1"), HasSubstr("logit_mean has no effect with timesteps: uniform"));
  EXPECT_THAT(error_with("min_snr_gamma: 1"), HasSubstr("no effect with loss_weighting: none"));
  EXPECT_THAT(error_with("loss_weighting: min_snr, p2_gamma: 2"), HasSubstr("it is a key of p2"));
  EXPECT_THAT(error_with("prediction: v, variational_bound: none"), HasSubstr("epsilon and x_start"));
  EXPECT_THAT(error_with("prediction: flow, loss_weighting: released_snr"), HasSubstr("not flow"));
  EXPECT_THAT(error_with("variational_bound: only, loss_weighting: p2"), HasSubstr("the whole loss"));
  EXPECT_THAT(error_with("prediction: flow, samples: {sampler: ddim}"),
              HasSubstr("samples.sampler: sampler ddim cannot draw with a model that predicts flow"));
  EXPECT_THAT(error_with("samples: {sampler: euler}"), HasSubstr("predicts epsilon"));
  const std::string scored = replace(kGood, "stages:", "evaluation: {sampler: iddpm}\nstages:");
  EXPECT_EQ(error_of(scored), "");
  EXPECT_THAT(error_of(replace(scored, "steps: 5, init", "steps: 5, prediction: flow, init")),
              HasSubstr("run.yaml:7: stages.two: evaluation.sampler"));
}

}  // namespace
}  // namespace pixart::run

// Several resolutions in one stage.
#include <gmock/gmock.h>

#include "pixart/base/error.h"
#include "pixart/config/config.h"
#include "pixart/run/run_config.h"

namespace pixart::run {
namespace {

using ::testing::HasSubstr;

std::string error_of_file(const std::string& run) {
  try {
    config::read_text<RunConfig>(run, "run.yaml");
    return "";
  } catch (const UserError& error) {
    return error.what();
  }
}

// What is wrong with a text stage that has these keys; "": nothing.
std::string text_error(const std::string& keys) {
  const std::string run =
      "run: r\ntransformer: {preset: XL/2}\nsources: [{name: a, type: scenes}]\nstages:\n"
      "  - {name: text, objective: text_conditional, source: a, steps: 5, " +
      keys + "}\n";
  return error_of_file(run);
}

TEST(Resolutions, SeveralResolutionsMustFitTogether) {
  const std::string good = "multi_scale: true, resolutions: [{side: 256}, {side: 512}]";
  EXPECT_EQ(text_error(good), "");
  EXPECT_EQ(text_error(good + ", aspect_buckets: true, resolution: 512"), "");
  EXPECT_EQ(
      text_error("multi_scale: true, resolution_rule: share, resolutions: [{side: 256, share: 2}, {side: "
                 "512, micro_batch_size: 3}]"),
      "");
  EXPECT_THAT(text_error("resolutions: [{side: 256}, {side: 512}]"),
              HasSubstr("resolutions needs multi_scale: true"));
  EXPECT_THAT(text_error("multi_scale: true, resolutions: [{side: 256}]"),
              HasSubstr("resolutions has one element: use resolution"));
  EXPECT_THAT(text_error("multi_scale: true, resolutions: [{side: 512}, {side: 256}]"),
              HasSubstr("resolutions must rise, but side 256 comes after 512"));
  EXPECT_THAT(text_error(good + ", resolution: 1024"),
              HasSubstr("resolution 1024 is not one of resolutions (256, 512)"));
  EXPECT_THAT(text_error("multi_scale: true, resolutions: [{side: 256, share: 2}, {side: 512, share: 3}]"),
              HasSubstr("share has no effect without resolution_rule: share"));
  EXPECT_THAT(text_error("resolution_rule: share"),
              HasSubstr("resolution_rule has no effect without resolutions"));
  EXPECT_THAT(text_error("multi_scale: true, aspect_buckets: true, resolutions: [{side: 256}, {side: 320}]"),
              HasSubstr("aspect_buckets exist for the resolutions 256, 512, 1024, 2048, not for 320"));
  EXPECT_THAT(
      text_error("multi_scale: true, resolutions: [{side: 1}, {side: 2}, {side: 3}, {side: 4}, {side: "
                 "5}, {side: 6}, {side: 7}]"),
      HasSubstr("resolutions has 7 elements; at most 6"));
  EXPECT_THAT(text_error("multi_scale: true, resolutions: [256, 512]"), HasSubstr("resolutions"));
}

TEST(Resolutions, ASourceMayComeOnceWithEach) {
  const auto error_with = [](const std::string& mix) {
    const std::string run =
        "run: r\ntransformer: {preset: XL/2}\nsources: [{name: a, type: scenes}]\nstages:\n"
        "  - {name: text, objective: text_conditional, steps: 5, multi_scale: true, resolutions: [{side: 256}, "
        "{side: 512}], mix: [" +
        mix + "]}\n";
    return error_of_file(run);
  };
  EXPECT_EQ(error_with("{source: a, resolution: 256}, {source: a, resolution: 512, passes: 0.5}"), "");
  EXPECT_EQ(error_with("{source: a, resolution: 256}"), "");
  EXPECT_THAT(error_with("{source: a, resolution: 256}, {source: a, resolution: 256}"),
              HasSubstr("mix names source a twice"));
  EXPECT_THAT(error_with("{source: a}, {source: a, resolution: 256}"), HasSubstr("mix names source a twice"));
  EXPECT_THAT(error_with("{source: a, resolution: 300}"),
              HasSubstr("resolution 300 of source a is not one of resolutions (256, 512)"));
  StageConfig stage;
  stage.resolution = 512;
  stage.resolutions = {{.side = 256}, {.side = 512}};
  EXPECT_EQ(stage.at(256).resolution, 256);
  EXPECT_TRUE(stage.at(256).resolutions.empty());
  EXPECT_EQ(stage.at({}).resolutions.size(), 2u);
}

TEST(Resolutions, MicroBatchesOfEachResolution) {
  StageConfig stage;
  stage.micro_batch_size = 8;
  EXPECT_TRUE(stage.micro_batch_sizes().empty());
  EXPECT_FALSE(stage.has_buckets());
  ASSERT_EQ(stage.at_each_resolution().size(), 1u);
  stage.resolution = 512;
  stage.resolutions = {{.side = 256}, {.side = 512}, {.side = 1024}, {.side = 2048}};
  EXPECT_TRUE(stage.has_buckets());
  EXPECT_EQ(stage.micro_batch_sizes(), (std::vector<int64_t>{32, 8, 2, 1}));  // as many tokens
  stage.resolutions[2].micro_batch_size = 3;
  EXPECT_EQ(stage.micro_batch_sizes(), (std::vector<int64_t>{32, 8, 3, 1}));
  const auto each = stage.at_each_resolution();
  EXPECT_EQ(each[2].resolution, 1024);
  EXPECT_EQ(each[2].micro_batch_size, 3);
  EXPECT_TRUE(each[2].resolutions.empty());
  stage.aspect_buckets = true;
  const auto sizes = stage.micro_batch_sizes();
  ASSERT_EQ(sizes.size(), 160u);
  EXPECT_EQ(sizes[39], 32);
  EXPECT_EQ(sizes[40], 8);
  stage.micro_batch_size = 0;
  stage.aspect_buckets = false;
  EXPECT_EQ(stage.micro_batch_sizes(), (std::vector<int64_t>{0, 0, 3, 0}));
}

}  // namespace
}  // namespace pixart::run

#include "pixart/train/coordinate_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "pixart/base/error.h"
#include "pixart/base/machine.h"
#include "pixart/config/config.h"

namespace pixart::train {
namespace {

// The stages have the usual learning rate of small models; the base is the narrowest.
run::RunConfig run_with(const std::string& transformer_keys) {
  return config::read_text<run::RunConfig>(
      "run: r\n"
      "transformer: {patch_size: 2, hidden_size: 64, depth: 2, num_heads: 4" +
          transformer_keys +
          "}\n"
          "sources: [{name: a, type: scenes}]\n"
          "stages:\n"
          "  - {name: one, objective: class_conditional, source: a, steps: 5, init: {embedder_std: 0}, "
          "optimizer: {lr: 0.002}}\n"
          "  - {name: two, objective: text_conditional, source: a, steps: 5, init: {how: random, embedder_std: 0}, "
          "optimizer: {lr: 0.002}}\n",
      "run.yaml");
}

const CoordinateCheckOptions kFourWidths{.widths = {32, 64, 128, 256}, .steps = 4, .seeds = 1};

const CoordinateRow& row_of(const CoordinateCheck& check, const std::string& layer) {
  for (const auto& row : check.rows)
    if (row.layer == layer) return row;
  throw std::runtime_error("no row " + layer);
}

TEST(CoordinateCheck, TheStandardParametrizationGrows) {
  const auto run = run_with("");
  for (const char* stage : {"one", "two"}) {
    const auto check = coordinate_check(run, run.stage(stage), kFourWidths);
    EXPECT_EQ(check.widths, kFourWidths.widths);
    EXPECT_GT(row_of(check, "output").slope.value(), 0.5) << stage;
    EXPECT_GT(row_of(check, "blocks.*.mlp.fc2").slope.value(), 0.4) << stage;
  }
}

// A slope of 0.25 is a factor of 1.7 over eight times the width.
TEST(CoordinateCheck, MupIsFlat) {
  const auto run = run_with(", base_width: 32");
  for (const char* stage : {"one", "two"}) {
    const auto check = coordinate_check(run, run.stage(stage), kFourWidths);
    EXPECT_GT(check.rows.size(), 8u);
    for (const auto& row : check.rows) {
      EXPECT_LT(std::abs(row.slope.value()), 0.25) << stage << ", " << row.layer;
      EXPECT_EQ(row.change.size(), 4u);
      EXPECT_EQ(row.before.size(), 4u);
    }
  }
}

TEST(CoordinateCheck, AWidthThatTheHeadsDoNotDivideIsRefused) {
  const auto run = run_with("");
  EXPECT_THROW(coordinate_check(run, run.stage("one"), {.widths = {30, 64}}), UserError);
}

std::string said_of_widths(const std::vector<int64_t>& widths, ExitCode code = ExitCode::kBadInput,
                           const std::string& keys = "") {
  const auto run = run_with(keys);
  try {
    coordinate_check(run, run.stage("one"), {.widths = widths});
    ADD_FAILURE() << "not refused";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  return "";
}

TEST(CoordinateCheck, WidthsOutsideTheirRangeAreRefusedAtOnce) {
  using ::testing::HasSubstr;
  for (const int64_t width : {int64_t{4611686018427387904}, int64_t{9223372036854775804}, int64_t{1000000},
                              kWidestChecked + 4, int64_t{0}, int64_t{-4}})
    EXPECT_THAT(said_of_widths({16, width}),
                HasSubstr(fmt::format("width {} is not in the range 4 to 8192", width)));
  EXPECT_THAT(said_of_widths({30, 64, 9000}),
              ::testing::AllOf(HasSubstr("2 problems"), HasSubstr("width 30 is not a multiple of 4"),
                               HasSubstr("width 9000 is not in the range")));
  std::vector<int64_t> many(size_t(kMostChecked) + 1);
  for (size_t i = 0; i < many.size(); ++i) many[i] = 16 * int64_t(i + 1);
  EXPECT_THAT(said_of_widths(many), HasSubstr("at most 16 widths, not 17"));
  EXPECT_THAT(said_of_widths({4, 256}, ExitCode::kBadInput, ", mlp_ratio: 0.1"),
              HasSubstr("mlp_ratio 0.1 leaves no channel of width 4"));
}

// 2 blocks, whose MLP alone has 2 x 64 x 8192^2 values, in four copies.
TEST(CoordinateCheck, AModelThatNoMemoryHoldsIsNotBegun) {
  constexpr double kNeeded = 2.0 * 2 * 64 * 8192 * 8192 * 4 * sizeof(float);
  if (double(available_memory_bytes()) > kNeeded) GTEST_SKIP() << "this machine holds it";
  EXPECT_THAT(said_of_widths({64, kWidestChecked}, ExitCode::kDevice, ", mlp_ratio: 64"),
              ::testing::ContainsRegex(
                  "the model of width 8192 needs more than [0-9.]+ GiB of main memory, and .* free"));
}

TEST(CoordinateCheck, OneWidthIsNoComparison) {
  const auto run = run_with("");
  for (const auto& widths : {std::vector<int64_t>{32}, {32, 32}})
    EXPECT_THROW(coordinate_check(run, run.stage("one"), {.widths = widths}), UserError);
}

TEST(CoordinateCheck, WidthsWhoseOutputsAreNotFiniteAreNamed) {
  auto run = run_with("");
  run.stages.front().optimizer.lr = 1e30;
  try {
    coordinate_check(run, run.stage("one"), {.widths = {16, 32}, .steps = 3, .seeds = 1});
    FAIL() << "the outputs are not finite";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kNumerics);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("not finite at these widths: 16, 32. Set a lower "));
  }
}

}  // namespace
}  // namespace pixart::train

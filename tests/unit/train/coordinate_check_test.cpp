#include "pixart/train/coordinate_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "pixart/base/error.h"
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

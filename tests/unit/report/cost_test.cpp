#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cost_bars.h"
#include "pixart/report/paper_costs.h"
#include "pixart/report/run_cost.h"

namespace pixart::report {
namespace {
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

RunRecord run_of(std::vector<ProcessRecord> processes) {
  RunRecord run{.folder = "runs/x", .name = "x"};
  run.processes = std::move(processes);
  return run;
}

TEST(Cost, TimeIsThatOfProcessesTimesDevices) {
  // Two hours of 2 devices, a day off, one hour of 4.
  const auto run = run_of({{.begin = 0, .end = 7200, .devices = 2, .training_seconds = 3600},
                           {.begin = 100000, .end = 103600, .devices = 4, .training_seconds = 900}});
  const RunCost cost = cost_of(run, {.price_per_hour = 1.5});
  EXPECT_EQ(cost.device_seconds, 8 * 3600);
  EXPECT_EQ(cost.training_seconds, 3 * 3600);
  EXPECT_DOUBLE_EQ(cost.device_days(), 8.0 / 24);
  EXPECT_DOUBLE_EQ(cost.money.value(), 12);
  EXPECT_FALSE(cost.kwh.has_value());
  EXPECT_FALSE(cost.kg_co2.has_value());
}

TEST(Cost, EnergyIsMeasuredOrAssumedForTheRest) {
  const ProcessRecord measured{.begin = 0, .end = 3600, .devices = 2, .energy_joules = 3.6e6};
  const ProcessRecord other{.begin = 5000, .end = 8600, .devices = 2};
  const RunCost whole = cost_of(run_of({measured}), {.kg_per_kwh = 0.5, .watts = 9999});
  EXPECT_DOUBLE_EQ(whole.kwh.value(), 1);
  EXPECT_DOUBLE_EQ(whole.kg_co2.value(), 0.5);
  EXPECT_EQ(whole.measured_share, 1);
  EXPECT_FALSE(cost_of(run_of({measured, other}), {}).kwh.has_value());
  const RunCost both = cost_of(run_of({measured, other}), {.watts = 250});
  EXPECT_DOUBLE_EQ(both.kwh.value(), 1.5);
  EXPECT_DOUBLE_EQ(both.measured_share, 0.5);
}

TEST(Cost, NothingOfARunThatNeverRan) {
  const RunCost cost = cost_of(run_of({}), {.price_per_hour = 1, .kg_per_kwh = 1, .watts = 1});
  EXPECT_EQ(cost.device_seconds, 0);
  EXPECT_FALSE(cost.kwh.has_value());
  EXPECT_FALSE(cost.money.has_value());
}

// The figures of the paper's table 2 and introduction.
TEST(PaperCosts, AreThePapers) {
  std::map<std::string_view, double> days;
  for (const auto& row : paper_costs()) {
    days[row.model] = row.a100_days;
    EXPECT_FALSE(row.source.empty()) << row.model;
  }
  EXPECT_EQ(days, (std::map<std::string_view, double>{{"RAPHAEL", 60000},
                                                      {"DALL-E 2", 41667},
                                                      {"Imagen", 7132},
                                                      {"Stable Diffusion 1.5", 6250},
                                                      {"PixArt-alpha", 753}}));
  EXPECT_EQ(paper_costs().back().dollars, 28400);
  for (size_t i = 1; i < paper_costs().size(); ++i)
    EXPECT_GT(paper_costs()[i - 1].a100_days, paper_costs()[i].a100_days);
}

TEST(CostSection, ShowsTheRunBesideThePaper) {
  const RunCost cost{
      .device_seconds = 86400, .training_seconds = 43200, .kwh = 2.5, .money = 40, .kg_co2 = 1};
  const std::string html =
      cost_html({{"<mine>", "8 x A100", cost}}, {.price_per_hour = 1.6, .kg_per_kwh = 0.4, .watts = 300});
  EXPECT_THAT(html, AllOf(HasSubstr("&lt;mine&gt;: 1.0 days on 8 x A100"), HasSubstr("RAPHAEL: 60,000 days"),
                          HasSubstr("$28,400"), HasSubstr("50 %"), HasSubstr("300 W per device assumed"),
                          HasSubstr("arXiv 2310.00426"), Not(HasSubstr("<mine>"))));
}

TEST(CostSection, SaysWhatToGiveWhereRatesAreMissing) {
  const std::string html = cost_html({{"x", "CPU", {.device_seconds = 60, .kwh = 0.1}}}, {.watts = 1});
  EXPECT_THAT(html, HasSubstr("give --carbon KG_PER_KWH, --price PER_DEVICE_HOUR."));
  EXPECT_THAT(cost_html({{"x", "CPU", {}}}, {}), AllOf(HasSubstr("--power WATTS"), Not(HasSubstr("x: "))));
}

}  // namespace
}  // namespace pixart::report

#include "timeline.h"

#include "run_files.h"

namespace pixart::report {
namespace {
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Timeline : public testing::RunFolderTest {
 protected:
  std::string of(const std::string& telemetry) const {
    put("telemetry.jsonl", telemetry);
    return timeline_html(read_run(folder_));
  }
};

TEST_F(Timeline, HasProcessesGapsAndEnds) {
  const std::string html =
      of(process(1, 0, 100, "") + process(4, 60, 200, "error") + process(9, 200, 300, "done"));
  EXPECT_THAT(html,
              AllOf(HasSubstr("class=\"gap\""), HasSubstr("2 h 34 min off"), HasSubstr("4 h 30 min off"),
                    HasSubstr("steps 60 to 200"), HasSubstr(">killed</td>"),
                    HasSubstr("error: &lt;b&gt;why&lt;/b&gt;"), HasSubstr("node, 2 x A100"),
                    HasSubstr("class=\"save\""), HasSubstr("class=\"dot\""), Not(HasSubstr("<b>"))));
}

TEST_F(Timeline, ThousandsOfSavesAreThinned) {
  std::string telemetry = process(1, 0, 100, "");
  for (int i = 0; i < 5000; ++i)
    telemetry += fmt::format(
        "{{\"time\":\"2026-03-02T02:{:02}:{:02}Z\",\"kind\":\"save\",\"stage\":\"text\",\"step\":{}}}\n",
        i / 100, i / 2 % 60, 100 + i);
  EXPECT_LT(of(telemetry).size(), 150000u);
}

TEST_F(Timeline, ARollBackHasItsMark) {
  const std::string line =
      R"({"time":"2026-03-02T01:21:00Z","kind":"roll_back","stage":"text","step":40,"bad_step":57})";
  EXPECT_THAT(of(process(1, 0, 100, "") + line + "\n"), HasSubstr("back to step 40"));
}

TEST_F(Timeline, WithoutTelemetryThereIsNone) { EXPECT_EQ(timeline_html(read_run(folder_)), ""); }

TEST_F(Timeline, ClocksThatGoBackDoNoHarm) {
  const std::string html = of(process(5, 0, 100, "requested") + process(3, 100, 200, "done"));
  EXPECT_THAT(html, AllOf(HasSubstr("<svg"), Not(HasSubstr("\"-")), Not(HasSubstr("nan"))));
}

TEST(RunningTimes, CountProcessesAndCutGaps) {
  const std::vector<ProcessRecord> processes = {{.begin = 0, .end = 100}, {.begin = 1e6, .end = 1e6 + 300}};
  const RunningTime time(processes, 0.2);
  EXPECT_EQ(time.running_seconds(), 400);
  EXPECT_DOUBLE_EQ(time.share(0, 0), 0);
  EXPECT_DOUBLE_EQ(time.share(0, 100), 0.2);
  EXPECT_DOUBLE_EQ(time.share(1, 1e6), 0.4);
  EXPECT_DOUBLE_EQ(time.share(1, 1e6 + 300), 1);
  EXPECT_DOUBLE_EQ(time.share_of_running(250), 0.7);
  EXPECT_EQ(time.gap_seconds(1), 1e6 - 100);
}

}  // namespace
}  // namespace pixart::report

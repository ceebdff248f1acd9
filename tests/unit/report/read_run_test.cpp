#include "pixart/report/run_record.h"

#include <cmath>

#include "pixart/base/file_lock.h"
#include "run_files.h"

namespace pixart::report {
namespace {
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ReadRun : public testing::RunFolderTest {
 protected:
  std::string state(const std::string& telemetry, int64_t steps = 300) const {
    put("telemetry.jsonl", telemetry);
    return state_of(read_run(folder_), {{"text", steps}});
  }
};

TEST_F(ReadRun, SeriesOfEachStage) {
  put("events.jsonl",
      R"({"stage":"class","step":1,"loss":0.5,"lr":0.1}
{"stage":"class","step":2,"loss":null,"lr":0.1}
{"stage":"text","step":1,"loss":1e200}
{"stage":"text","step":2,"loss":0.25,"note":"text is no number"}
)");
  const RunRecord run = read_run(folder_);
  ASSERT_EQ(run.stages.size(), 2u);
  EXPECT_EQ(run.stages[0].name, "class");
  EXPECT_EQ(run.stages[0].metrics.at("lr").size(), 2u);
  EXPECT_TRUE(std::isnan(run.stages[0].metrics.at("loss")[1].y));
  EXPECT_TRUE(std::isnan(run.stages[1].metrics.at("loss")[0].y));
  EXPECT_EQ(run.stages[1].metrics.count("note"), 0u);
  EXPECT_EQ(run.stages[1].last_step, 2);
}

TEST_F(ReadRun, StepsThatComeAgainReplaceWhatWasBehind) {
  std::string lines;
  for (const auto& [step, loss] : {std::pair{1, 1.0}, {2, 2.0}, {3, 3.0}, {2, 9.0}})
    lines += fmt::format("{{\"stage\":\"text\",\"step\":{},\"loss\":{}}}\n", step, loss);
  put("events.jsonl", lines);
  const auto run = read_run(folder_);
  const auto& loss = run.stages.at(0).metrics.at("loss");
  ASSERT_EQ(loss.size(), 2u);
  EXPECT_EQ(loss[1].y, 9);
}

TEST_F(ReadRun, TelemetryIsCutIntoProcesses) {
  put("telemetry.jsonl", process(1, 0, 100, "", ",\"energy_joules\":500") + process(2, 100, 300, "done"));
  const RunRecord run = read_run(folder_);
  ASSERT_EQ(run.processes.size(), 2u);
  EXPECT_EQ(run.processes[0].end - run.processes[0].begin, 26 * 60);
  EXPECT_EQ(run.processes[0].devices, 2);
  EXPECT_EQ(run.processes[0].training_seconds, 1140);
  EXPECT_EQ(run.processes[0].energy_joules, 500);
  EXPECT_FALSE(run.processes[1].energy_joules.has_value());
  EXPECT_EQ(run.processes[1].reason, "done");
  EXPECT_EQ(run.stages.at(0).facts.at("parameters"), 1000);
  EXPECT_EQ(run.stages.at(0).machine.at("images_per_second").size(), 2u);
  EXPECT_EQ(run.events.size(), 11u);
}

TEST_F(ReadRun, States) {
  EXPECT_THAT(state(process(1, 0, 300, "done")), "finished");
  EXPECT_THAT(state(process(1, 0, 300, "done"), 400), HasSubstr("steps left to do"));
  EXPECT_THAT(state(process(1, 0, 200, "requested")), "stopped on request at step 200 of stage text");
  EXPECT_THAT(state(process(1, 0, 200, "error")), HasSubstr("ended by an error at step 200"));
  EXPECT_THAT(state(process(1, 0, 200, "")), HasSubstr("no end is recorded at step 200"));
  EXPECT_THAT(state(""), HasSubstr("unknown"));
  EXPECT_THAT(
      state(process(1, 0, 200, "") +
            R"({"time":"2026-03-02T02:00:00Z","kind":"stop","stage":"text","step":0,"reason":"error"})" +
            "\n"),
      HasSubstr("ended by an error at step 200"));
  EXPECT_THAT(state(process(1, 0, 300, "done") +
                    R"({"time":"2026-03-02T02:00:00Z","kind":"save","stage":"text","step":300})" + "\n"),
              HasSubstr("no end is recorded"));
}

TEST_F(ReadRun, ARunThatIsLockedIsInProgress) {
  if (!std::filesystem::exists("/proc/locks")) GTEST_SKIP() << "this system does not list its locks";
  put("telemetry.jsonl", process(1, 0, 200, ""));
  put(".owner", fmt::format("{{\"host\":\"node\",\"process\":{},\"since\":\"now\"}}", process_id()));
  EXPECT_THAT(state_of(read_run(folder_), {}), HasSubstr("no end is recorded"));
  const auto held = FileLock::try_lock(folder_ / ".lock");
  EXPECT_THAT(state_of(read_run(folder_), {}),
              HasSubstr(fmt::format("in progress: process {} on node since now", process_id())));
}

TEST_F(ReadRun, FoldersOfTheRun) {
  put("samples/text/step-00000200.png", "");
  put("samples/text/step-00000100.png", "");
  put("samples/text/step-00000300.png.tmp", "");
  put("samples/text/notes.txt", "");
  put("checkpoints/text/step-00000100/manifest.json", "{}");
  put("checkpoints/text/step-00000300/manifest.json",
      R"({"sha256":"abc","files":{"ema.safetensors":{"bytes":7}}})");
  put("checkpoints/text/.tmp-step-00000400/manifest.json", "{}");
  put("quarantine/web.jsonl",
      "{\"key\":\"a\",\"reason\":\"empty_file\"}\n{\"key\":\"b\",\"reason\":\"empty_file\"}\n{\"ke");
  put("features/web-latents/manifest.json",
      R"({"kind":"latents","source":"web","rows":9,"rejected":2,"inputs":{"resolution":"32"},"shards":[{"bytes":5}]})");
  put("features/other/manifest.json", "{");
  put("score.json", R"({"a": 1, "stage2": {"all": 88.5, "note": "x"}})");
  const RunRecord run = read_run(folder_);
  const auto& stage = run.stages.at(0);
  ASSERT_EQ(stage.samples.size(), 2u);
  EXPECT_EQ(stage.samples[0].step, 100);
  EXPECT_EQ(stage.checkpoint->step, 300);
  EXPECT_EQ(stage.checkpoint->sha256, "abc");
  EXPECT_EQ(stage.checkpoint->files.at(0).bytes, 7u);
  EXPECT_THAT(stage.checkpoint->problem, HasSubstr("ema.safetensors"));
  EXPECT_EQ(run.sources.at(0).num_rejected(), 2);
  EXPECT_EQ(run.features.at(0).rows, 9);
  EXPECT_EQ(run.scores, (std::map<std::string, double>{{"a", 1}, {"stage2.all", 88.5}}));
  EXPECT_THAT(run.remarks, Contains(HasSubstr("feature set other")));
  EXPECT_THAT(run.remarks, Contains(HasSubstr("quarantine/web.jsonl")));
}

TEST_F(ReadRun, ARowThatTwoRanksRejectCountsOnce) {
  put("run.yaml", "");
  put("quarantine/web.jsonl",
      "{\"row\":3,\"key\":\"a\",\"reason\":\"bad_feature\"}\n{\"row\":5,\"key\":\"b\",\"reason\":\"bad_feature\"}\n"
      "{\"row\":3,\"key\":\"a\",\"reason\":\"bad_feature\"}\n");
  EXPECT_EQ(read_run(folder_).sources.at(0).num_rejected(), 2);
}

TEST_F(ReadRun, SamplesLeftOutAfterBadStepsAreInTheLedger) {
  put("run.yaml", "");
  put("quarantine/web.jsonl", "{\"row\":3,\"key\":\"a\",\"reason\":\"bad_feature\"}\n");
  const std::string line =
      R"({"source":"web","key":"b","row":5,"step":12,"reason":"the loss is not finite"})";
  put("excluded/text.jsonl", line + "\n" + R"({"source":"other","key":"c","step":12,"reason":"x"})" + "\n");
  put("excluded/more.jsonl", line + "\n");
  const auto run = read_run(folder_);
  ASSERT_EQ(run.sources.size(), 2u);
  EXPECT_EQ(run.sources[0].rejected, (std::map<std::string, int64_t>{{"bad_feature", 1}, {"bad_step", 1}}));
  EXPECT_EQ(run.sources[0].examples.at(1).at(2), "step 12: the loss is not finite");
  EXPECT_EQ(run.sources[1].name, "other");
}

TEST_F(ReadRun, AnEmptyFolderSaysWhatIsMissing) {
  const RunRecord run = read_run(folder_);
  EXPECT_THAT(run.stages, IsEmpty());
  for (const char* file : {"run.yaml", "events.jsonl", "telemetry.jsonl"})
    EXPECT_THAT(run.remarks, Contains(HasSubstr(file)));
}

// Each file with other content than it should have.
TEST_F(ReadRun, StrangeContentIsNoError) {
  const std::string binary = std::string("\0\xff\xfe\n{}\n[[[\n", 12) + std::string(5000, '[');
  for (const char* file :
       {"run.yaml", "events.jsonl", "telemetry.jsonl", "score.json", ".owner", "quarantine/a.jsonl",
        "features/a/manifest.json", "checkpoints/a/step-00000001/manifest.json",
        "checkpoints/a/step-00000001/ema.safetensors", "samples/a/step-00000001.png"})
    put(file, binary);
  put("events.jsonl",
      "{\"stage\":3,\"step\":1}\n{\"stage\":\"a\",\"step\":-1}\n{\"stage\":\"a\",\"step\":\"b\"}\n");
  const RunRecord run = read_run(folder_);
  EXPECT_THAT(run.remarks, Contains(HasSubstr("3 lines of events.jsonl have no stage or step")));
  EXPECT_NE(run.stages.at(0).checkpoint->problem, "");
}

TEST_F(ReadRun, TooManyStagesAreLeftOutAndCounted) {
  std::string events, telemetry;
  for (int i = 0; i < 110; ++i) {
    events += fmt::format("{{\"stage\":\"s{}\",\"step\":1,\"loss\":1}}\n", i);
    telemetry += fmt::format(
        "{{\"time\":\"2026-03-02T01:00:00Z\",\"kind\":\"save\",\"stage\":\"s{}\",\"step\":2}}\n", i);
    put(fmt::format("samples/s{}/step-00000001.png", i), "");
    put(fmt::format("samples/s{}/step-00000002.png", i), "");
    put(fmt::format("checkpoints/s{}/step-00000003/manifest.json", i), "{}");
  }
  put("events.jsonl", events);
  put("telemetry.jsonl", telemetry);
  const RunRecord run = read_run(folder_, {.stages = {"s105", "late"}});
  ASSERT_EQ(run.stages.size(), 100u);
  EXPECT_EQ(run.stages[0].name, "s105") << "those of the run file come first";
  EXPECT_EQ(run.stages[99].name, "s97");
  EXPECT_EQ(run.stages[99].last_step, 3);
  for (const char* remark :
       {"11 line(s) of events.jsonl are left out: they are of stages after the first 100.",
        "11 line(s) of telemetry.jsonl are left out: they are of stages after the first 100.",
        "11 folder(s) of samples are left out: they are of stages after the first 100.",
        "11 folder(s) of checkpoints are left out: they are of stages after the first 100."})
    EXPECT_THAT(run.remarks, Contains(remark));
}

TEST_F(ReadRun, TooManyNamesOfValuesAreLeftOutAndCounted) {
  std::string events;
  for (int stage = 0; stage < 11; ++stage)
    for (int line = 0; line < 2; ++line) {
      events += fmt::format("{{\"stage\":\"s{}\",\"step\":{}", stage, line);
      for (int i = 0; i < 1100; ++i) events += fmt::format(",\"k{:04}\":1", i);
      events += "}\n";
    }
  put("events.jsonl", events);
  const RunRecord run = read_run(folder_);
  EXPECT_EQ(run.stages.at(0).metrics.size(), 1000u);
  EXPECT_EQ(run.stages.at(0).metrics.at("k0999").size(), 2u);
  EXPECT_EQ(run.stages.at(9).metrics.size(), 1000u);
  EXPECT_THAT(run.stages.at(10).metrics, IsEmpty());
  EXPECT_THAT(run.remarks, Contains("4,200 value(s) of events.jsonl are left out: their names come after the "
                                    "first 1,000 of a stage, or the first 10,000 of the run."));
}

TEST_F(ReadRun, OrderOfStagesIsThatOfTheRunFile) {
  put("events.jsonl", "{\"stage\":\"b\",\"step\":1,\"loss\":1}\n{\"stage\":\"x\",\"step\":1,\"loss\":1}\n");
  const RunRecord run = read_run(folder_, {.stages = {"a", "b"}});
  ASSERT_EQ(run.stages.size(), 3u);
  EXPECT_EQ(run.stages[0].name, "a");
  EXPECT_EQ(run.stages[2].name, "x");
}

TEST_F(ReadRun, WhatIsNoFolderIsRefused) {
  EXPECT_THAT(testing::refusal([&] { read_run(folder_ / "gone"); }), HasSubstr("is not a run folder"));
  const auto refused = [&] { return testing::refusal([&] { require_run_folder(folder_); }); };
  put("0000.png", "an image");
  put("report.html", "a page");
  put("score.json", "{}");
  EXPECT_THAT(refused(), HasSubstr("it has none of run.yaml, events.jsonl"));
  put("events.jsonl", "");
  EXPECT_NO_THROW(require_run_folder(folder_));
}

}  // namespace
}  // namespace pixart::report

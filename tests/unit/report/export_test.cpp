#include "pixart/report/export.h"

#include <map>
#include <set>

#include "event_rows.h"
#include "pixart/base/file.h"
#include "pixart/formats/hash.h"
#include "run_files.h"

namespace pixart::report {
namespace {
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class Export : public testing::RunFolderTest {
 protected:
  void put_events(const std::string& text) const { put("run/events.jsonl", text); }
  std::string table(const std::string& stage) const { return read_file(folder_ / "out" / (stage + ".csv")); }
  Exported csv() const { return export_csv(folder_ / "run", folder_ / "out"); }
  Exported wandb() const { return export_wandb(folder_ / "run", folder_ / "wandb"); }
};

TEST_F(Export, ATableHasAColumnForEachValueOfItsStage) {
  put_events(
      "{\"stage\":\"class\",\"step\":1,\"loss\":0.1}\n"
      "{\"stage\":\"text\",\"step\":1,\"loss\":1e-7,\"lr\":3}\n"
      "{\"stage\":\"text\",\"step\":2,\"loss\":null,\"note\":\"words\"}\n"
      "{\"stage\":\"text\",\"step\":2,\"validation_loss\":0.30000000000000004}\n");
  EXPECT_THAT(csv().files, ElementsAre(folder_ / "out/class.csv", folder_ / "out/text.csv"));
  EXPECT_EQ(table("class"), "step,loss\n1,0.1\n");
  EXPECT_EQ(table("text"), "step,loss,lr,validation_loss\n1,1e-07,3,\n2,nan,,0.30000000000000004\n");
}

TEST_F(Export, StepsThatWereUndoneAreLeftOut) {
  std::string events;
  for (int step = 1; step <= 6; ++step)
    events += fmt::format("{{\"stage\":\"text\",\"step\":{},\"loss\":1}}\n", step);
  for (int step = 3; step <= 4; ++step)
    events += fmt::format("{{\"stage\":\"text\",\"step\":{},\"loss\":2}}\n", step);
  put_events(events);
  csv();
  EXPECT_EQ(table("text"), "step,loss\n1,1\n2,1\n3,2\n4,2\n");
}

TEST_F(Export, DamagedLinesAreLeftOutAndCounted) {
  put_events("{\"stage\":\"text\",\"step\":1,\"loss\":1}\nnonsense\n{\"step\":2}\n{\"stage\":\"text\",\"st");
  EXPECT_THAT(csv().remarks, ElementsAre("3 line(s) of events.jsonl are damaged and are left out"));
  EXPECT_EQ(table("text"), "step,loss\n1,1\n");
}

TEST_F(Export, NamesFromTheRunStayInTheirPlace) {
  put_events(
      "{\"stage\":\"../a\",\"step\":1,\"=1+1\":1,\"a,\\\"b\":2}\n{\"stage\":\"..?a\",\"step\":1,\"loss\":1}\n");
  EXPECT_THAT(csv().files, ElementsAre(folder_ / "out/_._a.csv", folder_ / "out/_._a-2.csv"));
  EXPECT_EQ(table("_._a"), "step,'=1+1,\"a,\"\"b\"\n1,1,2\n");
}

TEST_F(Export, ATableIsReplacedAndAnotherFileIsNot) {
  put_events("{\"stage\":\"text\",\"step\":1,\"loss\":1}\n");
  csv();
  csv();
  for (const std::string own :
       {"my,notes\n", "step,my notes\n1,2\n", "step,loss,mine\n", "step,losses\n", "step,loss"}) {
    put("out/text.csv", own);
    EXPECT_THAT(testing::refusal([&] { csv(); }),
                HasSubstr("text.csv exists and is not a table of the stage text"));
    EXPECT_EQ(table("text"), own);
  }
  put("out/text.csv", "step,loss\n");
  put_events("{\"stage\":\"text\",\"step\":1,\"loss\":1,\"more\":2}\n");
  csv();  // values that are new since
  EXPECT_EQ(table("text"), "step,loss,more\n1,1,2\n");
  EXPECT_THAT(testing::refusal([&] { export_csv(folder_ / "gone", folder_ / "out"); }),
              HasSubstr("is not a run folder"));
  put_events("");
  EXPECT_THAT(testing::refusal([&] { csv(); }), HasSubstr("nothing to export"));
}

TEST_F(Export, LinesThatCameSinceAreOfTheNextExport) {
  const auto file = put("events.jsonl", "{\"stage\":\"text\",\"step\":1,\"loss\":1}\n");
  const EventIndex index = index_events(file);
  put("events.jsonl",
      "{\"stage\":\"text\",\"step\":1,\"loss\":1}\n{\"stage\":\"text\",\"step\":2,\"new\":1}\n");
  std::vector<int64_t> steps;
  for_each_row(index, index.stages.at(0), [&](int64_t step, const EventRow&) { steps.push_back(step); });
  EXPECT_THAT(steps, ElementsAre(1));
}

TEST_F(Export, LinesOfStagesThatTakeTurnsAreReadOnce) {
  std::string events;
  for (int step = 1; step <= 50; ++step)
    events += fmt::format(
        "{{\"stage\":\"a\",\"step\":{0},\"loss\":{0}}}\n{{\"stage\":\"b\",\"step\":{0},\"loss\":-{0}}}\nnonsense\n",
        step);
  events +=
      "{\"stage\":\"c\",\"step\":1,\"loss\":1}\nnonsense\n{\"step\":1}\n{\"stage\":\"c\",\"step\":2,\"loss\":2}";
  put_events(events);
  csv();
  std::string a = "step,loss\n", b = a;
  for (int step = 1; step <= 50; ++step) {
    a += fmt::format("{0},{0}\n", step);
    b += fmt::format("{0},-{0}\n", step);
  }
  EXPECT_EQ(table("a"), a);
  EXPECT_EQ(table("b"), b);
  EXPECT_EQ(table("c"), "step,loss\n1,1\n2,2\n");
  const EventIndex index = index_events(folder_ / "run/events.jsonl");
  int64_t bytes = 0;
  for (const auto& stage : index.stages)
    for (const auto& part : stage.parts) bytes += part.end - part.begin;
  EXPECT_LE(bytes, int64_t(events.size()));
  EXPECT_EQ(index.stages.at(2).parts.size(), 1u) << "damaged lines do not end a part";
}

// Each line of the table has the last value of its step since the stage was at an earlier one.
TEST_F(Export, AStageMayGoBackAnyNumberOfTimes) {
  std::string events;
  std::map<int, int> kept;
  int last = 0;
  for (int i = 0; i < 500; ++i) {
    const int step = i * 37 % 101 + i / 10;
    events += fmt::format("{{\"stage\":\"text\",\"step\":{},\"loss\":{}}}\n", step, i);
    if (step < last) kept.erase(kept.lower_bound(step), kept.end());
    kept[step] = i;
    last = step;
  }
  put_events(events);
  csv();
  std::string expected = "step,loss\n";
  for (const auto& [step, loss] : kept) expected += fmt::format("{},{}\n", step, loss);
  EXPECT_EQ(table("text"), expected);
}

TEST_F(Export, OfTurnsOnlyThoseWithAnEffectAreHeld) {
  std::string events;
  for (int step = 1000; step > 0; --step)
    events += fmt::format("{{\"stage\":\"text\",\"step\":{},\"loss\":1}}\n", step);
  put_events(events);
  EXPECT_EQ(index_events(folder_ / "run/events.jsonl").stages.at(0).turns.size(), 1u);
  csv();
  EXPECT_EQ(table("text"), "step,loss\n1,1\n");
}

TEST_F(Export, TooManyStagesAreLeftOutAndCounted) {
  std::string events;
  for (int i = 0; i < 2 * 150; ++i)
    events += fmt::format("{{\"stage\":\"s{}\",\"step\":{},\"loss\":1}}\n", i % 150, 1 + i / 150);
  put_events(events + "{\"stage\":\"" + std::string(256, 'x') + "\",\"step\":1,\"loss\":1}\n");
  const auto exported = csv();
  EXPECT_EQ(exported.files.size(), 100u);
  EXPECT_THAT(
      exported.remarks,
      ElementsAre("1 line(s) of events.jsonl are damaged and are left out",
                  "100 line(s) of events.jsonl are left out: they are of stages after the first 100."));
  EXPECT_EQ(table("s99"), "step,loss\n1,1\n2,1\n");
  EXPECT_EQ(wandb().remarks.at(1), exported.remarks.at(1));
}

TEST_F(Export, TooManyNamesOfValuesAreLeftOutAndCounted) {
  std::string events;
  for (int stage = 0; stage < 11; ++stage)
    for (int line = 0; line < 2; ++line) {
      events += fmt::format("{{\"stage\":\"s{}\",\"step\":{}", stage, line);
      for (int i = 0; i < 550; ++i) events += fmt::format(",\"k{:04}\":{}", line * 550 + i, i);
      events += "}\n";
    }
  put_events(events);
  const auto exported = csv();
  EXPECT_THAT(exported.remarks, ElementsAre(HasSubstr("2,100 value(s) of events.jsonl are left out")));
  const EventIndex index = index_events(folder_ / "run/events.jsonl");
  EXPECT_EQ(index.stages.at(9).keys.size(), 1000u);
  EXPECT_EQ(table("s10"), "step\n0\n1\n");
  const std::string first = table("s0");
  EXPECT_THAT(first, HasSubstr(",k0998,k0999\n0,0,1,2,"));
  EXPECT_THAT(first, HasSubstr("\n1" + std::string(551, ',') + "0,1,2,"));
  const auto made = wandb();
  EXPECT_EQ(made.remarks.at(0), exported.remarks.at(0));
  const std::string bytes = read_file(made.files.at(0));
  EXPECT_THAT(bytes, HasSubstr("s0/k0999"));
  EXPECT_EQ(bytes.find("s0/k1000"), std::string::npos);
}

TEST_F(Export, TheSameRunMakesTheSameBytesForWandb) {
  put("run/run.yaml", "seed: 7\n");
  put("run/telemetry.jsonl", process(1, 0, 20, "done"));
  put_events(
      "{\"stage\":\"text\",\"step\":10,\"loss\":0.5}\n{\"stage\":\"text\",\"step\":20,\"loss\":null}\n"
      "{\"stage\":\"late\",\"step\":0,\"loss\":1}\n");
  const auto first = wandb();
  ASSERT_EQ(first.files.size(), 1u);
  const std::string folder = first.files[0].parent_path().filename(), bytes = read_file(first.files[0]);
  EXPECT_THAT(folder, StartsWith("offline-run-20260302_010000-"));
  EXPECT_EQ(first.files[0].filename(), "run-" + folder.substr(folder.size() - 8) + ".wandb");
  EXPECT_EQ(read_file(first.files[0].parent_path() / "files/run.yaml"), "seed: 7\n");
  for (const char* text : {"text/loss", "text/step", "late/loss", "NaN", "_timestamp", "_runtime", "node"})
    EXPECT_THAT(bytes, HasSubstr(text));
  EXPECT_THAT(bytes, HasSubstr(std::string("_step\x82\x01\x02") + "21")) << "steps count on over the stages";
  put("wandb/" + folder + "/" + first.files[0].filename().string() + ".synced", "");
  EXPECT_EQ(wandb().files, first.files);
  EXPECT_EQ(read_file(first.files[0]), bytes);
  put("wandb/" + folder + "/notes.txt", "mine");
  EXPECT_THAT(testing::refusal([&] { wandb(); }), HasSubstr("notes.txt"));
}

// W&B adds a run with the same id to the one that it has.
TEST_F(Export, ARunKeepsItsIdWhenItContinuesWithOtherKeys) {
  put_events("{\"stage\":\"text\",\"step\":1,\"loss\":0.5}\n");
  put("run/telemetry.jsonl", process(1, 0, 20, "requested"));
  put("run/run.yaml", "steps: 20\n");
  const auto first = wandb().files.at(0);
  put("run/telemetry.jsonl", process(1, 0, 20, "requested") + process(3, 20, 40, "done"));
  put("run/run.yaml", "steps: 40\n");
  EXPECT_EQ(wandb().files.at(0), first);
  put("run/telemetry.jsonl", process(2, 0, 20, "requested"));
  EXPECT_NE(wandb().files.at(0), first) << "another start is another run";
}

// Of later versions, too: a later export continues the run.
TEST_F(Export, TheIdIsOfTheFirstStartOrElseOfTheRunFile) {
  const auto id_of = [](const std::string& text) {
    return "run-" + formats::sha256(text).substr(0, 8) + ".wandb";
  };
  put_events("{\"stage\":\"text\",\"step\":1,\"loss\":0.5}\n");
  put("run/run.yaml", "seed: 7\n");
  EXPECT_EQ(wandb().files.at(0).filename(), id_of("seed: 7\n"));
  put("run/telemetry.jsonl", process(1, 0, 20, "done"));
  EXPECT_EQ(wandb().files.at(0).filename(), id_of("2026-03-02 01:00:00\nnode\n0"));
}

TEST_F(Export, RunsOfWhichNothingIsKnownHaveIdsOfTheirOwn) {
  const std::string line = "{\"stage\":\"text\",\"step\":1,\"loss\":0.5}\n";
  const std::string start = "{\"time\":\"9999-12-31T23:59:59Z\",\"kind\":\"start\"}\n";
  for (const auto& telemetry : {std::string(), start}) {
    std::set<std::string> ids;
    for (const auto& [name, events] : {std::pair{"a/run", line},
                                       {"b", line},
                                       {"c/run", line + line},
                                       {"d/run", "{\"more\":1," + line.substr(1)}}) {
      put(std::string(name) + "/events.jsonl", events);
      put(std::string(name) + "/telemetry.jsonl", telemetry);
      const auto file = export_wandb(folder_ / name, folder_ / "wandb").files.at(0);
      ids.insert(file.filename());
      EXPECT_THAT(
          file.parent_path().filename().string(),
          StartsWith(telemetry.empty() ? "offline-run-19700101_000000-" : "offline-run-99991231_235959-"));
    }
    EXPECT_EQ(ids.size(), 3u) << "a run that continues keeps its id";
  }
}

TEST_F(Export, TimesRiseBetweenTheLinesOfTelemetry) {
  // Step 0 at 01:01, step 20 at 01:26.
  put("run/telemetry.jsonl", process(1, 0, 20, ""));
  put_events("{\"stage\":\"text\",\"step\":10,\"loss\":0.5}\n");
  const double middle = 1772413200 + 60 + (26 - 1) * 60 / 2.0;
  EXPECT_THAT(read_file(wandb().files[0]), HasSubstr(fmt::format("{:.1f}", middle)));
}

TEST_F(Export, WithoutTelemetryItSaysThatTimesAreNotKnown) {
  put_events("{\"stage\":\"text\",\"step\":1,\"loss\":0.5}\n");
  const auto exported = wandb();
  EXPECT_THAT(exported.remarks, ::testing::Contains(HasSubstr("tells no times")));
  EXPECT_THAT(exported.files[0].parent_path().filename().string(),
              StartsWith("offline-run-19700101_000000-"));
}

}  // namespace
}  // namespace pixart::report

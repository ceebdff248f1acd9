#include "pixart/report/export.h"

#include "event_rows.h"
#include "pixart/base/file.h"
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

#include "pixart/run/metrics.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "event_reader.h"
#include "file_size_limit.h"
#include "many_keys.h"
#include "pixart/formats/image_file.h"
#include "scratch_folder.h"

namespace pixart::run {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::event_files;
using ::testing::MatchesRegex;
using ::testing::Pair;
using testing::read_events;
using testing::ReadEvent;
using ::testing::UnorderedElementsAre;

class Metrics : public testing::ScratchFolder {
 protected:
  fs::path events() const { return folder_ / "events.jsonl"; }
  fs::path telemetry() const { return folder_ / "telemetry.jsonl"; }
  MetricSink sink() const { return MetricSink(events(), telemetry(), folder_ / "tensorboard"); }

  // Of all processes, in TensorBoard's order, the lines that only name a version left out.
  std::vector<ReadEvent> shown(const std::string& stage) const {
    std::vector<ReadEvent> all;
    for (const auto& file : event_files(folder_ / "tensorboard" / stage))
      for (const auto& event : read_events(file))
        if (event.file_version.empty()) all.push_back(event);
    return all;
  }

  std::vector<nlohmann::json> telemetry_lines() const {
    std::vector<nlohmann::json> lines;
    std::ifstream stream(telemetry());
    for (std::string line; std::getline(stream, line);)
      lines.push_back(nlohmann::json::parse(line, nullptr, false));
    return lines;
  }
};

TEST_F(Metrics, RewindForgetsLaterStepsOfTheStageAndTornLines) {
  {
    MetricSink sink(events());
    for (int64_t step = 1; step <= 3; ++step) sink.write("a", step, {{"loss", 0.5}});
    for (int64_t step = 1; step <= 3; ++step) sink.write("b", step, {{"loss", 0.25}});
  }
  std::ofstream(events(), std::ios::app) << "{\"stage\":\"b\",\"st";
  MetricSink sink(events());
  sink.rewind("b", 1);
  sink.write("b", 2, {{"loss", 1}});
  EXPECT_EQ(read(events()),
            "{\"stage\":\"a\",\"step\":1,\"loss\":0.5}\n{\"stage\":\"a\",\"step\":2,\"loss\":0.5}\n{"
            "\"stage\":\"a\",\"step\":3,\"loss\":0.5}\n"
            "{\"stage\":\"b\",\"step\":1,\"loss\":0.25}\n{\"stage\":\"b\",\"step\":2,\"loss\":1.0}\n");
  EXPECT_THAT(event_files(folder_), ElementsAre(events())) << "the other files were not asked for";
}

// What others may have left in events.jsonl.
TEST_F(Metrics, LinesOfOthersArePassedOverWithAWarning) {
  const std::vector<std::string> foreign = {
      "null",
      "5",
      "-1.5",
      "true",
      "\"text\"",
      "[]",
      "[1, 2]",
      "{}",
      "{\"note\": \"I changed the lr here\"}",
      "{\"stage\": \"a\"}",
      "{\"stage\": \"a\", \"step\": null}",
      "{\"stage\": \"a\", \"step\": \"x\"}",
      "{\"stage\": \"a\", \"step\": 2.5}",
      "{\"stage\": \"a\", \"step\": [3]}",
      "{\"stage\": \"a\", \"step\": true}",
      "{\"stage\": null, \"step\": 3}",
      "{\"stage\": 7, \"step\": 3}",
      "{\"stage\": [\"a\"], \"step\": 3}",
      "{\"stage\": {\"a\": 1}, \"step\": 3}",
      "{\"step\": 3}",
      "[{\"stage\": \"a\", \"step\": 3}]",
      "{\"stage\": \"a\", \"step\": 3, " + testing::many_keys(30'000) + "}"};
  for (const auto& line : foreign) {
    fs::remove(events());
    {
      MetricSink sink(events());
      sink.write("a", 1, {{"loss", 0.5}});
      sink.write("a", 2, {{"loss", 0.5}});
    }
    std::ofstream(events(), std::ios::app) << line << "\n";
    MetricSink sink(events());
    ::testing::internal::CaptureStderr();
    sink.rewind("a", 1);
    const std::string said = ::testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("line 3 holds no metrics"), std::string::npos) << line << ": " << said;
    EXPECT_EQ(read(events()), "{\"stage\":\"a\",\"step\":1,\"loss\":0.5}\n" + line + "\n");
    EXPECT_EQ(sink.lines_of("a").last_step, 1);
  }
}

TEST_F(Metrics, LastLinesOfAStage) {
  MetricSink sink(events());
  EXPECT_EQ(sink.lines_of("a").last_step, -1);
  sink.write("a", 1, {{"loss", 0.5}});
  sink.write("a", 2, {{"loss", 0.5}});
  sink.write("a", 2, {{"validation_loss", 0.5}});
  sink.write("a", 3, {{"loss", 0.5}});
  sink.write("b", 7, {{"validation_loss", 0.5}});
  std::ofstream(events(), std::ios::app) << "[1]\n{\"stage\": \"a\", \"step\": \"9\"}\n{\"stage\":\"a\",\"st";
  EXPECT_EQ(sink.lines_of("a").last_step, 3);
  EXPECT_EQ(sink.lines_of("a").last_validation, 2);
  EXPECT_EQ(sink.lines_of("a").last_metrics, -1);
}

TEST_F(Metrics, ScoresHaveLinesAndCurvesOfTheirOwn) {
  MetricSink sink = this->sink();
  sink.write("text", 20, {{"metric_fid", 31.5}, {kMetricImages, 500}});
  sink.write("text", 30, {{"loss", 0.5}});
  EXPECT_EQ(sink.lines_of("text").last_metrics, 20);
  EXPECT_THAT(shown("text").at(0).scalars,
              UnorderedElementsAre(Pair("metrics/fid", 31.5f), Pair("metrics/images", 500.0f)));
  sink.rewind("text", 19);
  EXPECT_EQ(sink.lines_of("text").last_metrics, -1);
}

TEST_F(Metrics, NumbersGoToTensorBoardToo) {
  MetricSink sink = this->sink();
  sink.write("text", 20, {{"loss", 0.25}, {"lr", 2e-5}});
  sink.write("text", 20, {{"validation_loss", 0.5}, {"validation_loss_t7", 0.125}});
  const auto events = shown("text");
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].step, 20);
  EXPECT_THAT(events[0].scalars, UnorderedElementsAre(Pair("train/loss", 0.25f), Pair("train/lr", 2e-5f)));
  EXPECT_THAT(events[1].scalars,
              UnorderedElementsAre(Pair("validation/loss", 0.5f), Pair("validation/loss_t7", 0.125f)));
}

TEST_F(Metrics, AResumedRunMakesTensorBoardForgetLaterSteps) {
  {
    MetricSink sink = this->sink();
    sink.rewind("text", 0);
    for (int64_t step = 1; step <= 3; ++step) sink.write("text", step, {{"loss", 1}});
  }
  MetricSink sink = this->sink();
  sink.rewind("text", 2);
  sink.write("text", 3, {{"loss", 2}});
  const auto events = shown("text");
  ASSERT_EQ(events.size(), 6u);
  EXPECT_EQ(events[0].session_status, 1);
  EXPECT_EQ(events[0].step, 1);
  EXPECT_EQ(events[4].session_status, 1);
  EXPECT_EQ(events[4].step, 3) << "step 2 was done and stays";
  EXPECT_EQ(events[5].scalars.at("train/loss"), 2);
  EXPECT_EQ(event_files(folder_ / "tensorboard" / "text").size(), 2u);
}

TEST_F(Metrics, TelemetryIsALineAndScalars) {
  MetricSink sink = this->sink();
  sink.report({.kind = "interval",
               .stage = "text",
               .step = 20,
               .values = {{"images_per_second", 8.5}, {"memory_bytes", int64_t{1} << 30}}});
  sink.report(save_line("text", 20, 0.5, 1000));
  sink.report(start_line({.device = "cpu"}));
  const auto lines = telemetry_lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0].at("time").get<std::string>(),
              MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"));
  EXPECT_EQ(lines[0].at("kind"), "interval");
  EXPECT_EQ(lines[0].at("stage"), "text");
  EXPECT_EQ(lines[0].at("step"), 20);
  EXPECT_EQ(lines[0].at("images_per_second"), 8.5);
  EXPECT_TRUE(lines[0].at("memory_bytes").is_number_integer());
  EXPECT_FALSE(lines[2].contains("stage"));
  EXPECT_FALSE(fs::exists(events()) && fs::file_size(events()) > 0) << "events.jsonl is of training alone";
  const auto events = shown("text");
  EXPECT_THAT(events[0].scalars, UnorderedElementsAre(Pair("machine/images_per_second", 8.5f),
                                                      Pair("machine/memory_bytes", float(1 << 30))));
  EXPECT_THAT(events[1].scalars,
              UnorderedElementsAre(Pair("machine/save_seconds", 0.5f), Pair("machine/save_bytes", 1000.0f)));
}

TEST_F(Metrics, TelemetryIsNeverTakenBackAndSurvivesATornLine) {
  {
    MetricSink sink = this->sink();
    sink.report(save_line("text", 20, 0.5, 1000));
  }
  std::ofstream(telemetry(), std::ios::app) << "{\"time\":\"20";
  MetricSink sink = this->sink();
  sink.rewind("text", 0);
  sink.report(save_line("text", 10, 0.5, 1000));
  const auto lines = telemetry_lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].at("step"), 20);
  EXPECT_TRUE(lines[1].is_discarded());
  EXPECT_EQ(lines[2].at("step"), 10);
}

TEST_F(Metrics, WordsOfTelemetryAreText) {
  MetricSink sink = this->sink();
  sink.report(stop_line("text", 5, "error", "bytes that are no text: \xFF"));
  EXPECT_EQ(telemetry_lines().at(0).at("reason"), "error");
  EXPECT_THAT(shown("text").at(0).texts.at("machine/stop"), ::testing::HasSubstr("- reason: error\n"));
}

TEST_F(Metrics, ImagesAreALineAndTheirPixels) {
  fs::create_directories(folder_ / "samples" / "text");
  const fs::path file = folder_ / "samples" / "text" / "step-00000020.png";
  formats::save_png(file, Image(4, 6, 100));
  MetricSink sink = this->sink();
  sink.image("text", 20, "samples", file);
  const auto line = telemetry_lines().at(0);
  EXPECT_EQ(line.at("kind"), "samples");
  EXPECT_EQ(line.at("file"), "samples/text/step-00000020.png");
  const auto event = shown("text").at(0);
  EXPECT_EQ(event.images.at("samples").width, 6);
  EXPECT_EQ(event.images.at("samples").png, read(file));
  sink.image("text", 40, "samples", folder_ / "samples" / "text" / "absent.png");
  EXPECT_EQ(shown("text").size(), 1u) << "an image that is missing ends no run";
}

TEST_F(Metrics, TextsGoToTensorBoard) {
  MetricSink sink = this->sink();
  sink.text("text", 0, "run.yaml", "seed: 1");
  EXPECT_EQ(shown("text").at(0).texts.at("run.yaml"), "seed: 1");
  EXPECT_EQ(read(events()), "");
}

TEST_F(Metrics, OnlyEventsMustBeThereAtASync) {
  MetricSink sink = this->sink();
  sink.write("text", 1, {{"loss", 1}});
  sink.report(save_line("text", 1, 0.5, 1000));
  EXPECT_EQ(sink.sync(), "");
  fs::remove(telemetry());
  EXPECT_EQ(sink.sync(), "");
  sink.report(save_line("text", 2, 0.5, 1000));
  EXPECT_EQ(telemetry_lines().at(0).at("step"), 2);
  fs::remove(events());
  EXPECT_THROW((void)sink.sync(), UserError);
}

TEST_F(Metrics, ADiskThatIsFullForSomeTimeLosesNothing) {
  std::string expected;
  for (const bool is_full : {false, true}) {
    fs::remove(events());
    MetricSink sink(events(), telemetry());
    {
      const testing::FileSizeLimit limit(uint64_t(is_full ? 60 : 1 << 20));
      for (int64_t step = 1; step <= 5; ++step) sink.write("a", step, {{"loss", 0.5}});
      sink.report(save_line("a", 5, 0.5, 1000));
      EXPECT_EQ(sink.sync().empty(), !is_full);
      EXPECT_EQ(sink.lines_of("a").last_step, 5);
    }
    EXPECT_EQ(sink.sync(), "");
    if (!is_full) expected = read(events());
    EXPECT_EQ(read(events()), expected);
  }
}

TEST_F(Metrics, TooManyLinesThatWaitAreSaid) {
  ::setenv("PIXART_EVENT_BYTES", "100", 1);
  MetricSink sink(events());
  ::setenv("PIXART_EVENT_BYTES", "many", 1);
  EXPECT_THROW(MetricSink{events()}, UserError);
  ::unsetenv("PIXART_EVENT_BYTES");
  {
    const testing::FileSizeLimit limit(0);
    sink.write("a", 1, {{"loss", 0.5}});
    EXPECT_FALSE(sink.is_full());
    for (int64_t step = 2; step <= 5; ++step) sink.write("a", step, {{"loss", 0.5}});
    EXPECT_TRUE(sink.is_full());
  }
  EXPECT_EQ(sink.sync(), "");
  EXPECT_FALSE(sink.is_full());
}

}  // namespace
}  // namespace pixart::run

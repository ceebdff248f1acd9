#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "pixart/train/metrics.h"

namespace pixart::train {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream stream(path);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(MetricSink, RewindForgetsLaterStepsOfTheStageAndTornLines) {
  std::string pattern = (fs::temp_directory_path() / "pixart-metrics-XXXXXX").string();
  const fs::path folder = ::mkdtemp(pattern.data());
  {
    MetricSink sink(folder / "events.jsonl");
    for (int64_t step = 1; step <= 3; ++step) sink.write("a", step, {{"loss", 0.5}});
    for (int64_t step = 1; step <= 3; ++step) sink.write("b", step, {{"loss", 0.25}});
  }
  std::ofstream(folder / "events.jsonl", std::ios::app) << "{\"stage\":\"b\",\"st";
  MetricSink sink(folder / "events.jsonl");
  sink.rewind("b", 1);
  sink.write("b", 2, {{"loss", 1}});
  EXPECT_EQ(text_of(folder / "events.jsonl"),
            "{\"stage\":\"a\",\"step\":1,\"loss\":0.5}\n{\"stage\":\"a\",\"step\":2,\"loss\":0.5}\n{"
            "\"stage\":\"a\",\"step\":3,\"loss\":0.5}\n"
            "{\"stage\":\"b\",\"step\":1,\"loss\":0.25}\n{\"stage\":\"b\",\"step\":2,\"loss\":1.0}\n");
  fs::remove_all(folder);
}

}  // namespace
}  // namespace pixart::train

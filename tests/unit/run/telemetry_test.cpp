#include "pixart/run/telemetry.h"

#include <gmock/gmock.h>

namespace pixart::run {
namespace {

std::optional<double> real(const TelemetryLine& line, const std::string& name) {
  for (const auto& [key, value] : line.values)
    if (key == name) return std::get<double>(value);
  return {};
}

std::optional<int64_t> integer(const TelemetryLine& line, const std::string& name) {
  for (const auto& [key, value] : line.values)
    if (key == name) return std::get<int64_t>(value);
  return {};
}

const StageFacts kFacts{.parameters = 1000,
                        .trained_parameters = 1000,
                        .tokens_per_sample = 16,
                        .flops_per_sample = 5e9,
                        .batch_size = 8};

TEST(IntervalMeter, GivesRatesOfItsSteps) {
  IntervalMeter meter(kFacts, 100e9);
  meter.add({.seconds = 1.5, .samples = 8, .tokens = 128, .clipped = true});
  meter.add({.seconds = 0.5, .samples = 8, .tokens = 128});
  const auto line = meter.take({.stage = "text", .step = 20, .data_wait_seconds = 0.25});
  EXPECT_EQ(line.kind, "interval");
  EXPECT_EQ(line.stage, "text");
  EXPECT_EQ(line.step, 20);
  EXPECT_DOUBLE_EQ(real(line, "seconds").value(), 2);
  EXPECT_DOUBLE_EQ(real(line, "images_per_second").value(), 8);
  EXPECT_DOUBLE_EQ(real(line, "tokens_per_second").value(), 128);
  EXPECT_DOUBLE_EQ(real(line, "flops_per_second").value(), 40e9);
  EXPECT_DOUBLE_EQ(real(line, "mfu").value(), 0.4);
  EXPECT_DOUBLE_EQ(real(line, "data_wait").value(), 0.125);
  EXPECT_DOUBLE_EQ(real(line, "clip_share").value(), 0.5);
}

// Of several resolutions.
TEST(IntervalMeter, StepsMayHaveFlopsOfTheirOwn) {
  IntervalMeter meter(kFacts, 100e9);
  meter.add({.seconds = 1, .samples = 8, .tokens = 128, .flops = 100e9});
  meter.add({.seconds = 1, .samples = 8, .tokens = 32, .flops = 20e9});
  const auto line = meter.take({.stage = "text", .step = 2});
  EXPECT_DOUBLE_EQ(real(line, "flops_per_second").value(), 60e9);
  EXPECT_DOUBLE_EQ(real(line, "mfu").value(), 0.6);
}

TEST(IntervalMeter, BeginsAnewAfterEachLine) {
  IntervalMeter meter(kFacts, {});
  meter.add({.seconds = 1, .samples = 8, .tokens = 128, .clipped = true});
  meter.take({.stage = "text", .step = 1});
  meter.add({.seconds = 2, .samples = 8, .tokens = 128});
  const auto line = meter.take({.stage = "text", .step = 2});
  EXPECT_DOUBLE_EQ(real(line, "images_per_second").value(), 4);
  EXPECT_DOUBLE_EQ(real(line, "clip_share").value(), 0);
}

TEST(IntervalMeter, LeavesOutWhatIsNotKnown) {
  IntervalMeter meter({.batch_size = 8}, {});
  meter.add({.seconds = 1, .samples = 8});
  const auto line = meter.take({.stage = "autoencoder", .step = 1});
  for (const char* name : {"tokens_per_second", "flops_per_second", "mfu", "power_watts", "energy_joules"})
    EXPECT_FALSE(real(line, name)) << name;
  EXPECT_FALSE(integer(line, "quarantined"));
  const auto empty = meter.take({.stage = "autoencoder", .step = 1});
  EXPECT_FALSE(real(empty, "images_per_second")) << "no step, no rate";
  EXPECT_FALSE(real(empty, "clip_share"));
}

TEST(IntervalMeter, PassesOnWhatTheDevicesSay) {
  IntervalMeter meter(kFacts, {});
  meter.add({.seconds = 1, .samples = 8});
  const auto line = meter.take({.stage = "text",
                                .step = 1,
                                .data_wait_seconds = 5,  // of several threads; a share is at most all
                                .devices = {.memory_bytes = 1 << 20, .power_watts = 300, .energy_joules = 77},
                                .quarantined = 3});
  EXPECT_EQ(integer(line, "memory_bytes"), 1 << 20);
  EXPECT_EQ(real(line, "power_watts"), 300);
  EXPECT_EQ(real(line, "energy_joules"), 77);
  EXPECT_EQ(integer(line, "quarantined"), 3);
  EXPECT_EQ(real(line, "data_wait"), 1);
}

TEST(DeviceReading, OfTwoRanks) {
  const DeviceReading a{.memory_bytes = 5, .power_watts = 100, .energy_joules = 10};
  const DeviceReading b{.memory_bytes = 7, .power_watts = 50};
  const auto both = together(a, b);
  EXPECT_EQ(both.memory_bytes, 7u);
  EXPECT_EQ(both.power_watts, 150);
  EXPECT_FALSE(both.energy_joules) << "one rank does not know: the sum would be too small";
}

TEST(TelemetryLines, HaveTheKeysOfTheirKind) {
  const auto keys = [](const TelemetryLine& line) {
    std::vector<std::string> names;
    for (const auto& [name, value] : line.values) names.push_back(name);
    return names;
  };
  const auto start =
      start_line({.processes = 4, .device = "cpu", .devices = 4, .threads = 2, .torch = "2.11.0"});
  EXPECT_THAT(keys(start), ::testing::UnorderedElementsAre("host", "pid", "processes", "device", "devices",
                                                           "threads", "version", "torch"));
  EXPECT_FALSE(start.step);
  EXPECT_THAT(keys(stage_line("text", 0, kFacts)),
              ::testing::UnorderedElementsAre("parameters", "trained_parameters", "tokens_per_sample",
                                              "flops_per_sample", "flops_counted", "batch_size"));
  StageFacts lora = kFacts;
  lora.trained_parameters = 20;
  const auto text_of = [](const TelemetryLine& line, const std::string& name) {
    for (const auto& [key, value] : line.values)
      if (key == name) return std::get<std::string>(value);
    return std::string();
  };
  EXPECT_EQ(text_of(stage_line("text", 0, kFacts), "flops_counted"), "forward and backward");
  EXPECT_EQ(text_of(stage_line("text", 0, lora), "flops_counted"),
            "forward and backward, without gradients of frozen weights");
  EXPECT_THAT(keys(stage_line("vae", 0, {})), ::testing::Not(::testing::Contains("flops_per_sample")));
  EXPECT_EQ(integer(save_line("text", 5, 0.5, 1000), "bytes"), 1000);
  EXPECT_EQ(real(validation_line("text", 5, 0.5), "seconds"), 0.5);
  EXPECT_EQ(real(metrics_line("text", 5, 2.5, 500), "seconds"), 2.5);
  const auto back = roll_back_line("text", 10, {.bad_step = 12, .fault = "why", .number = 2, .samples = 3});
  EXPECT_EQ(back.kind, "roll_back");
  EXPECT_EQ(back.step, 10);
  EXPECT_EQ(integer(back, "bad_step"), 12);
  EXPECT_EQ(text_of(back, "fault"), "why");
  const auto stop = stop_line("text", 5, "requested", "SIGTERM");
  EXPECT_EQ(stop.step, 5);
  EXPECT_EQ(std::get<std::string>(stop.values.at(0).second), "requested");
  EXPECT_FALSE(stop_line("", {}, "error", "no stage had begun").step);
}

}  // namespace
}  // namespace pixart::run

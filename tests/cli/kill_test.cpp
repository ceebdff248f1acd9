// kill -9 at random moments, continued by the same command: the weights of the uninterrupted run, bit for
// bit.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "process.h"

namespace pixart::testing {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Step and loss of every event, which must be the same too.
std::string losses_of(const std::filesystem::path& run) {
  std::ifstream stream(run / "events.jsonl");
  return {std::istreambuf_iterator<char>(stream), {}};
}

nlohmann::json last_telemetry(const std::filesystem::path& run) {
  std::ifstream stream(run / "telemetry.jsonl");
  std::string last;
  for (std::string line; std::getline(stream, line);) last = line;
  return nlohmann::json::parse(last);
}

// The number is PIXART_KILLS.
TEST(Kill, KillsAtAnyMomentGiveTheUninterruptedRun) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  const auto start = std::chrono::steady_clock::now();
  const auto whole = run_pixart({"train", "run.yaml", "--set", "run=whole"}, folder.path());
  ASSERT_EQ(whole.code, 0) << whole.output;
  const double whole_seconds = seconds_since(start);

  const char* seed_text = std::getenv("PIXART_KILL_SEED");
  const unsigned seed = seed_text != nullptr ? unsigned(std::atoi(seed_text)) : std::random_device{}();
  SCOPED_TRACE("repeat with PIXART_KILL_SEED=" + std::to_string(seed));
  std::mt19937 random(seed);
  const char* kills_text = std::getenv("PIXART_KILLS");
  const int wanted = kills_text != nullptr ? std::atoi(kills_text) : 20;
  // A life long enough to get somewhere between kills; a run that ends before it is killed starts over.
  std::uniform_real_distribution<double> life(0.1, std::max(1.0, 0.45 * whole_seconds));
  int kills = 0, runs = 0;
  ProcessResult result;
  while (true) {
    ASSERT_LT(++runs, 4 * wanted + 10);
    Process process({"train", "run.yaml", "--set", "run=killed"}, folder.path());
    if (kills < wanted) {
      std::this_thread::sleep_for(std::chrono::duration<double>(life(random)));
      process.kill(SIGKILL);
    }
    result = process.wait();
    if (result.code == 128 + SIGKILL)
      ++kills;
    else if (kills < wanted) {
      // Finished too early: start over in a new folder.
      ASSERT_EQ(result.code, 0) << result.output;
      std::filesystem::remove_all(folder / "killed");
    } else
      break;
  }
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(kills, wanted);
  EXPECT_EQ(final_hashes(folder / "whole"), final_hashes(folder / "killed"));
  EXPECT_EQ(losses_of(folder / "whole"), losses_of(folder / "killed"));
}

TEST(Kill, StopRequestSavesAndExits75) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  Process process({"train", "run.yaml", "--set", "stages.class.steps=100000", "--set",
                   "stages.class.checkpoints.every=100000"},
                  folder.path());
  while (!std::filesystem::exists(folder / "run/checkpoints/class/step-00000000/manifest.json"))
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  process.kill(SIGTERM);
  const auto result = process.wait();
  EXPECT_EQ(result.code, 75) << result.output;
  EXPECT_NE(result.output.find("The same command continues"), std::string::npos) << result.output;
  std::vector<std::string> checkpoints;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "run/checkpoints/class"))
    checkpoints.push_back(entry.path().filename());
  ASSERT_EQ(checkpoints.size(), 2u);
  const auto last = last_telemetry(folder / "run");
  EXPECT_EQ(last.at("reason"), "requested");
  EXPECT_EQ(last.at("stage"), "class");
  EXPECT_EQ(fmt::format("step-{:08}", last.at("step").get<int64_t>()),
            *std::max_element(checkpoints.begin(), checkpoints.end()));
}

TEST(Kill, TheLastLineOfTelemetrySaysWhereItEnded) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  const std::vector<std::string> train = {"train", "run.yaml", "--stage", "autoencoder"};
  ASSERT_EQ(run_pixart(train, folder.path()).code, 0);
  for (int start = 0; start < 2; ++start) {
    const auto last = last_telemetry(folder / "run");
    EXPECT_EQ(last.at("kind"), "stop");
    EXPECT_EQ(last.at("reason"), "done");
    EXPECT_EQ(last.at("stage"), "autoencoder");
    EXPECT_EQ(last.at("step"), 8);
    ASSERT_EQ(run_pixart(train, folder.path()).code, 0) << "finished already";
  }
}

}  // namespace
}  // namespace pixart::testing

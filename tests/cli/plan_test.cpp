// plan and doctor, as a user gives them, and that every command has examples.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "process.h"

namespace pixart::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kPaper = std::string(PIXART_SOURCE_DIR) + "/configs/paper/alpha.yaml";

ProcessResult pixart(const std::vector<std::string>& arguments) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  return run_pixart(arguments, folder.path());
}

nlohmann::json json_of(const ProcessResult& result) {
  EXPECT_EQ(result.code, 0) << result.output;
  const auto begin = result.output.find('{'), end = result.output.rfind('}');  // warnings stand around it
  return nlohmann::json::parse(result.output.substr(begin, end - begin + 1));
}

// 88 + 672 + 416 + 320 + 160 V100-days, 753 A100-days in the paper.
TEST(Plan, ReproducesThePapersGpuDays) {
  const auto v100 = json_of(
      pixart({"plan", kPaper, "--gpu", "v100", "--gpus", "64", "--images-per-second", "paper", "--json"}));
  EXPECT_NEAR(v100.at("sum").at("gpu_days").get<double>(), 1656, 0.01);
  const auto a100 = json_of(pixart({"plan", kPaper, "--gpu", "a100-80", "--gpus", "64", "--images-per-second",
                                    "paper", "--price", "1.6", "--json"}));
  EXPECT_NEAR(a100.at("sum").at("gpu_days").get<double>(), 753, 0.5);
  EXPECT_NEAR(a100.at("sum").at("cost").get<double>(), 28900, 100);
  std::set<std::string> models;
  for (const auto& cost : a100.at("papers")) models.insert(cost.at("model"));
  EXPECT_EQ(models,
            (std::set<std::string>{"DALL-E 2", "Imagen", "PixArt-alpha", "RAPHAEL", "Stable Diffusion 1.5"}));
}

TEST(Plan, DrawsTheCoordinateCheck) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  const std::vector<std::string> check = {"plan",    "run.yaml", "--coord-check", "charts/widths.svg",
                                          "--seeds", "1",        "--widths",      "24,48,96,192"};
  auto standard = check, scaled = check, other = check, unknown = check;
  for (auto* arguments : {&standard, &scaled})
    arguments->insert(arguments->end(), {"--set", "stages.class.optimizer.lr=0.002"});
  scaled.insert(scaled.end(),
                {"--set", "transformer.base_width=24", "--set", "stages.text.optimizer.name=adamw"});
  const auto slope_of = [&](const std::vector<std::string>& arguments) {
    const auto result = run_pixart(arguments, folder.path());
    EXPECT_EQ(result.code, 0) << result.output;
    EXPECT_TRUE(fs::exists(folder / "charts/widths.svg"));
    std::ifstream file(folder / "charts/widths.json");
    const auto table = nlohmann::json::parse(file);
    EXPECT_EQ(table.at("widths").size(), 4u);
    for (const auto& layer : table.at("layers"))
      if (layer.at("layer") == "output") return layer.at("slope").get<double>();
    return -1.0;
  };
  EXPECT_GT(slope_of(standard), 0.4);
  EXPECT_LT(std::abs(slope_of(scaled)), 0.3);
  auto huge = check;
  other[3] = "widths.png";
  unknown.back() = "25,50";
  huge.back() = "16,4611686018427387904";
  for (const auto& [arguments, said] : {std::pair{other, "let its name end with .svg"},
                                        {unknown, "width 25 is not a multiple of 4"},
                                        {huge, "width 4611686018427387904 is not in the range 4 to 8192"}}) {
    const auto refused = run_pixart(arguments, folder.path());
    EXPECT_EQ(refused.code, 78);
    EXPECT_THAT(refused.output, HasSubstr(said));
  }
  auto wild = check;
  wild.insert(wild.end(), {"--set", "stages.class.optimizer.lr=1000"});
  const auto not_finite = run_pixart(wild, folder.path());
  EXPECT_EQ(not_finite.code, 71);
  EXPECT_THAT(not_finite.output, HasSubstr("not finite at these widths: "));
  for (const char* file : {"charts/widths.svg", "charts/widths.json"}) {
    const TemporaryFolder own;
    fs::create_directory(own / "charts");
    write_text(own / "run.yaml", tiny_run_yaml());
    write_text(own / file, "{\"widths\": 3}");
    const auto kept = run_pixart(check, own.path());
    EXPECT_EQ(kept.code, 78);
    EXPECT_THAT(kept.output, HasSubstr("so it is not replaced"));
    EXPECT_EQ(fs::file_size(own / file), 13u);
  }
}

TEST(Plan, NeedsNoDataAndWritesNothing) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml",
             replaced(tiny_run_yaml(), "type: scenes, count: 48", "type: image_folder, path: nowhere"));
  const auto result = run_pixart({"plan", "run.yaml", "--gpu", "cpu", "--classes", "12"}, folder.path());
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("text: text_conditional"), HasSubstr("largest micro-batch"),
                                   HasSubstr("RAPHAEL")));
  EXPECT_EQ(files_below(folder.path()), (std::vector<std::string>{"output.txt", "run.yaml"}));
}

TEST(Plan, WarnsOfWhatDoesNotFit) {
  const std::vector<std::string> command = {
      "plan", kPaper, "--gpu", "rtx4090", "--activation-checkpointing", "0", "--micro-batch-size", "256"};
  const auto warned = pixart(command);
  EXPECT_EQ(warned.code, 0) << warned.output;
  EXPECT_THAT(warned.output, AllOf(HasSubstr("does not fit"), HasSubstr("set micro_batch_size:")));
  auto checked = command;
  checked.push_back("--check");
  EXPECT_EQ(pixart(checked).code, 78);
  EXPECT_EQ(pixart({"plan", kPaper, "--gpu", "h200", "--micro-batch-size", "4", "--check"}).code, 0);
}

TEST(Plan, WrongArguments) {
  const auto says = [](const std::vector<std::string>& arguments) {
    const auto result = pixart(arguments);
    EXPECT_EQ(result.code, 78) << result.output;
    return result.output;
  };
  EXPECT_THAT(says({"plan", "run.yaml", "--gpu", "a100-8"}), HasSubstr("Did you mean 'a100-80'?"));
  EXPECT_THAT(says({"plan", "run.yaml", "--images-per-second", "many"}), HasSubstr("many"));
  EXPECT_THAT(says({"plan", "run.yaml", "--images-per-second", "txt=3"}), HasSubstr("Did you mean 'text'?"));
  EXPECT_THAT(says({"plan", "run.yaml", "--images-per-second", "paper"}),
              HasSubstr("the paper has no stage"));
  EXPECT_THAT(says({"plan", kPaper, "--gpu", "h100", "--images-per-second", "paper"}), HasSubstr("V100"));
  EXPECT_THAT(says({"plan", "run.yaml", "--calibrate", "absent"}), HasSubstr("telemetry.jsonl"));
  EXPECT_THAT(says({"plan", "run.yaml", "--mfu", "0.4", "--calibrate", "absent"}), HasSubstr("excludes"));
  EXPECT_THAT(says({"plan", "absent.yaml"}), HasSubstr("absent.yaml"));
}

// The names behind "Subcommands:" of a help text.
std::vector<std::string> subcommands(const std::string& help) {
  std::vector<std::string> names;
  std::istringstream stream(help.substr(std::min(help.find("Subcommands:"), help.size())));
  std::string line;
  std::getline(stream, line);
  while (std::getline(stream, line) && line.starts_with("  ")) {
    if (line[2] == ' ') continue;  // a description that goes on
    names.push_back(line.substr(2, line.find(' ', 2) - 2));
  }
  return names;
}

void expect_examples(const std::vector<std::string>& command, int& count) {
  auto arguments = command;
  arguments.push_back("--help");
  const auto result = pixart(arguments);
  const std::string words = ::testing::PrintToString(command);
  EXPECT_EQ(result.code, 0) << words;
  EXPECT_THAT(result.output, HasSubstr("Example")) << words;
  EXPECT_THAT(result.output, HasSubstr("pixart " + (command.empty() ? "" : command.front()))) << words;
  ++count;
  for (const auto& name : subcommands(result.output)) {
    auto deeper = command;
    deeper.push_back(name);
    expect_examples(deeper, count);
  }
}

TEST(Help, EveryCommandHasExamples) {
  int count = 0;
  expect_examples({}, count);
  EXPECT_GE(count, 20);
}

TEST(Doctor, Json) {
  const auto result = pixart({"doctor", "--json"});
  EXPECT_EQ(result.code, 0);
  std::set<std::string> what;
  for (const auto& entry : nlohmann::json::parse(result.output)) {
    what.insert(entry.at("what"));
    EXPECT_EQ(entry.at("is_there").get<bool>(), !entry.contains("remedy")) << entry;
  }
  for (const char* name :
       {"pixart", "LibTorch", "CPU", "memory", "disk here", "driver", "GPU", "NVML", "NCCL", "ranks"})
    EXPECT_EQ(what.count(name), 1u) << name;
}

}  // namespace
}  // namespace pixart::testing

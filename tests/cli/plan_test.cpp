// plan, explain, completion, man and doctor, as a user gives them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "process.h"

namespace pixart::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
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
  EXPECT_THAT(warned.output, AllOf(HasSubstr("will not fit"), HasSubstr("set micro_batch_size:")));
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

TEST(Explain, AKeyAlone) {
  const auto result = pixart({"explain", "micro_batch_size"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.output, AllOf(HasSubstr("stages[].micro_batch_size"), HasSubstr("gradients accumulate"),
                                   HasSubstr("--allow-change")));
}

TEST(Explain, WhereAValueComesFrom) {
  const auto file = pixart({"explain", "stages.alignment_256.batch_size", kPaper});
  EXPECT_THAT(file.output,
              AllOf(HasSubstr("stages.alignment_256.batch_size: 11392"), HasSubstr("alpha.yaml:")));
  const auto set = pixart({"explain", "stages.text.steps", "run.yaml", "--set", "stages.text.steps=31"});
  EXPECT_THAT(set.output, AllOf(HasSubstr("steps: 31"), HasSubstr("--set stages.text.steps=31")));
  const auto standard = pixart({"explain", "loader.depth", "run.yaml"});
  EXPECT_THAT(standard.output, HasSubstr("from      default"));
  const auto preset = pixart({"explain", "transformer.hidden_size", kPaper});
  EXPECT_THAT(preset.output, HasSubstr("1152, from transformer.preset: XL/2"));
  const auto every = pixart({"explain", "resolution", kPaper});
  EXPECT_THAT(every.output, AllOf(HasSubstr("aesthetics_512.resolution: 512"),
                                  HasSubstr("aesthetics_1024ms.resolution: 1024")));
}

TEST(Explain, UnknownKeys) {
  const auto result = pixart({"explain", "micro_batchsize"});
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, HasSubstr("Did you mean 'micro_batch_size'?"));
  EXPECT_EQ(pixart({"explain", "stages.txt.steps", "run.yaml"}).code, 78);
  EXPECT_EQ(pixart({"explain", "seed", "--set", "seed=1"}).code, 78);
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

// What bash offers at the end of `line`.
std::string completed(const fs::path& folder, const std::string& line) {
  write_text(folder / "ask.sh",
             "source completion.bash\ncompopt() { :; }\nread -ra COMP_WORDS <<<\"" + line + "\"\n[[ \"" +
                 line + "\" == *' ' ]] && COMP_WORDS+=('')\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n" +
                 "_pixart\necho \"${COMPREPLY[@]}\"\n");
  FILE* pipe = ::popen(("cd '" + folder.string() + "' && bash ask.sh 2>&1").c_str(), "r");
  std::string output;
  for (int c; pipe != nullptr && (c = std::fgetc(pipe)) != EOF;) output += char(c);
  EXPECT_EQ(::pclose(pipe), 0) << output;
  return output;
}

TEST(Completion, Bash) {
  const TemporaryFolder folder;
  write_text(folder / "completion.bash", pixart({"completion", "bash"}).output);
  EXPECT_THAT(completed(folder.path(), "pixart tr"), HasSubstr("train"));
  EXPECT_THAT(completed(folder.path(), "pixart data "), AllOf(HasSubstr("check"), HasSubstr("pack")));
  EXPECT_THAT(completed(folder.path(), "pixart data check --js"), HasSubstr("--json"));
  EXPECT_THAT(completed(folder.path(), "pixart train --al"), HasSubstr("--allow-change"));
  EXPECT_THAT(completed(folder.path(), "pixart train run.yaml --set loader.th"),
              HasSubstr("loader.threads="));
  EXPECT_THAT(completed(folder.path(), "pixart explain se"), HasSubstr("seed"));
  EXPECT_THAT(completed(folder.path(), "pixart train run.yaml --se"), Not(HasSubstr("seed")));
}

TEST(Completion, OtherShells) {
  EXPECT_THAT(pixart({"completion", "zsh"}).output,
              AllOf(HasSubstr("bashcompinit"), HasSubstr("complete -F")));
  EXPECT_THAT(pixart({"completion", "fish"}).output,
              AllOf(HasSubstr("complete -c pixart"), HasSubstr("-a train"),
                    HasSubstr("__fish_seen_subcommand_from data; and __fish_seen_subcommand_from check")));
  const auto unknown = pixart({"completion", "tcsh"});
  EXPECT_EQ(unknown.code, 78);
  EXPECT_THAT(unknown.output, HasSubstr("tcsh"));
}

TEST(Man, IsAPageThatManReads) {
  const auto page = pixart({"man"});
  EXPECT_EQ(page.code, 0);
  EXPECT_THAT(page.output, AllOf(HasSubstr(".TH PIXART 1"), HasSubstr(".SS pixart train"),
                                 HasSubstr(".SS pixart data check"), HasSubstr("\\-\\-json")));
  if (std::system("command -v man > /dev/null 2>&1") != 0) GTEST_SKIP() << "man is not installed";
  const TemporaryFolder folder;
  write_text(folder / "pixart.1", page.output);
  EXPECT_EQ(std::system(("cd '" + folder.path().string() +
                         "' && man --warnings -l pixart.1 > rendered.txt 2> warnings.txt")
                            .c_str()),
            0);
  std::ifstream rendered(folder / "rendered.txt"), warnings(folder / "warnings.txt");
  const std::string text(std::istreambuf_iterator<char>(rendered), {});
  EXPECT_THAT(text, AllOf(HasSubstr("pixart train"), HasSubstr("--allow-change")));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(warnings), {}), "");
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
       {"pixart", "LibTorch", "CPU", "memory", "disk here", "GPU", "NVML", "NCCL", "ranks"})
    EXPECT_EQ(what.count(name), 1u) << name;
}

}  // namespace
}  // namespace pixart::testing

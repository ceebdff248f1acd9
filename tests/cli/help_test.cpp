// What the program says about itself: help, manual, completion, keys and machine.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "process.h"

namespace pixart::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

TEST(Commands, HelpAndVersion) {
  const TemporaryFolder folder;
  const auto help = run_pixart({"--help"}, folder.path());
  EXPECT_EQ(help.code, 0);
  for (const char* word : {"train", "sample", "demo", "inspect", "doctor", "Examples", "75"})
    EXPECT_THAT(help.output, HasSubstr(word));
  for (const char* command :
       {"train", "sample", "demo", "convert", "inspect", "doctor", "config-reference"}) {
    const auto result = run_pixart({command, "--help"}, folder.path());
    EXPECT_EQ(result.code, 0) << command;
    EXPECT_THAT(result.output, HasSubstr("Example")) << command;
  }
  EXPECT_THAT(run_pixart({"--version"}, folder.path()).output, HasSubstr("pixart 0."));
}

// The manual page is made from the commands themselves, so it lists every one.
TEST(Commands, EachHasExamplesInTheManual) {
  const TemporaryFolder folder;
  const std::string manual = run_pixart({"manual"}, folder.path()).output;
  const std::string heading = ".SS pixart ";
  std::vector<std::string> sections;
  for (size_t at = manual.find(heading); at != std::string::npos;) {
    const size_t next = manual.find(heading, at + 1);
    sections.push_back(manual.substr(at, std::min(next, manual.find(".SH NOTES")) - at));
    at = next;
  }
  EXPECT_GT(sections.size(), 15);
  for (const auto& section : sections) EXPECT_THAT(section, HasSubstr("Example")) << section.substr(0, 60);
}

TEST(Commands, CompletionKnowsEveryCommandAndKey) {
  const TemporaryFolder folder;
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto script = run_pixart({"completion", shell}, folder.path());
    EXPECT_EQ(script.code, 0);
    for (const char* word : {"reparameterize", "launch", "check", "from-image"})
      EXPECT_THAT(script.output, HasSubstr(word)) << shell;
  }
  write_text(folder / "completion.bash", run_pixart({"completion", "bash"}, folder.path()).output);
  write_text(folder / "try.sh",
             "source completion.bash\nCOMP_WORDS=(pixart data ch)\nCOMP_CWORD=2\n_pixart\necho "
             "\"${COMPREPLY[@]}\" > words\n"
             "COMP_WORDS=(pixart train x.yaml --set numer)\nCOMP_CWORD=4\n_pixart\necho \"${COMPREPLY[@]}\" "
             ">> words\n");
  ASSERT_EQ(std::system(fmt::format("cd '{}' && bash try.sh", folder.path().string()).c_str()), 0);
  std::ifstream words(folder / "words");
  std::string first, second;
  std::getline(words, first);
  std::getline(words, second);
  EXPECT_THAT(first, HasSubstr("check"));
  EXPECT_THAT(second, HasSubstr("numerics"));
  EXPECT_EQ(run_pixart({"completion", "tcsh"}, folder.path()).code, 78);
}

TEST(Commands, ExplainSaysWhatAKeyIsAndWhereItsValueComesFrom) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  const auto key =
      run_pixart({"explain", "stages.text.steps", "run.yaml", "--set", "stages.text.steps=7"}, folder.path());
  EXPECT_EQ(key.code, 0) << key.output;
  for (const char* text :
       {"stages[].steps", "Optimizer steps.", "--allow-change", "stages.text.steps: 7   (--set)"})
    EXPECT_THAT(key.output, HasSubstr(text));
  const auto word = run_pixart({"explain", "seed", "run.yaml"}, folder.path());
  EXPECT_THAT(word.output, ContainsRegex("seed: 3   \\(run.yaml:[0-9]+\\)"));
  const auto section = run_pixart({"explain", "routing"}, folder.path());
  EXPECT_THAT(section.output, HasSubstr("resumed   see its keys"));
  const auto typo = run_pixart({"explain", "gradint_clip"}, folder.path());
  EXPECT_EQ(typo.code, 78);
  EXPECT_THAT(typo.output, HasSubstr("Did you mean 'gradient_clip'?"));
  for (const char* asked : {"stages[].optimizer.lerning_rate", "optimizer.lerning_rate", "lerning_rate"})
    EXPECT_THAT(run_pixart({"explain", asked}, folder.path()).output, HasSubstr("stages[].optimizer.lr"))
        << asked;
}

TEST(Commands, DoctorReports) {
  const TemporaryFolder folder;
  const auto result = run_pixart({"doctor"}, folder.path());
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.output, ContainsRegex("LibTorch +2\\.[0-9]+\\.[0-9]+"));
  EXPECT_THAT(result.output, HasSubstr("driver  "));
  if (result.output.find(" for CUDA ") != std::string::npos) {  // such a LibTorch brings NCCL, GPU or not
    EXPECT_THAT(result.output, ContainsRegex("NCCL +2\\.[0-9]+"));
  }
  EXPECT_THAT(result.output, HasSubstr("GPU"));
}

}  // namespace
}  // namespace pixart::testing

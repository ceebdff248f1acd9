// What a stage continues from: checkpoints that cannot be used, and a process that ends while images are
// drawn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "process.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string text_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void flip_last_byte(const fs::path& file) {
  std::string bytes = text_of(file);
  bytes.back() = char(bytes.back() ^ 4);
  std::ofstream(file, std::ios::binary) << bytes;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// Reading it fails with EIO, whoever reads.
void make_unreadable(const fs::path& file) {
  fs::rename(file, file.string() + ".good");
  fs::create_symlink("/proc/self/mem", file);
}
void make_readable(const fs::path& file) { fs::rename(file.string() + ".good", file); }

// A stage of 8 steps that is finished, with checkpoints of steps 6 and 8.
class FinishedStage : public ::testing::Test {
 protected:
  FinishedStage() {
    write_text(folder_ / "run.yaml", tiny_run_yaml());
    const auto result = train();
    EXPECT_EQ(result.code, 0) << result.output;
    weights_ = text_of(stage() / "step-00000008/ema.safetensors");
    events_ = text_of(folder_ / "run/events.jsonl");
  }
  ProcessResult train(std::vector<std::string> more = {}, int ranks = 1) const {
    std::vector<std::string> arguments = {"train",       "run.yaml", "--stage",
                                          "autoencoder", "--set",    "threads=1"};
    if (ranks > 1)
      arguments.insert(arguments.begin(), {"launch", "-n", std::to_string(ranks), "--timeout", "60", "--"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_pixart(arguments, folder_.path());
  }
  fs::path stage() const { return folder_ / "run/checkpoints/autoencoder"; }
  void expect_untouched(const std::vector<std::string>& names) const {
    EXPECT_EQ(names_in(stage()), names);
    EXPECT_EQ(text_of(folder_ / "run/events.jsonl"), events_);
  }
  TemporaryFolder folder_;
  std::string weights_, events_;
};

TEST_F(FinishedStage, NeverBeginsAgainByItself) {
  flip_last_byte(stage() / "step-00000006/model.safetensors");
  fs::remove(stage() / "step-00000008/state.json");
  for (const int ranks : {1, 2}) {
    const auto refused = train({}, ranks);
    EXPECT_EQ(refused.code, 74) << refused.output;
    EXPECT_THAT(refused.output,
                AllOf(HasSubstr("step-00000008: state.json is missing"), HasSubstr("step-00000006: "),
                      HasSubstr("SHA-256 differs: tensor "), HasSubstr("--restart-stage autoencoder")));
    expect_untouched({"step-00000006", "step-00000008"});
  }
  const auto unknown = train({"--restart-stage", "autoencodr"});
  EXPECT_EQ(unknown.code, 78) << unknown.output;
  EXPECT_THAT(unknown.output, AllOf(HasSubstr("class, text"), HasSubstr("Did you mean 'autoencoder'?")));
  expect_untouched({"step-00000006", "step-00000008"});

  const auto again = train({"--restart-stage", "autoencoder"});
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_THAT(names_in(stage()),
              ElementsAre(".bad-step-00000006-1", ".bad-step-00000008-1", "step-00000006", "step-00000008"));
  EXPECT_EQ(text_of(stage() / ".bad-step-00000008-1/ema.safetensors"), weights_) << "nothing is deleted";
  EXPECT_TRUE(text_of(stage() / "step-00000008/ema.safetensors") == weights_);
  EXPECT_EQ(text_of(folder_ / "run/events.jsonl"), events_);
  // A queue that starts the same command again loses nothing.
  EXPECT_EQ(train({"--restart-stage", "autoencoder"}).code, 0);
  EXPECT_EQ(names_in(stage()).size(), 4u);
}

TEST_F(FinishedStage, CheckpointsThatWereMovedAwayAreMissed) {
  fs::rename(stage(), folder_ / "elsewhere");
  const auto refused = train();
  EXPECT_EQ(refused.code, 74) << refused.output;
  EXPECT_THAT(refused.output, AllOf(HasSubstr("was trained to step 8"), HasSubstr("has no checkpoint"),
                                    HasSubstr("--restart-stage autoencoder")));
  EXPECT_EQ(text_of(folder_ / "run/events.jsonl"), events_);
  fs::remove(stage());
  fs::rename(folder_ / "elsewhere", stage());
  EXPECT_EQ(train().code, 0);
}

TEST_F(FinishedStage, WhatCannotBeReadIsNotReplacedByAnOlderOne) {
  const fs::path file = stage() / "step-00000008/manifest.json";
  make_unreadable(file);
  for (const int ranks : {1, 2}) {
    const auto refused = train({"--restart-stage", "autoencoder"}, ranks);
    EXPECT_EQ(refused.code, 74) << refused.output;
    EXPECT_THAT(refused.output, AllOf(HasSubstr("step-00000008/manifest.json"),
                                      HasSubstr("Input/output error"), Not(HasSubstr("Falling back"))));
    expect_untouched({"step-00000006", "step-00000008"});
  }
  const fs::path step = file.parent_path();
  EXPECT_EQ(run_pixart({"inspect", "--verify", step}, folder_.path()).code, 74);
  EXPECT_EQ(run_pixart({"convert", step, "out"}, folder_.path()).code, 74);
  make_readable(file);
  EXPECT_EQ(train().code, 0);
}

TEST_F(FinishedStage, ADamagedOneIsKeptWhenItsStepIsSavedAgain) {
  flip_last_byte(stage() / "step-00000008/ema.safetensors");
  const std::string damaged = text_of(stage() / "step-00000008/ema.safetensors");
  const auto result = train();
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("continues at step 6"), HasSubstr(".bad-step-00000008-1")));
  EXPECT_THAT(names_in(stage()), ElementsAre(".bad-step-00000008-1", "step-00000006", "step-00000008"));
  EXPECT_TRUE(text_of(stage() / ".bad-step-00000008-1/ema.safetensors") == damaged);
  EXPECT_TRUE(text_of(stage() / "step-00000008/ema.safetensors") == weights_);
}

TEST_F(FinishedStage, ACopyUnderALaterStepIsNotTheNewest) {
  fs::copy(stage() / "step-00000006", stage() / "step-00000020");
  const auto finished = train();
  EXPECT_EQ(finished.code, 0) << finished.output;
  EXPECT_THAT(finished.output, AllOf(HasSubstr("step-00000020 is not used: manifest.json belongs to step 6"),
                                     HasSubstr("Falling back to the one before it")));
  const auto longer =
      train({"--set", "stages.autoencoder.steps=10", "--allow-change", "stages.autoencoder.steps"});
  EXPECT_EQ(longer.code, 0) << longer.output;
  EXPECT_THAT(longer.output, HasSubstr("continues at step 8"));
  EXPECT_TRUE(fs::exists(stage() / "step-00000010"));
}

// Nobody may ever write into a pipe. SIGALRM ends a process that waits for that.
TEST_F(FinishedStage, APipeInItsFolderIsNotWaitedFor) {
  const auto train_for_a_minute = [&] {
    return Process({"train", "run.yaml", "--stage", "autoencoder", "--set", "threads=1"}, folder_.path(), -1,
                   [] { ::alarm(60); })
        .wait();
  };
  for (const char* name : {"events.jsonl", "logs/rank-0.log"}) {
    const fs::path file = folder_ / "run" / name;
    fs::rename(file, file.string() + ".good");
    ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
    const auto refused = train_for_a_minute();
    EXPECT_EQ(refused.code, 74) << refused.output;
    EXPECT_THAT(refused.output, AllOf(HasSubstr(name), HasSubstr("is not a regular file")));
    fs::rename(file.string() + ".good", file);
  }
  for (const char* name : {"step-00000006", "step-00000008"}) {
    fs::remove(stage() / name / "state.json");
    ASSERT_EQ(::mkfifo((stage() / name / "state.json").c_str(), 0600), 0);
  }
  const auto refused = train_for_a_minute();
  EXPECT_EQ(refused.code, 74) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("step-00000008: state.json is not a regular file"));
  expect_untouched({"step-00000006", "step-00000008"});
}

// A start reads a checkpoint once, and compares it meanwhile.
TEST_F(FinishedStage, DamageThatIsFoundWhileLoadingLeadsToTheOneBefore) {
  flip_last_byte(stage() / "step-00000008/ema.safetensors");
  const auto result =
      train({"--set", "stages.autoencoder.steps=10", "--allow-change", "stages.autoencoder.steps"}, 2);
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("ema.safetensors was changed since it was saved"),
                    HasSubstr("Falling back to the one before it"), HasSubstr("continues at step 6")));
  EXPECT_TRUE(fs::exists(stage() / "step-00000010"));
}

TEST_F(FinishedStage, NothingIsTakenFromADamagedOne) {
  const fs::path step = stage() / "step-00000008";
  flip_last_byte(step / "model.safetensors");
  const auto begun = train({"--set", "run=second", "--set", "stages.autoencoder.init.how=copy", "--set",
                            "stages.autoencoder.init.from=" + fs::absolute(step).string()});
  EXPECT_EQ(begun.code, 78) << begun.output;
  EXPECT_THAT(begun.output, HasSubstr("SHA-256 differs: tensor "));
}

TEST_F(FinishedStage, StrayFilesAreSaid) {
  std::ofstream(stage() / "step-00000008/optimizer.txt") << "to do";
  EXPECT_EQ(train().code, 0);
  const auto verified = run_pixart({"inspect", "--verify", stage() / "step-00000008"}, folder_.path());
  EXPECT_EQ(verified.code, 0) << verified.output;
  EXPECT_THAT(verified.output,
              AllOf(HasSubstr("optimizer.txt: manifest.json does not name it"), HasSubstr("verified: ")));
}

TEST_F(FinishedStage, FewerStepsThanWereDoneAreRefused) {
  const auto refused =
      train({"--set", "stages.autoencoder.steps=4", "--allow-change", "stages.autoencoder.steps"});
  EXPECT_EQ(refused.code, 78) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("already at step 8"));
  EXPECT_EQ(train().code, 0) << "run.yaml is as it was";
  const auto unknown = train({"--allow-change", "stages.autoencoder.step"});
  EXPECT_EQ(unknown.code, 78) << unknown.output;
  EXPECT_THAT(unknown.output, HasSubstr("Did you mean 'stages.autoencoder.steps'?"));
  const auto same = train({"--allow-change", "stages.autoencoder.steps"});
  EXPECT_EQ(same.code, 0) << same.output;
  EXPECT_THAT(same.output, HasSubstr("this key has not changed"));
}

// Images that take long and a loss on held-out samples, both at steps that are saved.
TEST(Threads, AnotherNumberIsSaid) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  const auto train = [&](const std::string& threads, const std::string& step) {
    const auto result = run_pixart({"train", "run.yaml", "--stage", "autoencoder", "--set",
                                    "threads=" + threads, "--stop-at-step", step},
                                   folder.path());
    EXPECT_EQ(result.code, 75) << result.output;
    return result.output;
  };
  const std::string said = "was made with threads: ";
  EXPECT_THAT(train("1", "2"), Not(HasSubstr(said)));
  EXPECT_THAT(train("1", "4"), Not(HasSubstr(said)));
  EXPECT_THAT(train("2", "6"), HasSubstr("step 4 " + said + "1; this process has 2"));
  EXPECT_THAT(train("2", "7"), Not(HasSubstr(said)));
}

class Drawing : public ::testing::TestWithParam<int> {
 protected:
  Drawing() {
    std::string yaml = replaced(tiny_run_yaml(), "threads: 2", "threads: 1");
    yaml = replaced(
        yaml, "  - {name: scenes, type: scenes, count: 48}",
        "  - {name: scenes, type: scenes, count: 48}\n  - {name: held_out, type: scenes, count: 8, seed: 5}");
    yaml = replaced(yaml, "samples: {num_steps: 2, prompts: [red circle]}\n    checkpoints: {every: 5}",
                    "samples: {every: 10, num_steps: 400, prompts: [red circle, blue square]}\n"
                    "    validation: {every: 10, source: held_out, samples: 6}\n"
                    "    checkpoints: {every: 10, keep_every: 10}");
    write_text(folder_ / "run.yaml", yaml);
  }
  std::vector<std::string> train(const std::string& run, const std::string& stage) const {
    std::vector<std::string> arguments = {"train", "run.yaml", "--stage", stage, "--set", "run=" + run};
    if (GetParam() > 1)
      arguments.insert(arguments.begin(),
                       {"launch", "-n", std::to_string(GetParam()), "--timeout", "60", "--"});
    return arguments;
  }
  static std::string step_name(int step) {
    char name[20];
    std::snprintf(name, sizeof name, "step-%08d", step);
    return name;
  }
  fs::path image(const std::string& run, int step) const {
    return folder_ / run / "samples/class" / (step_name(step) + ".png");
  }
  // Until `step` is saved, and then, while its images are drawn, `signal` to a process.
  ProcessResult train_until(int step, int signal) const {
    Process process(train("parts", "class"), folder_.path());
    const fs::path saved = folder_ / "parts/checkpoints/class" / step_name(step) / "manifest.json";
    while (!fs::exists(saved) && !process.has_ended())
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const auto ranks = process.children();
    if (signal == SIGKILL || ranks.size() < 2)
      process.kill(signal);
    else
      ::kill(ranks.back(), signal);  // the rank that does not draw
    return process.wait();
  }
  TemporaryFolder folder_;
};

TEST_P(Drawing, ComesAfterTheSaveAndIsMadeUpForWhenItWasCutShort) {
  for (const char* stage : {"autoencoder", "class"}) {
    const auto whole = run_pixart(train("whole", stage), folder_.path());
    ASSERT_EQ(whole.code, 0) << whole.output;
  }
  ASSERT_EQ(run_pixart(train("parts", "autoencoder"), folder_.path()).code, 0);
  // Killed, stopped, and killed after the last step.
  for (const auto& [step, signal] :
       {std::pair{10, SIGKILL}, std::pair{20, SIGTERM}, std::pair{30, SIGKILL}}) {
    const auto ended = train_until(step, signal);
    EXPECT_EQ(ended.code, signal == SIGTERM ? 75 : 128 + SIGKILL) << ended.output;
    EXPECT_FALSE(fs::exists(image("parts", step))) << step;
    EXPECT_FALSE(fs::exists(folder_ / "parts/checkpoints/class" / step_name(step + 1)));
    // The launcher's ranks end after it does.
    if (GetParam() > 1) std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  const auto last = run_pixart(train("parts", "class"), folder_.path());
  EXPECT_EQ(last.code, 0) << last.output;
  EXPECT_EQ(text_of(folder_ / "whole/events.jsonl"), text_of(folder_ / "parts/events.jsonl"));
  for (const int step : {10, 20, 30}) {
    EXPECT_TRUE(text_of(image("whole", step)) == text_of(image("parts", step))) << step;
    EXPECT_TRUE(fs::exists(image("parts", step))) << step;
  }
  const auto finished = run_pixart(train("parts", "class"), folder_.path());
  EXPECT_THAT(finished.output, HasSubstr("already finished"));
}

INSTANTIATE_TEST_SUITE_P(Ranks, Drawing, ::testing::Values(1, 2));

// A run.yaml of a program that knew one order only does not name it.
TEST(SampleOrder, IsKeptByARunWhateverTheDefaultIs) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  const auto train = [&](const std::string& run, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {
        "train",     "run.yaml", "--stage",    "autoencoder", "--set",
        "threads=1", "--set",    "run=" + run, "--set",       "stages.autoencoder.log_every=1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_pixart(arguments, folder.path());
  };
  const auto events = [&](const std::string& run) { return text_of(folder / run / "events.jsonl"); };
  const auto config = [&](const std::string& run) { return text_of(folder / run / "run.yaml"); };
  const std::string first = "sample_order: 1\n", second = "sample_order: 2\n";
  ASSERT_EQ(train("first", {"--set", "sample_order=1"}).code, 0);
  ASSERT_EQ(train("second").code, 0);
  EXPECT_THAT(config("second"), HasSubstr(second));
  EXPECT_NE(events("first"), events("second"));

  ASSERT_EQ(train("old", {"--set", "sample_order=1", "--stop-at-step", "5"}).code, 75);
  std::string text = config("old");
  ASSERT_THAT(text, HasSubstr(first));
  write_text(folder / "old/run.yaml", text.erase(text.find(first), first.size()));
  for (const std::vector<std::string>& more : {std::vector<std::string>{"--check"}, {}}) {
    auto arguments = more;
    arguments.insert(arguments.end(), {"--set", "sample_order=2", "--allow-change", "sample_order"});
    const auto refused = train("old", arguments);
    EXPECT_EQ(refused.code, 78) << refused.output;
    EXPECT_THAT(refused.output, HasSubstr("sample_order was 1, is 2 (cannot change"));
  }
  const auto continued = train("old");
  EXPECT_EQ(continued.code, 0) << continued.output;
  EXPECT_EQ(events("old"), events("first"));
  EXPECT_THAT(config("old"), HasSubstr(first));
}

}  // namespace
}  // namespace pixart::testing

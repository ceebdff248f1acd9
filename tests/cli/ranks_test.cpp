// `pixart launch -n N -- train`: the same run on every number of ranks, stopped and hanging ranks.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <thread>

#include "process.h"
#include "strangers.h"

namespace pixart::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::vector<std::string> launch(int ranks, const std::vector<std::string>& settings, double timeout = 120) {
  std::vector<std::string> all = {
      "launch", "-n", std::to_string(ranks), "--timeout", std::to_string(timeout), "--", "train", "run.yaml"};
  for (const auto& setting : settings) {
    all.push_back("--set");
    all.push_back(setting);
  }
  return all;
}

std::string text_of(const fs::path& path) {
  std::ifstream stream(path);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::string exact_yaml() { return replaced(tiny_run_yaml(), "threads: 2", "threads: 1\nnumerics: exact"); }

// Ten steps of the stages class and text, saved after 5 and 10.
std::string shortened(std::string yaml) {
  for (int stage = 0; stage < 2; ++stage) yaml = replaced(yaml, "steps: 30", "steps: 10");
  return yaml;
}

int number_from_environment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atoi(text) : otherwise;
}

TEST(Ranks, AllStagesGiveTheSameBitsOnOneTwoAndFourRanks) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", shortened(exact_yaml()));
  const auto one = run_pixart({"train", "run.yaml", "--set", "run=one"}, folder.path());
  ASSERT_EQ(one.code, 0) << one.output;
  for (const int ranks : {2, 4}) {
    const std::string run = "of" + std::to_string(ranks);
    const auto several = run_pixart(launch(ranks, {"run=" + run}), folder.path());
    ASSERT_EQ(several.code, 0) << several.output;
    EXPECT_EQ(final_hashes(folder / "one"), final_hashes(folder / run)) << ranks << " ranks";
    EXPECT_EQ(text_of(folder / "one/events.jsonl"), text_of(folder / run / "events.jsonl"));
    for (int rank = 0; rank < ranks; ++rank)
      EXPECT_TRUE(fs::exists(folder / run / "logs" / fmt::format("rank-{}.log", rank)));
  }
}

// Begun on four ranks, continued on one and ended on two, with shares of the optimizer on some of them.
TEST(Ranks, ARunContinuesOnAnotherNumberOfRanks) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", shortened(exact_yaml()));
  const auto whole = run_pixart({"train", "run.yaml", "--set", "run=whole"}, folder.path());
  ASSERT_EQ(whole.code, 0) << whole.output;
  const std::string shard = "stages.text.optimizer.shard=true",
                    shard_class = "stages.class.optimizer.shard=true";
  for (const auto& [ranks, stage] :
       {std::pair{4, "autoencoder"}, std::pair{2, "class"}, std::pair{4, "text"}}) {
    auto arguments = launch(ranks, {"run=parts", shard, shard_class});
    arguments.insert(arguments.end(), {"--stage", stage});
    const auto part = run_pixart(arguments, folder.path());
    ASSERT_EQ(part.code, 0) << part.output;
  }
  const auto last = run_pixart({"train", "run.yaml", "--set", "run=parts"}, folder.path());
  ASSERT_EQ(last.code, 0) << last.output;
  const fs::path text = folder / "parts/checkpoints/text/step-00000010";
  EXPECT_TRUE(fs::exists(text / "optimizer-00004-of-00004.safetensors"));
  EXPECT_EQ(run_pixart({"inspect", "--verify", text.string()}, folder.path()).code, 0);
  for (const char* stage : {"class", "text", "larger"}) {
    for (const char* file : {"model.safetensors", "ema.safetensors"}) {
      const auto last_of = [&](const char* run) {
        const std::string step = stage == std::string("larger") ? "step-00000006" : "step-00000010";
        return text_of(folder / run / "checkpoints" / stage / step / file);
      };
      EXPECT_TRUE(last_of("whole") == last_of("parts")) << stage << "/" << file;
    }
  }
  EXPECT_EQ(text_of(folder / "whole/events.jsonl"), text_of(folder / "parts/events.jsonl"));
}

// SIGTERM to one rank of four, at any moment: all save at one step, end with 75, and the run continues as if
// nothing had been. The number is PIXART_STOPS.
TEST(Ranks, AStoppedRunOfFourRanksContinuesBitForBit) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", shortened(exact_yaml()));
  const auto start = std::chrono::steady_clock::now();
  const auto whole = run_pixart(launch(4, {"run=whole"}), folder.path());
  ASSERT_EQ(whole.code, 0) << whole.output;
  const double whole_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  const int stops = number_from_environment("PIXART_STOPS", 4);
  const unsigned seed =
      unsigned(number_from_environment("PIXART_KILL_SEED", int(std::random_device{}() >> 1)));
  SCOPED_TRACE("repeat with PIXART_KILL_SEED=" + std::to_string(seed));
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> life(0.5, std::max(1.0, 0.6 * whole_seconds));
  int stopped = 0, runs = 0;
  for (ProcessResult result; result.code != 0 || stopped < stops;) {
    ASSERT_LT(++runs, 10 * stops + 10);
    if (result.code == 0) fs::remove_all(folder / "stopped");  // it had come to its end
    Process process(launch(4, {"run=stopped", "stages.text.optimizer.shard=true"}), folder.path());
    if (stopped < stops) {
      std::this_thread::sleep_for(std::chrono::duration<double>(life(random)));
      const auto ranks = process.children();
      if (!ranks.empty()) ::kill(ranks[random() % ranks.size()], SIGTERM);
    }
    result = process.wait();
    ASSERT_TRUE(result.code == 0 || result.code == 75) << result.code << "\n" << result.output;
    stopped += result.code == 75;
  }
  EXPECT_EQ(text_of(folder / "whole/events.jsonl"), text_of(folder / "stopped/events.jsonl"));
  for (const char* file : {"model.safetensors", "ema.safetensors"})
    EXPECT_TRUE(text_of(folder / "whole/checkpoints/larger/step-00000006" / file) ==
                text_of(folder / "stopped/checkpoints/larger/step-00000006" / file));
}

// Strangers connect to the ranks from their first moment to their last.
TEST(Ranks, StrangersChangeNoBit) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", shortened(exact_yaml()));
  const auto quiet = run_pixart(launch(2, {"run=quiet"}), folder.path());
  ASSERT_EQ(quiet.code, 0) << quiet.output;
  Process process(launch(2, {"run=visited"}), folder.path());
  const auto kinds = words_of_strangers();
  std::deque<Stranger> strangers;  // the last 200 stay
  int port = 0, met = 0;
  for (size_t i = 0; !process.has_ended(); ++i) {
    const auto ranks = process.children();
    const std::string text = ranks.empty() ? "" : variable_of(ranks[0], "MASTER_PORT");
    if (!text.empty()) port = std::stoi(text);
    if (port > 0) met += strangers.emplace_back(port, kinds[i % kinds.size()]).is_connected() ? 1 : 0;
    if (strangers.size() > 200) strangers.pop_front();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const auto visited = process.wait();
  EXPECT_EQ(visited.code, 0) << visited.output;
  EXPECT_GT(met, 0) << "no stranger came while the ranks met";
  EXPECT_EQ(text_of(folder / "quiet/events.jsonl"), text_of(folder / "visited/events.jsonl"));
  EXPECT_EQ(final_hashes(folder / "quiet"), final_hashes(folder / "visited"));
}

// A rank that stands still is named with what it did, and all are gone within the time-out and ten seconds.
TEST(Ranks, ARankThatStandsStillIsNamed) {
  constexpr double kTimeout = 8;
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  Process process(launch(4, {"stages.class.steps=100000", "threads=1"}, kTimeout), folder.path());
  while (!fs::exists(folder / "run/checkpoints/class/step-00000005/manifest.json"))
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto ranks = process.children();
  ASSERT_EQ(ranks.size(), 4);
  ::kill(ranks[2], SIGSTOP);
  const auto start = std::chrono::steady_clock::now();
  const auto result = process.wait();
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), kTimeout + 10);
  EXPECT_EQ(result.code, 76) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("rank 2 of 4 hung"), HasSubstr("Its last phase: \"")));
  for (const pid_t rank : ranks) EXPECT_NE(::kill(rank, 0), 0) << "a rank is left";
}

// One that dies does not lose what was saved.
TEST(Ranks, ARankThatDiesLosesNothingThatWasSaved) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", shortened(exact_yaml()));
  const auto whole = run_pixart({"train", "run.yaml", "--set", "run=whole"}, folder.path());
  ASSERT_EQ(whole.code, 0) << whole.output;
  Process process(launch(2, {"run=killed"}), folder.path());
  while (!fs::exists(folder / "killed/checkpoints/class/step-00000005/manifest.json"))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const auto ranks = process.children();
  if (ranks.size() == 2) ::kill(ranks[1], SIGKILL);
  const auto killed = process.wait();
  EXPECT_EQ(killed.code, 128 + SIGKILL) << killed.output;
  const auto again = run_pixart(launch(2, {"run=killed"}), folder.path());
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_EQ(final_hashes(folder / "whole"), final_hashes(folder / "killed"));
  EXPECT_EQ(text_of(folder / "whole/events.jsonl"), text_of(folder / "killed/events.jsonl"));
}

// Held-out samples, and images at every step, change no loss of the training; their own losses are the same
// on two ranks.
TEST(Ranks, WatchingChangesNothing) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml",
             replaced(shortened(exact_yaml()), "  - {name: scenes, type: scenes, count: 48}",
                      "  - {name: scenes, type: scenes, count: 48}\n"
                      "  - {name: held_out, type: scenes, count: 8, seed: 77}"));
  std::vector<std::string> watching;
  for (const char* stage : {"autoencoder", "class", "text", "larger"})
    for (const char* key :
         {"validation.every=3", "validation.source=held_out", "validation.samples=5", "samples.every=4"})
      watching.push_back(fmt::format("stages.{}.{}", stage, key));
  auto watched_on_one = launch(1, watching), watched_on_two = launch(2, watching);
  watched_on_one.insert(watched_on_one.end(), {"--set", "run=one"});
  watched_on_two.insert(watched_on_two.end(), {"--set", "run=two"});
  for (const auto& arguments : {launch(1, {"run=plain"}), watched_on_one, watched_on_two}) {
    const auto result = run_pixart(arguments, folder.path());
    ASSERT_EQ(result.code, 0) << result.output;
  }
  const std::string events = text_of(folder / "one/events.jsonl");
  EXPECT_EQ(events, text_of(folder / "two/events.jsonl"));
  std::string losses;
  int64_t held_out = 0;
  std::istringstream lines(events);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("validation_loss_ema") == std::string::npos)
      losses += line + "\n";
    else
      ++held_out;
  }
  EXPECT_EQ(losses, text_of(folder / "plain/events.jsonl"));
  EXPECT_EQ(held_out, 3 + 4 + 4 + 2);  // every third step and the last
  EXPECT_EQ(final_hashes(folder / "plain"), final_hashes(folder / "one"));
}

// Sixteen classes and captions, so that four ranks have images to draw.
std::string with_default_prompts(std::string yaml) {
  yaml =
      replaced(yaml, "samples: {num_steps: 2, prompts: [red circle]}", "samples: {num_steps: 2, every: 5}");
  return replaced(yaml, "samples: {num_steps: 2, prompts: [a red circle on a white background]}",
                  "samples: {num_steps: 2, every: 5}");
}

std::map<std::string, std::string> images_of(const fs::path& run) {
  std::map<std::string, std::string> images;
  for (const auto& entry : fs::recursive_directory_iterator(run / "samples"))
    if (entry.is_regular_file()) images[fs::relative(entry.path(), run)] = text_of(entry.path());
  return images;
}

TEST(Ranks, SampleImagesAreTheSameOnEveryNumberOfRanks) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", with_default_prompts(shortened(exact_yaml())));
  for (const int ranks : {1, 2, 4}) {
    const auto result = run_pixart(launch(ranks, {fmt::format("run=of{}", ranks)}), folder.path());
    ASSERT_EQ(result.code, 0) << result.output;
  }
  const auto one = images_of(folder / "of1");
  EXPECT_EQ(one.size(), 1 + 2 + 2 + 1);
  EXPECT_TRUE(one == images_of(folder / "of2"));
  EXPECT_TRUE(one == images_of(folder / "of4"));
}

int64_t count_in_logs(const fs::path& run, int ranks, const std::string& words) {
  int64_t count = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    const std::string log = text_of(run / "logs" / fmt::format("rank-{}.log", rank));
    for (size_t at = log.find(words); at != std::string::npos; at = log.find(words, at + 1)) ++count;
  }
  return count;
}

// What the text encoder has made is stored: a later start loads it on no rank.
TEST(Ranks, TheTextEncoderIsLoadedOnlyForNewTexts) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", shortened(tiny_run_yaml()));
  const auto train = [&](const std::string& stage, std::vector<std::string> settings) {
    auto arguments = launch(2, settings);
    arguments.insert(arguments.end(), {"--stage", stage});
    const auto result = run_pixart(arguments, folder.path());
    ASSERT_EQ(result.code, 0) << result.output;
  };
  const auto loads = [&] { return count_in_logs(folder / "run", 2, "text encoder: loaded"); };
  train("autoencoder", {});
  train("class", {});
  EXPECT_EQ(loads(), 0);
  train("text", {});
  const int64_t before = loads();
  EXPECT_GE(before, 1);
  train("larger", {});  // the same captions and prompt
  EXPECT_EQ(loads(), before);
  EXPECT_TRUE(fs::exists(folder / "run/samples/larger/step-00000006.png"));
}

TEST(Ranks, ARankThatStandsStillWhileItDrawsIsNamed) {
  constexpr double kTimeout = 8;
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", with_default_prompts(tiny_run_yaml()));
  Process process(launch(2,
                         {"threads=1", "stages.class.samples.num_steps=1000",
                          "stages.class.samples.sampler=ddim", "stages.class.samples.every=5"},
                         kTimeout),
                  folder.path());
  while (!fs::exists(folder / "run/checkpoints/class/step-00000005/manifest.json"))
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const auto ranks = process.children();
  ASSERT_EQ(ranks.size(), 2);
  ::kill(ranks[1], SIGSTOP);
  const auto start = std::chrono::steady_clock::now();
  const auto result = process.wait();
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), kTimeout + 10);
  EXPECT_EQ(result.code, 76) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("rank 1 of 2 hung"), HasSubstr("step 5: drawing samples")));
}

struct StoppedHolder {
  pid_t process = 0;
  int rank = -1;
};

bool is_locked(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool is_free = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  ::close(descriptor);
  return !is_free;
}

// Stops the process that holds the lock of a shard, as its first words say, unless it lets go meanwhile.
StoppedHolder stop_holder(const fs::path& lock) {
  StoppedHolder holder;
  int64_t count = 0;
  std::ifstream file(lock);
  if (!(file >> count >> holder.process >> holder.rank) || ::kill(holder.process, SIGSTOP) != 0) return {};
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  if (is_locked(lock)) return holder;
  ::kill(holder.process, SIGCONT);
  return {};
}

StoppedHolder stop_a_holder(const fs::path& features) {
  std::error_code error;
  for (fs::recursive_directory_iterator at(features, error), end; !error && at != end; at.increment(error))
    if (at->path().filename().string().starts_with(".lock-"))
      if (const auto holder = stop_holder(at->path()); holder.process > 0) return holder;
  return {};
}

TEST(Ranks, ARankThatHangsWithAShardIsNamed) {
  constexpr double kTimeout = 8;
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  Process process(launch(2, {"threads=1", "sources.scenes.count=20000"}, kTimeout), folder.path());
  StoppedHolder holder;
  while (holder.process == 0) {
    ASSERT_FALSE(process.has_ended()) << process.wait().output;
    holder = stop_a_holder(folder / "run/features");
  }
  const auto result = process.wait();
  EXPECT_EQ(result.code, 76) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr(fmt::format("rank {} of 2 hung", holder.rank)),
                    HasSubstr(fmt::format("rank {} (process {} on ", holder.rank, holder.process)),
                    HasSubstr("no sign of life")));
}

TEST(Ranks, ExactModeOnAWrongNumberOfRanksIsAnErrorOfTheConfig) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", exact_yaml());
  const auto result = run_pixart(launch(3, {}), folder.path());
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output, HasSubstr("needs 8 ranks or a smaller power of two, not 3"));
}

}  // namespace
}  // namespace pixart::testing

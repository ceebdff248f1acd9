// `pixart launch`: ranks that work, fail, die, hang and are asked to stop. Nobody is left, the guilty one is
// named.
#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <future>
#include <set>
#include <thread>

#include "process.h"
#include "strangers.h"

namespace pixart::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

constexpr double kTimeout = 3;  // of the ranks, seconds
constexpr double kSoon =
    150;  // far less than the time-out of a rank that nobody watches, however busy the machine

std::vector<std::string> launch(int ranks, const std::vector<std::string>& arguments) {
  const std::string program = pixart_binary().parent_path() / "pixart_rank";
  std::vector<std::string> all = {"launch", "-n", std::to_string(ranks), "--timeout", "3", "--program",
                                  program,  "--"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

std::string text_of(const fs::path& path) {
  std::ifstream stream(path);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Neither running nor stopped; one that nobody has reaped yet is gone too.
bool is_gone(const fs::path& pid_file) {
  const std::string stat = text_of("/proc/" + text_of(pid_file) + "/stat");
  const size_t name_end = stat.rfind(')');
  return name_end == std::string::npos || stat.substr(name_end + 2, 1) == "Z" ||
         stat.substr(name_end + 2, 1) == "X";
}

bool all_gone(const fs::path& folder, int ranks) {
  for (int r = 0; r < ranks; ++r)
    if (!is_gone(folder / ("pid-" + std::to_string(r)))) return false;
  return true;
}

// Waits for `condition`, at most half a minute.
template <class Condition>
bool wait_until(const Condition& condition) {
  for (int i = 0; i < 3000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

pid_t pid_of(const fs::path& folder, int rank) {
  const std::string text = text_of(folder / ("pid-" + std::to_string(rank)));
  return text.empty() ? 0 : std::stoi(text);
}

struct Timed {
  ProcessResult result;
  double seconds = 0;
};

// Seconds from what happened to the rank until the launcher has ended.
Timed run_timed(const std::vector<std::string>& arguments, const fs::path& folder) {
  Timed timed{run_pixart(arguments, folder), 0};
  const auto event = fs::last_write_time(folder / "event");
  timed.seconds = std::chrono::duration<double>(fs::file_time_type::clock::now() - event).count();
  return timed;
}

TEST(Launch, RanksWorkTogetherAndRankZeroIsShown) {
  const TemporaryFolder folder;
  for (const int ranks : {1, 3}) {
    const auto result = run_pixart(launch(ranks, {"work"}), folder.path());
    EXPECT_EQ(result.code, 0) << result.output;
    EXPECT_THAT(result.output, HasSubstr("sum 1000"));
    EXPECT_THAT(result.output, HasSubstr("rank 0 of " + std::to_string(ranks)));
    EXPECT_THAT(result.output, Not(HasSubstr("rank 1 of")));
    EXPECT_TRUE(all_gone(folder.path(), ranks));
  }
}

TEST(Launch, WarningsOfOthersAreShown) {
  const TemporaryFolder folder;
  const auto result = run_pixart(launch(2, {"warn", "1"}), folder.path());
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.output, HasSubstr("[rank 1] warn   the disk is slow"));
}

TEST(Launch, RanksGetTheVariablesOfNccl) {
  const TemporaryFolder folder;
  Process process(launch(2, {"network", "1"}), folder.path(), -1,
                  [] { ::setenv("NCCL_SOCKET_IFNAME", "eth7", 1); });
  EXPECT_THAT(process.wait().output, HasSubstr("[rank 1] warn   NCCL uses eth7"));
}

TEST(Launch, ARankThatFailsIsNamedWithItsPhase) {
  const TemporaryFolder folder;
  for (const std::string guilty : {"0", "1"}) {
    const auto [result, seconds] = run_timed(launch(3, {"exit", guilty}), folder.path());
    EXPECT_EQ(result.code, 3) << result.output;
    EXPECT_THAT(
        result.output,
        HasSubstr("rank " + guilty + " of 3 ended with exit code 3. Its last phase: \"step 5: reading\""));
    EXPECT_LT(seconds, kSoon);
    EXPECT_TRUE(all_gone(folder.path(), 3));
  }
}

TEST(Launch, ARankThatIsKilledIsNamed) {
  const TemporaryFolder folder;
  const auto [result, seconds] = run_timed(launch(3, {"kill", "2"}), folder.path());
  EXPECT_EQ(result.code, 128 + SIGKILL) << result.output;
  EXPECT_THAT(result.output,
              HasSubstr("rank 2 of 3 was killed by signal 9 (Killed). Its last phase: \"step 5: reading\""));
  EXPECT_LT(seconds, kSoon);
  EXPECT_TRUE(all_gone(folder.path(), 3));
}

void expect_a_hanging_rank_is_named(const char* how) {
  const TemporaryFolder folder;
  const auto [result, seconds] = run_timed(launch(4, {how, "2"}), folder.path());
  EXPECT_EQ(result.code, 76) << result.output;
  EXPECT_THAT(result.output, HasSubstr("rank 2 of 4 hung"));
  EXPECT_THAT(result.output,
              HasSubstr("waited in \"step 5: gradients\". Its last phase: \"step 5: reading\""));
  EXPECT_THAT(result.output, HasSubstr("of rank 2 (last seen in \"step 4: stop\""));
  EXPECT_GT(seconds, kTimeout);
  EXPECT_LT(seconds, kSoon);
  EXPECT_TRUE(all_gone(folder.path(), 4));
}

// Both at the same time: they wait most of it.
TEST(Launch, ARankThatHangsIsNamedAndKilled) {
  const auto stopped = std::async(std::launch::async, [] { expect_a_hanging_rank_is_named("stop"); });
  expect_a_hanging_rank_is_named("hang");
}

TEST(Launch, RanksThatIgnoreTheSignalEndToo) {
  const TemporaryFolder folder;
  const auto [result, seconds] = run_timed(launch(2, {"stubborn", "1"}), folder.path());
  EXPECT_EQ(result.code, 3) << result.output;
  EXPECT_LT(seconds, kSoon);
  EXPECT_TRUE(all_gone(folder.path(), 2));
}

TEST(Launch, ARequestToStopReachesAllRanks) {
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGHUP}) {
    const TemporaryFolder folder;
    Process process(launch(3, {"request"}), folder.path());
    ASSERT_TRUE(wait_until([&] { return fs::exists(folder / "step-2"); }));
    process.kill(signal);
    const auto result = process.wait();
    EXPECT_EQ(result.code, 75) << result.output;
    EXPECT_EQ(text_of(folder / "step-0"), text_of(folder / "step-1"));  // one agreed last step
    EXPECT_EQ(text_of(folder / "step-0"), text_of(folder / "step-2"));
    EXPECT_TRUE(all_gone(folder.path(), 3));
  }
}

// `pixart launch ... 2>&1 | tee log`: Ctrl-C ends tee at once.
TEST(Launch, ARequestReachesRanksWhoseOutputNobodyReads) {
  const TemporaryFolder folder;
  write_text(folder / "run.yaml", tiny_run_yaml());
  Process process(
      {"launch", "-n", "2", "--", "train", "run.yaml", "--stage", "autoencoder", "--set",
       "stages.autoencoder.steps=1000000", "--set", "stages.autoencoder.checkpoints.every=1000000"},
      folder.path(), -1, break_the_pipe);
  const fs::path checkpoints = folder / "run/checkpoints/autoencoder";
  ASSERT_TRUE(wait_until([&] { return fs::exists(checkpoints / "step-00000000/manifest.json"); }));
  process.kill(SIGINT);
  EXPECT_EQ(process.wait().code, 75);
  EXPECT_EQ(std::distance(fs::directory_iterator(checkpoints), {}), 2);
}

TEST(Launch, AClosedTerminalDoesNotKillByManySignals) {
  const TemporaryFolder folder;
  Process process(launch(2, {"request"}), folder.path());
  ASSERT_TRUE(wait_until([&] { return fs::exists(folder / "step-1"); }));
  while (!process.has_ended()) process.kill(SIGHUP);
  EXPECT_EQ(process.wait().code, 75);
}

TEST(Launch, UnderNohupAClosedTerminalIsIgnored) {
  const TemporaryFolder folder;
  Process process(launch(2, {"request"}), folder.path(), -1, [] { std::signal(SIGHUP, SIG_IGN); });
  ASSERT_TRUE(wait_until([&] { return fs::exists(folder / "step-1"); }));
  process.kill(SIGHUP);
  const int step = std::stoi(text_of(folder / "step-1"));
  ASSERT_TRUE(wait_until([&] { return std::stoi(text_of(folder / "step-1")) > step + 20; }));
  EXPECT_FALSE(process.has_ended());
  process.kill(SIGTERM);
  const auto result = process.wait();
  EXPECT_EQ(result.code, 75) << result.output;
}

TEST(Launch, ARequestToOneRankStopsAll) {
  const TemporaryFolder folder;
  Process process(launch(3, {"request"}), folder.path());
  ASSERT_TRUE(wait_until([&] { return fs::exists(folder / "step-2"); }));
  ::kill(std::stoi(text_of(folder / "pid-1")), SIGTERM);
  EXPECT_EQ(process.wait().code, 75);
  EXPECT_TRUE(all_gone(folder.path(), 3));
}

// The others have saved and ended. It does not keep the launcher for ever.
TEST(Launch, ARankThatHangsAfterARequestIsNamedAndKilled) {
  const TemporaryFolder folder;
  Process process(launch(3, {"outlast", "1"}), folder.path());
  ASSERT_TRUE(wait_until([&] { return fs::exists(folder / "step-1"); }));
  const auto begun = std::chrono::steady_clock::now();
  process.kill(SIGTERM);
  const auto result = process.wait();
  EXPECT_EQ(result.code, 76) << result.output;
  EXPECT_THAT(result.output, HasSubstr("rank 1 of 3 did not end on the request to stop"));
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(), kSoon);
  EXPECT_TRUE(all_gone(folder.path(), 3));
}

// The others are done and miss nobody.
TEST(Launch, ARankThatHangsAtTheVeryEndIsNamedAndKilled) {
  const TemporaryFolder folder;
  const auto begun = std::chrono::steady_clock::now();
  const auto result = run_pixart(launch(3, {"last", "1"}), folder.path());
  EXPECT_EQ(result.code, 76) << result.output;
  EXPECT_THAT(result.output, HasSubstr("rank 1 of 3 did not end and used no processor time"));
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(), kSoon);
  EXPECT_TRUE(all_gone(folder.path(), 3));
}

TEST(Launch, ARankThatGoesOnAfterARequestToAnotherIsAskedAgain) {
  const TemporaryFolder folder;
  Process process(launch(3, {"outlive", "1"}), folder.path());
  ASSERT_TRUE(wait_until([&] { return fs::exists(folder / "step-1"); }));
  ::kill(pid_of(folder.path(), 0), SIGTERM);
  const auto result = process.wait();
  EXPECT_EQ(result.code, 75) << result.output;
  EXPECT_TRUE(all_gone(folder.path(), 3));
}

// A rank cannot catch a signal before its libraries are loaded.
TEST(Launch, ARequestWhileRanksStartIsOneToo) {
  for (int time = 0; time < 3; ++time) {
    const TemporaryFolder folder;
    Process process(launch(3, {"request"}), folder.path());
    ASSERT_TRUE(wait_until([&] { return process.children().size() == 3; }));
    ::kill(process.children().back(), SIGTERM);
    const auto result = process.wait();
    EXPECT_EQ(result.code, 75) << result.output;
  }
}

// One rank is asked while the ranks still wait for another one, which then does not look for them in vain.
TEST(Launch, ARequestWhileRanksMeetStopsAll) {
  for (const int asked : {0, 2}) {
    const TemporaryFolder folder;
    Process process(launch(3, {"late", "1"}), folder.path());
    ASSERT_TRUE(wait_until([&] { return pid_of(folder.path(), asked) > 0 && pid_of(folder.path(), 1) > 0; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // most likely it waits by then
    const auto begun = std::chrono::steady_clock::now();
    ::kill(pid_of(folder.path(), asked), SIGTERM);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    write_text(folder / "go", "");
    const auto result = process.wait();
    EXPECT_EQ(result.code, 75) << result.output;
    EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(), kSoon);
  }
}

TEST(Launch, StrangersAreDroppedAndCountedAndDelayNobody) {
  const TemporaryFolder folder;
  Process process(launch(2, {"late", "1"}), folder.path());
  ASSERT_TRUE(wait_until([&] { return pid_of(folder.path(), 0) > 0; }));
  const pid_t first = pid_of(folder.path(), 0);
  const int port = std::stoi(variable_of(first, "MASTER_PORT"));
  const std::string token = variable_of(first, "PIXART_RUN_TOKEN");
  EXPECT_GE(token.size(), 40u);
  std::deque<Stranger> strangers;
  const auto kinds = words_of_strangers();
  for (size_t i = 0; i < 50 * kinds.size(); ++i) {
    strangers.emplace_back(port, kinds[i % kinds.size()]);
    ASSERT_TRUE(strangers.back().is_connected());
    if (i % 5 == 0) strangers.back().hang_up();
  }
  const auto begun = std::chrono::steady_clock::now();
  write_text(folder / "go", "");
  const auto result = process.wait();
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(), 8);
  EXPECT_THAT(result.output, HasSubstr("sum 1000"));
  EXPECT_THAT(result.output,
              HasSubstr("rank 0 dropped " + std::to_string(strangers.size()) + " connections of strangers"));
  EXPECT_THAT(result.output, Not(HasSubstr(token)));
  EXPECT_THAT(result.output, Not(HasSubstr("frame #")));  // no backtraces of a library
}

TEST(Launch, EachRunHasATokenOfItsOwn) {
  std::set<std::string> tokens;
  for (int run = 0; run < 2; ++run) {
    const TemporaryFolder folder;
    Process process(launch(2, {"request"}), folder.path(), -1,
                    [] { ::setenv("PIXART_RUN_TOKEN", "of somebody else's run", 1); });
    ASSERT_TRUE(wait_until([&] { return fs::exists(folder / "step-1"); }));
    const std::string token = variable_of(pid_of(folder.path(), 0), "PIXART_RUN_TOKEN");
    EXPECT_EQ(token, variable_of(pid_of(folder.path(), 1), "PIXART_RUN_TOKEN"));
    EXPECT_TRUE(tokens.insert(token).second);
    process.kill(SIGTERM);
    EXPECT_EQ(process.wait().code, 75);
  }
  EXPECT_EQ(tokens.count("of somebody else's run"), 0u);
}

TEST(Launch, AKilledLauncherLeavesNobody) {
  const TemporaryFolder folder;
  Process process(launch(3, {"request"}), folder.path());
  ASSERT_TRUE(wait_until([&] { return fs::exists(folder / "step-2"); }));
  process.kill(SIGKILL);
  process.wait();
  EXPECT_TRUE(wait_until([&] { return all_gone(folder.path(), 3); }));
}

TEST(Launch, StartsPixartItself) {
  const TemporaryFolder folder;
  const auto result =
      run_pixart({"launch", "-n", "2", "--", "train", "absent.yaml", "--set", "seed=1"}, folder.path());
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output, HasSubstr("absent.yaml"));
  // Which one comes first is open; it ends the other, which may not have said anything by then.
  EXPECT_THAT(result.output, HasSubstr("of 2 ended with exit code 78"));
}

TEST(Launch, BadCommandLines) {
  const TemporaryFolder folder;
  EXPECT_EQ(run_pixart({"launch", "--", "doctor"}, folder.path()).code, 78);
  EXPECT_EQ(run_pixart({"launch", "-n", "0", "--", "doctor"}, folder.path()).code, 78);
  const auto nothing = run_pixart({"launch", "-n", "2"}, folder.path());
  EXPECT_EQ(nothing.code, 78);
  EXPECT_THAT(nothing.output, HasSubstr("-- train run.yaml"));
  const auto absent = run_pixart({"launch", "-n", "2", "--program", "./absent"}, folder.path());
  EXPECT_EQ(absent.code, 127);
  EXPECT_THAT(absent.output, HasSubstr("cannot start ./absent: No such file"));
}

}  // namespace
}  // namespace pixart::testing

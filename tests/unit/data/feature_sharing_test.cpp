// Several processes make one feature set, on one machine or on machines that share nothing but the folder. One is
// slow, hangs, is killed or is taken over: the others do not wait for it, and the files are the same to the byte.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <map>
#include <random>
#include <thread>

#include "feature_files.h"
#include "pixart/base/env.h"
#include "pixart/base/file.h"
#include "pixart/data/feature_set.h"
#include "scratch_folder.h"

namespace {

// What this process sees of its machine.
bool has_own_locks = false;  // flock() tells nothing of other processes, as on Lustre with localflock
bool has_hard_links = true;
std::string own_host;  // "": the real one

}  // namespace

// In place of the C library's.
extern "C" int flock(int descriptor, int operation) noexcept {
  return has_own_locks ? 0 : int(::syscall(SYS_flock, descriptor, operation));
}
extern "C" int link(const char* from, const char* to) noexcept {
  if (has_hard_links) return int(::syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0));
  errno = EPERM;
  return -1;
}
extern "C" int gethostname(char* name, size_t size) noexcept {
  std::strncpy(name, own_host.empty() ? "here" : own_host.c_str(), size);
  return 0;
}

namespace pixart::data {
namespace {
namespace fs = std::filesystem;

using ::testing::Each;
using Files = std::map<std::string, std::string>;
using Compute = std::function<void(int64_t shard)>;  // takes its time

constexpr int64_t kSharedItems = 23, kSharedPerShard = 2, kSharedShards = 12;
constexpr int kProcesses = 4;
constexpr double kLease = 0.4;

void pause(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

class FeatureSharing : public testing::ScratchFolder {
 protected:
  // Shards that say which items they hold. The file "calls" gets the number of each shard that is computed.
  FeatureWork work(const std::string& folder, const Compute& compute = {}) const {
    FeatureWork result;
    result.folder = folder_ / folder;
    result.manifest = {
        .kind = "latents", .source = "here", .rows = kSharedItems, .inputs = {{"pictures", "abc"}}};
    result.items = kSharedItems, result.items_per_shard = kSharedPerShard;
    result.shared.lease_seconds = kLease;
    result.help_after_seconds = 0.3;
    result.compute_shard = [this, compute](int64_t first, int64_t last) -> ShardWriter {
      append_to_file(folder_ / "calls", std::to_string(first / kSharedPerShard) + "\n");
      if (compute) compute(first / kSharedPerShard);
      return [=](const fs::path& file) {
        write_file_atomically(file, fmt::format("items {} to {}", first, last));
      };
    };
    result.write_index = [folder = result.folder](const std::vector<fs::path>& shards) {
      std::string all;
      for (const auto& shard : shards) all += read_file(shard) + "\n";
      write_file_atomically(folder / kIndexFile, all);
      return int64_t{0};
    };
    return result;
  }
  Files files(const std::string& folder) const {
    Files result;
    for (const auto& entry : fs::directory_iterator(folder_ / folder))
      result[entry.path().filename()] = read_file(entry.path());
    return result;
  }
  Files whole() const {
    EXPECT_TRUE(make_feature_set(work("whole")));
    fs::remove(folder_ / "calls");
    return files("whole");
  }
  // How often each shard was computed.
  std::vector<int> calls() const {
    std::vector<int> counts(static_cast<size_t>(kSharedShards));
    std::ifstream file(folder_ / "calls");
    for (int64_t shard = 0; file >> shard;) ++counts[size_t(shard)];
    return counts;
  }

  // A process that makes the set; it ends with 0 if the set is complete.
  static pid_t start(const FeatureWork& own, const std::string& host, bool shares_locks) {
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    own_host = host, has_own_locks = !shares_locks;
    try {
      ::_exit(make_feature_set(own) ? 0 : 1);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s: %s\n", host.c_str(), error.what());
      ::_exit(2);
    }
  }
  static int end_of(pid_t process) {
    int status = 0;
    EXPECT_EQ(::waitpid(process, &status, 0), process);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  // Four processes, of which the first one computes with `first`, and has begun before the others start. Returns it when
  // the others have ended.
  pid_t start_four(const std::string& folder, const Compute& first, bool shares_locks) const {
    const auto host = [&](int i) { return shares_locks ? "here" : "host" + std::to_string(i); };
    const fs::path begun = folder_ / ("begun-" + folder);
    const Compute announced = [begun, first](int64_t shard) {
      write_file_atomically(begun, "");
      first(shard);
    };
    std::vector<pid_t> processes = {start(work(folder, announced), host(0), shares_locks)};
    while (!fs::exists(begun)) pause(0.001);
    for (int i = 1; i < kProcesses; ++i)
      processes.push_back(start(work(folder, [](int64_t) { pause(0.01); }), host(i), shares_locks));
    for (int i = 1; i < kProcesses; ++i) EXPECT_EQ(end_of(processes[size_t(i)]), 0);
    return processes[0];
  }
};

// It gives signs of life, and would need half a minute.
TEST_F(FeatureSharing, ASlowProcessHoldsNobodyUp) {
  const Files expected = whole();
  for (const bool shares_locks : {true, false}) {
    const std::string name = shares_locks ? "shared" : "apart";
    const double start = monotonic_seconds();
    const pid_t slow = start_four(
        name,
        [](int64_t) {
          for (int piece = 0; piece < 1500; ++piece) pause(0.02), give_sign_of_life();
        },
        shares_locks);
    EXPECT_LT(monotonic_seconds() - start, 10);
    EXPECT_EQ(end_of(slow), 0) << "it notices that the set is complete";
    EXPECT_LT(monotonic_seconds() - start, 15);
    EXPECT_EQ(files(name), expected);
    int twice = 0;
    for (const int count : calls()) {
      EXPECT_GE(count, 1);
      EXPECT_LE(count, 2) << "one process helps, not all";
      twice += count == 2 ? 1 : 0;
    }
    EXPECT_LE(twice, 1) << "only the slow one's shard";
    fs::remove(folder_ / "calls");
  }
}

// As with SIGSTOP, or on a disk that does not answer. Later it goes on.
TEST_F(FeatureSharing, AProcessThatHangsHoldsNobodyUp) {
  const Files expected = whole();
  for (const bool shares_locks : {true, false}) {
    const std::string name = shares_locks ? "shared" : "apart";
    const pid_t hung = start_four(
        name,
        [](int64_t) {
          ::raise(SIGSTOP);
          give_sign_of_life();
        },
        shares_locks);
    EXPECT_EQ(files(name), expected);
    ::kill(hung, SIGCONT);
    EXPECT_EQ(end_of(hung), 0);
    EXPECT_EQ(files(name), expected);
  }
}

TEST_F(FeatureSharing, AKilledProcessHoldsNobodyUp) {
  const Files expected = whole();
  for (const bool shares_locks : {true, false}) {
    const std::string name = shares_locks ? "shared" : "apart";
    const pid_t killed = start_four(
        name, [](int64_t) { ::raise(SIGKILL); }, shares_locks);
    EXPECT_EQ(end_of(killed), 128 + SIGKILL);
    EXPECT_EQ(files(name), expected);
  }
}

// Machines whose features differ in their last bits: the shard that was hashed is never replaced.
TEST_F(FeatureSharing, AShardThatIsThereIsNotReplaced) {
  const Files expected = whole();
  for (const bool links : {true, false}) {
    has_hard_links = links;
    const std::string name = links ? "links" : "none";
    auto other = work(name);
    other.compute_shard = [compute = other.compute_shard](int64_t first, int64_t last) -> ShardWriter {
      if (first >= 2 * kSharedPerShard) return compute(first, last);
      return [](const fs::path& file) {
        pause(3 * kLease);  // without a sign of life
        write_file_atomically(file, "of another processor");
      };
    };
    const pid_t late = start(other, "there", false);
    while (!fs::exists(folder_ / name / ".lock-00000")) pause(0.001);
    EXPECT_EQ(end_of(start(work(name), "here", false)), 0);
    EXPECT_EQ(end_of(late), 0);
    EXPECT_EQ(files(name), expected);
  }
  has_hard_links = true;
}

TEST_F(FeatureSharing, WhatADeadProcessOfAnotherMachineHeldIsTakenOver) {
  const Files expected = whole();
  for (const char* lock : {".lock", ".lock-00000", ".lock-00011", ".lock-00003-help"}) {
    const std::string name = std::string("set") + lock;
    fs::create_directories(folder_ / name);
    write(name + "/" + lock, "00000000000000000005\n4711 -1 elsewhere 0123456789abcdef\n");
    write(name + "/shard-00003.safetensors.0123456789abcdef", "not published");
    write(name + "/.tmp-shard-00004.safetensors.0123456789abcdef-0123456789abcdef", "half");
    EXPECT_TRUE(make_feature_set(work(name)));
    EXPECT_EQ(files(name), expected) << lock;
  }
}

// Each sample once and the same bits, whatever the speeds and whoever is killed or hangs for a while.
TEST_F(FeatureSharing, AnyCourseOfEventsGivesTheSameFiles) {
  const Files expected = whole();
  for (unsigned seed = 0; seed < 6; ++seed) {
    const std::string name = "set" + std::to_string(seed);
    const bool shares_locks = seed % 2 == 0;
    std::vector<pid_t> processes;
    for (unsigned i = 0; i < kProcesses; ++i) {
      const auto compute = [seed, i](int64_t shard) {
        std::mt19937 random(1000 * seed + 10 * unsigned(shard) + i);
        const unsigned event = random() % 12;
        if (i == 1 && event == 0) ::raise(SIGKILL);
        pause(event == 1 ? 3 * kLease : 0.001 * double(random() % 50));
        give_sign_of_life();
      };
      const std::string host = shares_locks ? "here" : "host" + std::to_string(i);
      processes.push_back(start(work(name, compute), host, shares_locks));
    }
    for (size_t i = 0; i < kProcesses; ++i) {
      const int end = end_of(processes[i]);
      EXPECT_TRUE(end == 0 || (i == 1 && end == 128 + SIGKILL)) << "process " << i << ": " << end;
    }
    EXPECT_EQ(files(name), expected) << "seed " << seed;
  }
}

}  // namespace
}  // namespace pixart::data

#include "pixart/data/feature_set.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <future>
#include <map>
#include <thread>

#include "feature_files.h"
#include "folder.h"
#include "many_keys.h"
#include "pixart/base/env.h"
#include "pixart/base/file.h"
#include "pixart/base/file_lock.h"
#include "pixart/formats/hash.h"

namespace pixart::data {
namespace {
namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kItems = 10, kPerShard = 3, kShards = 4;

class FeatureSet : public Folder {
 protected:
  // Shards that say which items they hold; `calls` counts how often each was written.
  FeatureWork work(const std::string& folder = "set") {
    FeatureWork result;
    result.folder = folder_ / folder;
    result.manifest = {.kind = "latents",
                       .source = "here",
                       .rows = kItems,
                       .inputs = {{"pictures", "abc"}, {"resolution", "32"}}};
    result.items = kItems, result.items_per_shard = kPerShard;
    result.compute_shard = [this](int64_t first, int64_t last) {
      ++calls_[size_t(first / kPerShard)];
      return [first, last](const fs::path& file) {
        write_file_atomically(file, fmt::format("items {} to {}", first, last));
      };
    };
    result.write_index = [folder = result.folder](const std::vector<fs::path>& shards) {
      std::string all;
      for (const auto& shard : shards) all += read_file(shard) + "\n";
      write_file_atomically(folder / kIndexFile, all);
      return int64_t{2};
    };
    return result;
  }
  std::map<std::string, std::string> files(const std::string& folder = "set") const {
    std::map<std::string, std::string> result;
    for (const auto& entry : fs::directory_iterator(folder_ / folder))
      result[entry.path().filename()] = read_file(entry.path());
    return result;
  }
  std::map<std::string, std::string> whole() {
    EXPECT_TRUE(make_feature_set(work("whole")));
    return files("whole");
  }
  std::string refused(const FeatureWork& wanted, ExitCode code = ExitCode::kBadInput) const {
    try {
      make_feature_set(wanted);
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), code);
      return error.what();
    }
    ADD_FAILURE() << "not refused";
    return "";
  }
  static std::string unreadable(const fs::path& folder) {
    try {
      shard_files(folder, read_feature_manifest(folder));
    } catch (const UserError& error) {
      return error.what();
    }
    ADD_FAILURE() << "not refused";
    return "";
  }

  std::array<std::atomic<int>, kShards> calls_ = {};
};

TEST_F(FeatureSet, HoldsShardsIndexAndManifestAndNothingElse) {
  ASSERT_TRUE(make_feature_set(work()));
  std::vector<std::string> names;
  for (const auto& [name, bytes] : files()) names.push_back(name);
  EXPECT_THAT(names,
              ElementsAre("index.safetensors", "manifest.json", "shard-00000.safetensors",
                          "shard-00001.safetensors", "shard-00002.safetensors", "shard-00003.safetensors"));
  const auto manifest = read_feature_manifest(folder_ / "set");
  EXPECT_EQ(manifest.kind, "latents");
  EXPECT_EQ(manifest.source, "here");
  EXPECT_EQ(manifest.rows, kItems);
  EXPECT_EQ(manifest.rejected, 2);
  EXPECT_EQ(manifest.inputs, work().manifest.inputs);
  ASSERT_EQ(manifest.shards.size(), kShards);
  EXPECT_EQ(manifest.shards[3].items, 1);
  EXPECT_EQ(manifest.shards[3].bytes, 13);
  EXPECT_EQ(manifest.shards[3].sha256, formats::sha256("items 9 to 10"));
  EXPECT_EQ(shard_files(folder_ / "set", manifest).back(), folder_ / "set/shard-00003.safetensors");
  EXPECT_EQ(num_missing_items(work()), 0);
}

TEST_F(FeatureSet, IsTheSameAfterAnInterruptionAnywhere) {
  const auto expected = whole();
  for (int64_t at = 0; at <= kShards; ++at) {
    const std::string name = "set" + std::to_string(at);
    for (auto& count : calls_) count = 0;
    auto broken = work(name);
    broken.compute_shard = [at, compute = broken.compute_shard](int64_t first, int64_t last) {
      if (first == at * kPerShard) throw std::runtime_error("interrupted");
      return compute(first, last);
    };
    if (at == kShards)
      broken.write_index = [](const auto&) -> int64_t { throw std::runtime_error("interrupted"); };
    EXPECT_THROW(make_feature_set(broken), std::runtime_error);
    EXPECT_FALSE(has_feature_set(folder_ / name));
    EXPECT_EQ(num_missing_items(work(name)), std::max<int64_t>(0, kItems - at * kPerShard));
    // What kill -9 leaves behind.
    const std::string shard = fmt::format("shard-{:05d}.safetensors", std::min(at, kShards - 1));
    write(name + "/.tmp-" + shard + "-0011223344556677", "half a shard");
    write(name + "/.tmp-index.safetensors-0011223344556677", "half an index");
    write(name + "/.lock-00002", "");
    ASSERT_TRUE(make_feature_set(work(name)));
    EXPECT_EQ(files(name), expected) << "interrupted at " << at;
    for (const auto& count : calls_) EXPECT_EQ(count, 1) << "finished shards are kept";
  }
}

TEST_F(FeatureSet, ARequestToStopEndsTheHashingOfShards) {
  const auto expected = whole();
  auto stopped = work();
  std::atomic<bool> is_asked = false;
  stopped.compute_shard = [&, compute = stopped.compute_shard](int64_t first, int64_t last) {
    const auto write = compute(first, last);
    return ShardWriter([&, write, last](const fs::path& file) {
      write(file);
      if (last == kItems) is_asked = true;
    });
  };
  // Two calls look whether all shards exist; the third follows a piece of a hash.
  int calls_after = 0;
  stopped.stop = [&] { return is_asked && ++calls_after > 2; };
  EXPECT_FALSE(make_feature_set(stopped));
  EXPECT_FALSE(has_feature_set(folder_ / "set"));
  EXPECT_EQ(num_missing_items(work()), 0) << "shards are kept";
  ASSERT_TRUE(make_feature_set(work()));
  EXPECT_EQ(files(), expected);
}

TEST_F(FeatureSet, AShardIsWrittenWhileTheNextOneIsComputed) {
  auto both = work();
  std::promise<void> second_begins;
  both.compute_shard = [&, compute = both.compute_shard](int64_t first, int64_t last) -> ShardWriter {
    if (first == kPerShard) second_begins.set_value();
    const auto write = compute(first, last);
    if (first != 0) return write;
    return [&, write](const fs::path& file) {
      EXPECT_EQ(second_begins.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);
      write(file);
    };
  };
  EXPECT_TRUE(make_feature_set(both));
  EXPECT_EQ(files(), whole());
}

TEST_F(FeatureSet, AnErrorInWritingEndsItWithItsCode) {
  for (int64_t at = 0; at < kShards; ++at) {
    const std::string name = "set" + std::to_string(at);
    for (auto& count : calls_) count = 0;
    auto broken = work(name);
    broken.compute_shard = [at, compute = broken.compute_shard](int64_t first, int64_t last) -> ShardWriter {
      const auto write = compute(first, last);
      if (first != at * kPerShard) return write;
      return [](const fs::path&) { throw UserError("the disk is full", ExitCode::kStorage); };
    };
    try {
      make_feature_set(broken);
      ADD_FAILURE() << "the error is lost";
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::kStorage);
    }
    EXPECT_GE(num_missing_items(work(name)), std::min(kPerShard, kItems - at * kPerShard));
    for (int64_t later = at + 2; later < kShards; ++later) EXPECT_EQ(calls_[size_t(later)], 0);
    EXPECT_TRUE(make_feature_set(work(name)));
    EXPECT_EQ(files(name), whole());
  }
}

TEST_F(FeatureSet, AKilledShardsFileIsRemovedBeforeItIsWrittenAgain) {
  auto once = work();
  once.stop = [calls = 0]() mutable { return ++calls > 1; };  // after the first shard
  write("set/.tmp-shard-00000.safetensors-0123456789abcdef", "half");
  write("set/.tmp-shard-00001.safetensors-0123456789abcdef", "half");
  EXPECT_FALSE(make_feature_set(once));
  EXPECT_FALSE(fs::exists(folder_ / "set/.tmp-shard-00000.safetensors-0123456789abcdef"));
  EXPECT_TRUE(
      fs::exists(folder_ / "set/.tmp-shard-00001.safetensors-0123456789abcdef"));  // another's, perhaps
}

TEST_F(FeatureSet, StopsBetweenShardsAndGoesOn) {
  const auto expected = whole();
  for (auto& count : calls_) count = 0;
  for (int shard = 1; shard < kShards; ++shard) {
    auto some = work();
    some.stop = [&, shard] { return calls_[size_t(shard - 1)] > 0; };
    EXPECT_FALSE(make_feature_set(some));
    EXPECT_FALSE(has_feature_set(folder_ / "set"));
    EXPECT_EQ(num_missing_items(some), kItems - shard * kPerShard);
  }
  EXPECT_TRUE(make_feature_set(work()));
  EXPECT_EQ(files(), expected);
  for (const auto& count : calls_) EXPECT_EQ(count, 1);
}

TEST_F(FeatureSet, StopsWhileAnotherMakesAShard) {
  fs::create_directories(folder_ / "set");
  const FileLock lock(folder_ / "set/.lock-00001");
  auto waiting = work();
  int asked = 0;
  waiting.stop = [&] { return ++asked > 8; };
  EXPECT_FALSE(make_feature_set(waiting));
  EXPECT_EQ(calls_[1], 0);
  EXPECT_EQ(calls_[3], 1);  // the rest is done meanwhile
}

// As a rank waits for another one that hangs with a shard, or while it completes the set.
TEST_F(FeatureSet, ASilentHolderEndsTheWaitOfARank) {
  fs::create_directories(folder_ / "set");
  auto rank = work();
  rank.shared = {.rank = 0, .patience_seconds = 0.3};
  for (const std::string lock : {".lock-00002", ".lock"}) {
    const auto held = Claim::try_take(folder_ / "set" / lock, {.rank = 1});
    ASSERT_TRUE(held);
    try {
      make_feature_set(rank);
      FAIL() << "did not end";
    } catch (const SilentHolder& silent) {
      EXPECT_EQ(silent.code(), ExitCode::kDevice);
      EXPECT_EQ(silent.rank(), 1);
      EXPECT_THAT(silent.what(), AllOf(HasSubstr(fmt::format("rank 1 (process {} on ", process_id())),
                                       HasSubstr(lock == ".lock" ? "set/index.safetensors"
                                                                 : "set/shard-00002.safetensors")));
    }
  }
  EXPECT_EQ(calls_[3], 1);  // the rest was done meanwhile
  EXPECT_TRUE(make_feature_set(rank));
}

// Neither while it computes nor while it writes.
TEST_F(FeatureSet, ASlowHolderIsWaitedFor) {
  const auto expected = whole();
  const SharedWork shared = {.rank = 0, .patience_seconds = 2};
  auto slow = work();
  slow.shared = shared;
  slow.compute_shard = [](int64_t first, int64_t last) -> ShardWriter {
    const std::string text = fmt::format("items {} to {}", first, last);
    const std::chrono::milliseconds pause(first == 0 ? 200 : 0);
    for (size_t piece = 0; piece < text.size(); ++piece) {
      std::this_thread::sleep_for(pause);
      give_sign_of_life();
    }
    return [=](const fs::path& file) {
      AtomicFile output(file);
      for (const char letter : text) {
        std::this_thread::sleep_for(pause);
        output.write({&letter, 1});
      }
      output.commit();
    };
  };
  auto other = std::async(std::launch::async, [&] { return make_feature_set(slow); });
  while (!fs::exists(folder_ / "set/.lock-00000")) std::this_thread::yield();
  auto waiting = work();
  waiting.shared = shared;
  EXPECT_TRUE(make_feature_set(waiting));
  EXPECT_TRUE(other.get());
  EXPECT_EQ(files(), expected);
}

TEST_F(FeatureSet, IsTheSameMadeByManyThreads) {
  const auto expected = whole();
  for (int round = 0; round < 20; ++round) {
    for (auto& count : calls_) count = 0;
    const std::string name = "set" + std::to_string(round);
    std::vector<std::thread> threads;
    std::atomic<int> complete = 0;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] { complete += make_feature_set(work(name)) ? 1 : 0; });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(complete, 4);
    EXPECT_EQ(files(name), expected);
    for (const auto& count : calls_) EXPECT_EQ(count, 1);
  }
}

TEST_F(FeatureSet, IsTheSameMadeByProcessesOfWhichOneIsKilled) {
  const auto expected = whole();
  for (int64_t victim = 0; victim < kShards; ++victim) {
    const std::string name = "set" + std::to_string(victim);
    std::vector<pid_t> children;
    for (int child = 0; child < 3; ++child) {
      const pid_t pid = ::fork();
      if (pid == 0) {
        auto own = work(name);
        if (child == 0)
          own.compute_shard = [=](int64_t first, int64_t last) {
            return [=](const fs::path& file) {
              if (first == victim * kPerShard) {
                std::ofstream(file.parent_path() / (".tmp-" + file.filename().string() + "-0123456789abcdef"))
                    << "half";
                ::kill(::getpid(), SIGKILL);
              }
              write_file_atomically(file, fmt::format("items {} to {}", first, last));
            };
          };
        try {
          ::_exit(make_feature_set(own) ? 0 : 1);
        } catch (...) {
          ::_exit(2);
        }
      }
      children.push_back(pid);
    }
    for (size_t child = 0; child < children.size(); ++child) {
      int status = 0;
      ASSERT_EQ(::waitpid(children[child], &status, 0), children[child]);
      const bool is_done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
      const bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
      EXPECT_TRUE(is_done || (child == 0 && was_killed)) << status;
    }
    EXPECT_EQ(files(name), expected);
  }
}

TEST_F(FeatureSet, OfACompleteSetNothingIsMadeAndLeftoversGo) {
  const auto expected = whole();
  ASSERT_TRUE(make_feature_set(work()));
  for (const char* name : {".lock", ".lock-00003", ".tmp-manifest.json-0123456789abcdef", "inputs.json"})
    write(std::string("set/") + name, "left behind by kill -9");
  auto again = work();
  again.items = 0;
  again.compute_shard = [](int64_t, int64_t) {
    ADD_FAILURE();
    return ShardWriter();
  };
  EXPECT_TRUE(make_feature_set(again));
  EXPECT_EQ(files(), expected);
}

TEST_F(FeatureSet, WhatOthersCalledSoStays) {
  ASSERT_TRUE(make_feature_set(work()));
  const std::vector<std::string> foreign = {".tmp-work", ".tmp-index.safetensors", ".lock-mine", ".locks",
                                            ".tmp-thesis.tex-0123456789abcdef"};
  for (const auto& name : foreign) write("set/" + name, "thesis");
  write("set/.tmp-folder/thesis.tex", "thesis");
  EXPECT_TRUE(make_feature_set(work()));
  for (const auto& name : foreign) EXPECT_TRUE(fs::exists(folder_ / "set" / name)) << name;
  EXPECT_TRUE(fs::exists(folder_ / "set/.tmp-folder/thesis.tex"));
}

std::string said_by(const std::function<void()>& work) {
  ::testing::internal::CaptureStderr();
  work();
  return ::testing::internal::GetCapturedStderr();
}

TEST_F(FeatureSet, FormerValuesAreAcceptedWithAWarning) {
  ASSERT_TRUE(make_feature_set(work()));  // "pictures" is "abc"
  auto now = work();
  now.manifest.inputs[0] = {.name = "pictures", .value = "sha256:new", .former = "abc"};
  const auto manifest = read_file(folder_ / "set/manifest.json");
  const auto said = said_by([&] { EXPECT_TRUE(make_feature_set(now)); });
  EXPECT_THAT(said, AllOf(HasSubstr("both ends of the files of the pictures"),
                          HasSubstr("To renew the features"), HasSubstr((folder_ / "set").string())));
  EXPECT_EQ(read_file(folder_ / "set/manifest.json"), manifest);
  now.manifest.inputs[0].former = "abd";
  EXPECT_THAT(refused(now),
              HasSubstr("pictures: the features were made with 'abc', this run has 'sha256:new'"));
  now.manifest.inputs[0].former = "";
  EXPECT_THAT(refused(now), HasSubstr("pictures"));
  EXPECT_THAT(said_by([&] { make_feature_set(work()); }), "");
}

TEST_F(FeatureSet, ARefusalGivesTheHintOfTheInput) {
  ASSERT_TRUE(make_feature_set(work()));
  auto now = work();
  now.manifest.inputs[0] = {.name = "pictures", .value = "other", .hint = "Set it back"};
  EXPECT_THAT(refused(now),
              HasSubstr("pictures: the features were made with 'abc', this run has 'other'. Set it back"));
  now.manifest.inputs[0].value = "abc";
  EXPECT_THAT(said_by([&] { EXPECT_TRUE(make_feature_set(now)); }), "");
}

TEST_F(FeatureSet, WhatBeganWithAFormerValueStaysOfIt) {
  auto begun = work();
  begun.stop = [this] { return calls_[0] > 0; };
  ASSERT_FALSE(make_feature_set(begun));
  auto now = work();
  now.manifest.inputs[0] = {.name = "pictures", .value = "sha256:new", .former = "abc"};
  ASSERT_TRUE(make_feature_set(now));
  EXPECT_EQ(calls_[0], 1);
  EXPECT_EQ(read_feature_manifest(folder_ / "set").inputs, work().manifest.inputs);
  ASSERT_TRUE(make_feature_set([&] {
    auto fresh = now;
    fresh.folder = folder_ / "fresh";
    fresh.write_index = [folder = fresh.folder](const auto&) {
      write_file_atomically(folder / kIndexFile, "index");
      return int64_t{0};
    };
    return fresh;
  }()));
  EXPECT_EQ(read_feature_manifest(folder_ / "fresh").inputs[0].value, "sha256:new");
}

TEST_F(FeatureSet, OtherInputsAreRefusedWithEveryName) {
  auto other = work();
  other.manifest.inputs = {{"resolution", "64"}, {"pictures", "abc"}, {"dtype", "float16"}};
  const auto names_all = AllOf(HasSubstr("resolution: the features were made with '32', this run has '64'"),
                               HasSubstr("dtype: the features were made with none, this run has 'float16'"),
                               HasSubstr((folder_ / "set").string()), Not(HasSubstr("pictures")));
  auto begun = work();
  begun.stop = [this] { return calls_[0] > 0; };
  ASSERT_FALSE(make_feature_set(begun));
  EXPECT_THAT(refused(other), names_all);
  auto larger = work();
  larger.items_per_shard = 4;
  EXPECT_THAT(refused(larger), HasSubstr("items_per_shard: the features were made with '3'"));
  ASSERT_TRUE(make_feature_set(work()));
  EXPECT_THAT(refused(other), names_all);
  EXPECT_NO_THROW(make_feature_set(larger));  // how a finished set was cut does not matter
  auto fewer = work();
  fewer.manifest.inputs.pop_back();
  EXPECT_THAT(refused(fewer), HasSubstr("resolution: the features were made with '32', this run has none"));
}

TEST_F(FeatureSet, DamagedInputsAreRefused) {
  for (const std::string& text : {std::string(), std::string("{"), std::string("[1, 2]"),
                                  std::string(R"({"pictures": 3})"), "{" + testing::many_keys() + "}"}) {
    write("set/inputs.json", text);
    EXPECT_THAT(refused(work(), ExitCode::kStorage),
                AllOf(HasSubstr("inputs.json"), HasSubstr("Remove the folder")))
        << text.substr(0, 20);
  }
  fs::remove(folder_ / "set/inputs.json");
  write("set/shard-00000.safetensors", "of whom?");
  EXPECT_THAT(refused(work()), HasSubstr("holds shards without inputs.json"));
}

TEST_F(FeatureSet, DamagedManifestsAreRefused) {
  ASSERT_TRUE(make_feature_set(work()));
  const std::string good = read_file(folder_ / "set/manifest.json");
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  for (const std::string& text :
       {std::string(), good.substr(0, good.size() / 2), std::string("[]"),
        changed("\"rows\"", testing::many_keys() + ", \"rows\""), changed("\"shards\"", "\"pieces\""),
        changed("\"rows\": 10", "\"rows\": \"ten\""), changed("\"rows\": 10", "\"rows\": -1"),
        changed("\"rejected\": 2", "\"rejected\": 11")}) {
    write("set/manifest.json", text);
    EXPECT_THAT(unreadable(folder_ / "set"), HasSubstr("manifest.json")) << text;
    EXPECT_THAT(refused(work(), ExitCode::kStorage), HasSubstr("manifest.json")) << text;
  }
  write("set/manifest.json", changed("\"format\": 1", "\"format\": 2"));  // of another version, not damaged
  EXPECT_THAT(refused(work()), HasSubstr("this version reads format 1"));
}

TEST_F(FeatureSet, MissingAndShortShardsAreNamedAtOnce) {
  ASSERT_TRUE(make_feature_set(work()));
  fs::remove(folder_ / "set/shard-00000.safetensors");
  fs::resize_file(folder_ / "set/shard-00002.safetensors", 3);
  EXPECT_THAT(unreadable(folder_ / "set"),
              AllOf(HasSubstr("shard-00000.safetensors: No such file"),
                    HasSubstr("shard-00002.safetensors: 3 bytes, but 12 in the manifest"),
                    Not(HasSubstr("shard-00001"))));
}

}  // namespace
}  // namespace pixart::data

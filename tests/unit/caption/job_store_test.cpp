#include "job_store.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch_folder.h"

namespace pixart::caption {
namespace {

using pixart::testing::refusal;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class JobStoreTest : public pixart::testing::ScratchFolder {
 protected:
  std::filesystem::path file() const { return folder_ / "jobs.sqlite"; }
  static Result captioned(const std::string& key) {
    return {.key = key,
            .text = "of " + key,
            .reason = {},
            .detail = {},
            .model = "m",
            .prompt_tokens = 3,
            .completion_tokens = 5,
            .attempts = 2};
  }
  static Result rejected(const std::string& key) {
    return {.key = key, .text = {}, .reason = "refusal", .detail = "no", .model = {}, .attempts = 1};
  }
  const std::map<std::string, std::string> settings_ = {{"model", "m"}, {"prompt", "what?"}};
};

TEST_F(JobStoreTest, AGroupCanShareIt) {
  const mode_t before = ::umask(0002);
  { JobStore store(file(), settings_); }
  ::umask(before);
  EXPECT_EQ(std::filesystem::status(file()).permissions() & std::filesystem::perms::group_write,
            std::filesystem::perms::group_write);
}

TEST_F(JobStoreTest, GivesBackWhatWasPut) {
  for (int round = 0; round < 2; ++round) {
    JobStore store(file(), settings_);
    if (round == 0) {
      EXPECT_FALSE(store.find("a"));
      EXPECT_FALSE(store.has_answers());
      store.put(rejected("\xE7\x8C\xAB 'b'; DROP TABLE results"));
      EXPECT_FALSE(store.has_answers());
      store.put(captioned("a"));
    }
    EXPECT_TRUE(store.has_answers());
    const auto a = store.find("a"), b = store.find("\xE7\x8C\xAB 'b'; DROP TABLE results");
    ASSERT_TRUE(a && b);
    EXPECT_EQ(a->text, "of a");
    EXPECT_EQ(a->reason, "");
    EXPECT_EQ(a->model, "m");
    EXPECT_EQ(a->prompt_tokens, 3);
    EXPECT_EQ(a->completion_tokens, 5);
    EXPECT_EQ(a->attempts, 2);
    EXPECT_EQ(b->reason, "refusal");
    EXPECT_EQ(b->detail, "no");
    EXPECT_FALSE(store.find("A"));
  }
}

TEST_F(JobStoreTest, RejectedOnesCanBeForgottenAndReplaced) {
  JobStore store(file(), settings_);
  store.put(rejected("a"));
  store.put(captioned("b"));
  store.forget_rejected();
  EXPECT_FALSE(store.find("a"));
  store.put(captioned("a"));
  EXPECT_EQ(store.find("a")->text, "of a");
  EXPECT_TRUE(store.find("b"));
}

TEST_F(JobStoreTest, AResultIsAnsweredOrRejectedOrBoth) {
  JobStore store(file(), settings_);
  EXPECT_THROW(store.put({.key = "a", .text = {}, .reason = {}, .detail = {}, .model = {}}), InternalError);
  auto both = captioned("a");
  both.reason = "refusal";
  store.put(both);  // a judge keeps what came
  EXPECT_EQ(store.find("a")->text, "of a");
  EXPECT_FALSE(store.has_answers());
}

TEST_F(JobStoreTest, OtherSettingsAreRefusedWithEachDifference) {
  JobStore(file(), settings_).put(captioned("a"));
  const auto text = refusal([&] { JobStore(file(), {{"model", "n"}, {"prompt", "how?"}}); });
  EXPECT_THAT(text, AllOf(HasSubstr("jobs.sqlite"), HasSubstr("model was 'm' and is 'n' now"),
                          HasSubstr("prompt was 'what?' and is 'how?' now"), HasSubstr("--out")));
  // A refused opening changes nothing.
  EXPECT_TRUE(JobStore(file(), settings_).find("a"));
}

TEST_F(JobStoreTest, SomeSettingsMayChange) {
  JobStore(file(), settings_).put(captioned("a"));
  const std::map<std::string, std::string> changed = {{"model", "n"}, {"prompt", "what?"}};
  EXPECT_TRUE(JobStore(file(), changed, {"model"}).find("a"));
  EXPECT_TRUE(JobStore(file(), changed).find("a"));  // and are kept
  EXPECT_THAT(refusal([&] { JobStore(file(), settings_); }), HasSubstr("model was 'n'"));
}

TEST_F(JobStoreTest, OtherFilesAreRefused) {
  write("jobs.sqlite", std::string(5000, 'x'));
  EXPECT_THAT(refusal([&] { JobStore(file(), settings_); }),
              AllOf(HasSubstr("not a database"), HasSubstr("--out")));
  try {
    JobStore(folder_ / "none/jobs.sqlite", settings_);
    ADD_FAILURE() << "not refused";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kStorage);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("none/jobs.sqlite"), Not(HasSubstr("out of memory"))));
  }
}

// A process that dies in the moment after put() returns.
TEST_F(JobStoreTest, ADatabaseOfAnotherProgramIsNotChanged) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file().c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "CREATE TABLE jobs (title TEXT)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  const std::string before = read(file());
  EXPECT_THAT(refusal([&] { JobStore(file(), settings_); }),
              AllOf(HasSubstr("a database of another program"), HasSubstr("jobs")));
  EXPECT_EQ(read(file()), before);
}

TEST_F(JobStoreTest, WhatWasPutSurvivesAKill) {
  constexpr int kResults = 50;
  for (int i = 0; i < kResults; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      JobStore store(file(), settings_);
      store.put(captioned(std::to_string(i)));
      ::raise(SIGKILL);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
  }
  JobStore store(file(), settings_);
  for (int i = 0; i < kResults; ++i) EXPECT_TRUE(store.find(std::to_string(i))) << i;
}

}  // namespace
}  // namespace pixart::caption

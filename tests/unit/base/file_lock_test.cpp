#include "pixart/base/file_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "scratch_folder.h"
#include "time_limit.h"

namespace {

// Files whose path contains it are on a file system without locks.
std::string without_locks;
int error_without_locks = 0;

std::string path_of(int descriptor) {
  char path[4096] = {};
  const auto link = "/proc/self/fd/" + std::to_string(descriptor);
  return ::readlink(link.c_str(), path, sizeof path - 1) > 0 ? path : "";
}

}  // namespace

// In place of the C library's.
extern "C" int flock(int descriptor, int operation) noexcept {
  if (error_without_locks != 0 && path_of(descriptor).find(without_locks) != std::string::npos) {
    errno = error_without_locks;
    return -1;
  }
  return int(::syscall(SYS_flock, descriptor, operation));
}

namespace pixart {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(FileLock, IsHeldByOneAtATime) {
  const auto path = std::filesystem::path(::testing::TempDir()) / fmt::format("pixart_lock_{}", process_id());
  {
    auto held = FileLock::try_lock(path);
    ASSERT_TRUE(held.has_value());
    EXPECT_FALSE(FileLock::try_lock(path).has_value());
    const FileLock moved = std::move(*held);
    held.reset();
    EXPECT_FALSE(FileLock::try_lock(path).has_value());
  }
  const FileLock again(path);
  std::filesystem::remove(path);
}

TEST(FileLock, APipeIsNoPlaceForALock) {
  const testing::TimeLimit limit(20);
  const auto path = std::filesystem::path(::testing::TempDir()) / fmt::format("pixart_lock_{}", process_id());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  bool is_new = false;
  for (const auto& lock : {std::function<void()>([&] { FileLock taken(path); }),
                           {[&] { FileLock::try_lock(path); }},
                           {[&] { FileLock::try_claim(path, is_new); }}})
    EXPECT_THAT(testing::refusal(lock), HasSubstr("it is not a regular file"));
  std::filesystem::remove(path);
}

TEST(FileLock, AFolderIsLockedWithoutAFile) {
  const auto path =
      std::filesystem::path(::testing::TempDir()) / fmt::format("pixart_folder_{}", process_id());
  std::filesystem::create_directory(path);
  {
    const FileLock held(path);
    EXPECT_FALSE(FileLock::try_lock(path).has_value());
    EXPECT_TRUE(std::filesystem::is_empty(path));
  }
  EXPECT_TRUE(FileLock::try_lock(path).has_value());
  std::filesystem::remove(path);
}

TEST(FileLock, AClaimIsNewForOneAndNeverHeldOnADeletedFile) {
  const auto path =
      std::filesystem::path(::testing::TempDir()) / fmt::format("pixart_claim_{}", process_id());
  bool is_new = false;
  auto held = FileLock::try_claim(path, is_new);
  ASSERT_TRUE(held.has_value());
  EXPECT_TRUE(is_new);
  EXPECT_FALSE(FileLock::try_claim(path, is_new).has_value());
  EXPECT_FALSE(is_new);
  std::filesystem::remove(path);  // as its holder does at the end
  EXPECT_TRUE(FileLock::try_claim(path, is_new).has_value()) << "the next one makes a new file";
  EXPECT_TRUE(is_new);
  held.reset();
  EXPECT_TRUE(FileLock::try_claim(path, is_new).has_value()) << "left by a process that was killed";
  EXPECT_FALSE(is_new);
  std::filesystem::remove(path);
}

TEST(FileLock, IsSeenWithoutBeingTaken) {
  if (!std::filesystem::exists("/proc/locks")) GTEST_SKIP() << "this system does not list its locks";
  const auto path = std::filesystem::path(::testing::TempDir()) / fmt::format("pixart_seen_{}", process_id());
  EXPECT_FALSE(is_locked_by(path, process_id()));
  {
    const FileLock held(path);
    EXPECT_TRUE(is_locked_by(path, process_id()));
    EXPECT_FALSE(is_locked_by(path, process_id() + 1));
  }
  EXPECT_FALSE(is_locked_by(path, process_id()));
  EXPECT_TRUE(FileLock::try_lock(path).has_value());
  std::filesystem::remove(path);
}

TEST(FileLock, WaitingForItEndsOnARequestToStop) {
  const auto path = std::filesystem::path(::testing::TempDir()) / fmt::format("pixart_wait_{}", process_id());
  const FileLock held(path);
  const auto wait = [&] {
    catch_stop_signals();
    ::alarm(10);  // ends a wait that does not end
    std::raise(SIGTERM);
    try {
      const FileLock again(path);
    } catch (const UserError& error) {
      std::_Exit(std::string(error.what()).find(path.string()) != std::string::npos ? int(error.code()) : 1);
    }
    std::_Exit(2);
  };
  EXPECT_EXIT(wait(), ::testing::ExitedWithCode(75), "");
  std::filesystem::remove(path);
}

class WithoutLocks : public testing::ScratchFolder {
 protected:
  WithoutLocks() {
    ::setenv("PIXART_LOCK_FOLDER", (folder_ / "locks").c_str(), 1);
    without_locks = (folder_ / "run").string();
    std::filesystem::create_directories(without_locks);
  }
  ~WithoutLocks() override {
    error_without_locks = 0;
    ::unsetenv("PIXART_LOCK_FOLDER");
  }
};

TEST_F(WithoutLocks, AnotherFolderKeepsTheProcessesApart) {
  for (const int error : {ENOLCK, ENOSYS, EOPNOTSUPP}) {
    error_without_locks = error;
    const auto path = folder_ / "run/.lock", other = folder_ / "run/.other";
    {
      const auto held = FileLock::try_lock(path);
      ASSERT_TRUE(held.has_value()) << error;
      EXPECT_FALSE(FileLock::try_lock(folder_ / "run/../run/.lock").has_value()) << "the same file";
      EXPECT_TRUE(FileLock::try_lock(other).has_value());
      EXPECT_TRUE(is_locked_by(path, process_id()));
      EXPECT_FALSE(is_locked_by(other, process_id()));
    }
    EXPECT_TRUE(FileLock::try_lock(path).has_value());
  }
}

// Signs of life do the rest.
TEST_F(WithoutLocks, AClaimGivesNoWarning) {
  error_without_locks = ENOLCK;
  bool is_new = false;
  ::testing::internal::CaptureStderr();
  const auto held = FileLock::try_claim(folder_ / "run/.claim", is_new);
  EXPECT_TRUE(held.has_value());
  EXPECT_FALSE(FileLock::try_claim(folder_ / "run/.claim", is_new).has_value());
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST_F(WithoutLocks, WhereThatFolderHasNoneEitherTheRemedyIsSaid) {
  error_without_locks = ENOLCK;
  without_locks = folder_.string();
  try {
    FileLock::try_lock(folder_ / "run/.lock");
    FAIL() << "not refused";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kStorage);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("No locks available"), HasSubstr("PIXART_LOCK_FOLDER")));
  }
}

TEST_F(WithoutLocks, OtherErrorsStayErrors) {
  error_without_locks = EIO;
  EXPECT_THROW(FileLock::try_lock(folder_ / "run/.lock"), UserError);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "locks"));
}

// There a file that is being written cannot be told from a leftover.
TEST_F(WithoutLocks, TemporaryFilesAreLeft) {
  error_without_locks = ENOLCK;
  const auto leftover = folder_ / "run/.tmp-report.html-0123456789abcdef";
  write("run/.tmp-report.html-0123456789abcdef", "half");
  write_file_atomically(folder_ / "run/report.html", "whole");
  EXPECT_EQ(read(folder_ / "run/report.html"), "whole");
  EXPECT_TRUE(std::filesystem::exists(leftover));
}

// Nobody can put a link in the place of a lock that all users share.
TEST_F(WithoutLocks, ALinkIsNotFollowed) {
  error_without_locks = ENOSYS;
  { const auto lock = FileLock::try_lock(folder_ / "run/.lock"); }
  const auto file = std::filesystem::directory_iterator(folder_ / "locks")->path();
  std::filesystem::remove(file);
  std::filesystem::create_symlink(folder_ / "target", file);
  EXPECT_THROW(FileLock::try_lock(folder_ / "run/.lock"), UserError);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "target"));
}

TEST(FileLock, MissingFolderIsNamed) {
  try {
    FileLock::try_lock("/nowhere/at/all");
    FAIL() << "not refused";
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("/nowhere/at/all"), std::string::npos);
    EXPECT_EQ(error.code(), ExitCode::kStorage);
  }
}

}  // namespace
}  // namespace pixart

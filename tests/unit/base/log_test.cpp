#include "pixart/base/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>

#include "file_size_limit.h"
#include "log_file.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "scratch_folder.h"
#include "time_limit.h"

namespace pixart {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

std::string stderr_of(const std::function<void()>& work) {
  ::testing::internal::CaptureStderr();
  work();
  return ::testing::internal::GetCapturedStderr();
}

TEST(Log, LevelsArePadded) {
  EXPECT_EQ(stderr_of([] { log::info("{} images", 3); }), "info   3 images\n");
  EXPECT_EQ(stderr_of([] { log::warning("w"); }), "warn   w\n");
  EXPECT_EQ(stderr_of([] { log::error("e"); }), "error  e\n");
  EXPECT_EQ(stderr_of([] { log::debug("d"); }), "");
}

TEST(Log, LevelIsSettable) {
  log::set_level(log::Level::kError);
  EXPECT_EQ(stderr_of([] { log::warning("w"); }), "");
  log::set_level(log::Level::kDebug);
  EXPECT_EQ(stderr_of([] { log::debug("d"); }), "debug  d\n");
  log::set_level(log::Level::kInfo);
}

TEST(Log, ControlCharactersAreEscaped) {
  EXPECT_EQ(stderr_of([] { log::info("{}", std::string("a\033[2Jb\rc\tä\n", 12)); }),
            "info   a\\x1b[2Jb\\x0dc\tä\n\n");
}

TEST(Log, NoTextCanForgeALine) {
  EXPECT_EQ(stderr_of([] { log::error("cannot read {}: no.", "a\nerror  forged\u2028x\u202e"); }),
            "error  cannot read a\n       error  forged\\u2028x\\u202e: no.\n");
  EXPECT_EQ(stderr_of([] { log::error("run.yaml: 2 problems\n  - one\n  - two"); }),
            "error  run.yaml: 2 problems\n  - one\n  - two\n");
}

TEST(Log, FileIsAppendedToAtEachLine) {
  const auto path = std::filesystem::path(::testing::TempDir()) /
                    ("pixart_log_test_" + std::to_string(process_id())) / "rank-0.log";
  std::filesystem::remove_all(path.parent_path());
  stderr_of([&] {
    log::add_file(path);
    log::warning("{{braces}} are text, {}", "kept");
  });
  const std::string text = read_file(path);
  EXPECT_THAT(text, ContainsRegex("^[0-9]+-[0-9]+-[0-9]+T[0-9:.]+Z warning [{]braces[}] are text, kept\n$"));
  stderr_of([&] {
    log::add_file(path);
    log::info("second");
  });
  EXPECT_THAT(read_file(path), HasSubstr("kept\n"));
  EXPECT_THAT(read_file(path), HasSubstr("second\n"));
  std::filesystem::remove_all(path.parent_path());
}

TEST(Log, AFullDiskIsSaidOnce) {
  const std::string shown = stderr_of([] {
    log::add_file("/dev/full");
    for (int line = 0; line < 3; ++line) log::info("line {}", line);
  });
  EXPECT_THAT(shown, ContainsRegex("^warn   the log file /dev/full cannot be written: .*No space left"
                                   "[^\n]*\ninfo   line 0\ninfo   line 1\ninfo   line 2\n$|"
                                   "^info   line 0\nwarn   the log file /dev/full cannot be written: "
                                   "[^\n]*\ninfo   line 1\ninfo   line 2\n$"));
}

class LogFileTest : public testing::ScratchFolder {};

TEST_F(LogFileTest, LinesThatMustWaitAreWrittenInOrder) {
  const auto path = folder_ / "rank-0.log";
  LogFile file(path);
  std::string expected;
  const auto add = [&](int number) {
    expected += fmt::format("line {}\n", number);
    return file.write(fmt::format("line {}\n", number));
  };
  EXPECT_EQ(add(0), "");
  {
    const testing::FileSizeLimit limit(10);  // in the middle of a line
    for (int number = 1; number < 4; ++number) EXPECT_NE(add(number), "");
  }
  EXPECT_EQ(add(4), "");
  EXPECT_EQ(read(path), expected);
}

TEST_F(LogFileTest, OfTooManyTheOldestAreCounted) {
  const auto path = folder_ / "rank-0.log";
  LogFile file(path, 200);
  {
    const testing::FileSizeLimit limit(3);
    for (int number = 0; number < 100; ++number) file.write(fmt::format("line {:03}\n", number));
  }
  file.write("last\n");
  const std::string text = read(path);
  EXPECT_LT(text.size(), 400u);
  EXPECT_TRUE(text.starts_with("line 000\n(")) << text;
  EXPECT_THAT(text, AllOf(HasSubstr("lines could not be written)\n"), HasSubstr("\nline 099\nlast\n")));
  const int64_t lost = std::stoll(text.substr(text.find('(') + 1));
  EXPECT_EQ(lost + std::count(text.begin(), text.end(), '\n'), 100 + 2) << text;
}

TEST_F(LogFileTest, APipeIsRefusedAtOnce) {
  const testing::TimeLimit limit(20);
  const auto path = folder_ / "rank-0.log";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(testing::refusal([&] { LogFile file(path); }), HasSubstr("it is not a regular file"));
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  EXPECT_THAT(testing::refusal([&] { LogFile file(path); }), HasSubstr("it is not a regular file"));
  ::close(reader);
}

TEST(Log, AQuietTerminalLeavesTheFileAlone) {
  const auto path = std::filesystem::path(::testing::TempDir()) /
                    ("pixart_log_test_" + std::to_string(process_id())) / "rank-1.log";
  const std::string shown = stderr_of([&] {
    log::add_file(path);
    log::set_terminal_level(log::Level::kWarning);
    log::info("for the file");
    log::warning("for both");
    log::set_terminal_level(log::Level::kDebug);
  });
  EXPECT_THAT(shown, AllOf(HasSubstr("for both"), Not(HasSubstr("for the file"))));
  EXPECT_THAT(read_file(path), AllOf(HasSubstr("for both"), HasSubstr("for the file")));
  std::filesystem::remove_all(path.parent_path());
}

TEST(Log, UnwritableFileIsAUserError) {
  try {
    log::add_file("/proc/pixart/rank-0.log");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kStorage);
    EXPECT_THAT(error.what(), HasSubstr("/proc/pixart"));
  }
}

}  // namespace
}  // namespace pixart

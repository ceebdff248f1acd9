#include "pixart/base/progress.h"

#include <gmock/gmock.h>
#include <pty.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <string>

#include "pixart/base/log.h"

namespace pixart {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string progress_of(const std::function<void()>& work) {
  ::testing::internal::CaptureStderr();
  work();
  return ::testing::internal::GetCapturedStderr();
}

// What `work` writes to stderr when that is a terminal.
std::string terminal_of(const std::function<void()>& work) {
  int reader = -1, terminal = -1;
  EXPECT_EQ(::openpty(&reader, &terminal, nullptr, nullptr, nullptr), 0);
  const int saved = ::dup(STDERR_FILENO);
  ::dup2(terminal, STDERR_FILENO);
  work();
  ::dup2(saved, STDERR_FILENO);
  ::close(saved);
  ::close(terminal);  // from here on the reader gets what was written, then an error
  std::string text;
  char buffer[4096];
  for (ssize_t count; (count = ::read(reader, buffer, sizeof buffer)) > 0;)
    text.append(buffer, size_t(count));
  ::close(reader);
  return text;
}

TEST(Progress, OneLinePerTenthWithoutTerminal) {
  const std::string text = progress_of([] {
    Progress progress("encode images", 1000, "image");
    for (int i = 1; i <= 1000; ++i) progress.update(i, i == 1000 ? "done" : "");
  });
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 10);
  EXPECT_THAT(text, StartsWith("encode images:  10 %  100/1000 images  "));
  EXPECT_THAT(text, HasSubstr("100 %  1000/1000 images"));
  EXPECT_THAT(text, HasSubstr("  done\n"));
  EXPECT_THAT(text, Not(HasSubstr("\033")));
}

// A stage of weeks is not silent for days.
TEST(Progress, ALineAfterSoManySecondsToo) {
  const auto lines = [](double line_seconds) {
    const std::string text = progress_of([&] {
      Progress progress("train", 1000000, "step", 0, line_seconds);
      for (int i = 1; i <= 3; ++i) {
        ::usleep(60000);
        progress.update(i, i == 1 ? "loss 0.5" : "");
        progress.update(i);  // at once: nothing to say
      }
    });
    EXPECT_THAT(text, HasSubstr("3/1000000 steps"));
    EXPECT_THAT(text, HasSubstr("loss 0.5")) << "the last note stays";
    return std::count(text.begin(), text.end(), '\n');
  };
  EXPECT_EQ(lines(0.05), 4);  // and that of the end
  EXPECT_EQ(lines(60), 1);
}

TEST(Progress, NothingDoneWritesNothing) {
  EXPECT_EQ(progress_of([] { Progress progress("x", 0, "unit"); }), "");
  EXPECT_EQ(progress_of([] { Progress progress("x", 10, "unit", 10); }), "");
}

TEST(Progress, MoreThanTheTotalIsTheTotal) {
  const std::string text = terminal_of([] {
    Progress progress("x", 4, "unit");
    progress.update(9);
  });
  EXPECT_THAT(text, HasSubstr("100 %  4/4 units"));
}

TEST(Progress, EarlierWorkDoesNotCountIntoTheRate) {
  const std::string text = progress_of([] {
    Progress progress("x", 1000, "step", 998);
    ::usleep(100000);
    progress.update(999);
  });
  EXPECT_THAT(text, HasSubstr("999/1000 steps"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  const auto at = text.find("steps  ") + 7;
  EXPECT_LE(std::stod(text.substr(at)), 10.0);  // one step in at least 0.1 s
}

TEST(Progress, ALogLineDoesNotGarbleTheLiveLine) {
  const std::string text = terminal_of([] {
    Progress progress("train", 10, "step");
    progress.update(5);
    log::info("between");
    log::info("again");
  });
  EXPECT_THAT(text, HasSubstr("train [============            ]  50 %  5/10 steps"));
  EXPECT_THAT(text, HasSubstr("\r\033[Kinfo   between"));       // the live line is erased first
  EXPECT_THAT(text, HasSubstr("between\r\ninfo   again\r\n"));  // and once only
}

}  // namespace
}  // namespace pixart

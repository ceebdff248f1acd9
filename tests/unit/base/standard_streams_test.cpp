#include "pixart/base/standard_streams.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>

namespace pixart {
namespace {

// The exit code is what `is_as_wanted` says of the reason, in a process of its own.
void finish_with_output_on(int descriptor, size_t bytes, bool (*is_as_wanted)(const std::string&)) {
  prepare_standard_streams();
  ::dup2(descriptor, STDOUT_FILENO);
  std::printf("%s", std::string(bytes, 'a').c_str());
  std::_Exit(is_as_wanted(finish_standard_output()) ? 0 : 1);
}

int broken_pipe() {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  return ends[1];
}

bool is_empty(const std::string& reason) { return reason.empty(); }
bool is_given(const std::string& reason) { return !reason.empty(); }
bool is_no_space(const std::string& reason) { return reason == "No space left on device"; }

TEST(StandardStreams, AFullDiskIsSaid) {
  EXPECT_EXIT(finish_with_output_on(::open("/dev/full", O_WRONLY), 10, is_no_space),
              ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(finish_with_output_on(::open("/dev/full", O_WRONLY), 1 << 20, is_given),
              ::testing::ExitedWithCode(0), "");
}

TEST(StandardStreams, AReaderThatHasGoneIsNoError) {
  for (const size_t bytes : {size_t{10}, size_t{1} << 20})
    EXPECT_EXIT(finish_with_output_on(broken_pipe(), bytes, is_empty), ::testing::ExitedWithCode(0), "");
}

TEST(StandardStreams, AllIsWritten) {
  EXPECT_EXIT(finish_with_output_on(::open("/dev/null", O_WRONLY), 10, is_empty),
              ::testing::ExitedWithCode(0), "");
}

bool is_closed(const std::string& reason) { return reason == "it is closed"; }

void finish_with_closed_output(size_t bytes, bool (*is_as_wanted)(const std::string&)) {
  ::close(STDOUT_FILENO);
  prepare_standard_streams();
  std::printf("%s", std::string(bytes, 'a').c_str());
  std::_Exit(is_as_wanted(finish_standard_output()) ? 0 : 1);
}

TEST(StandardStreams, AClosedOutputIsSaidIfSomethingWasPrinted) {
  EXPECT_EXIT(finish_with_closed_output(0, is_empty), ::testing::ExitedWithCode(0), "");
  for (const size_t bytes : {size_t{10}, size_t{1} << 20})
    EXPECT_EXIT(finish_with_closed_output(bytes, is_closed), ::testing::ExitedWithCode(0), "");
}

// The next file must not get the number of a stream.
void open_a_file_after_closing(int closed) {
  ::close(closed);
  prepare_standard_streams();
  std::_Exit(::open("/dev/null", O_RDONLY) > STDERR_FILENO ? 0 : 1);
}

TEST(StandardStreams, ClosedOnesAreOpened) {
  for (const int closed : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    EXPECT_EXIT(open_a_file_after_closing(closed), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace pixart

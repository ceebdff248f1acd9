#include "line_file.h"

#include <sys/stat.h>

#include <algorithm>

#include "file_size_limit.h"
#include "scratch_folder.h"
#include "time_limit.h"

namespace pixart::run {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::FileSizeLimit;
using ::testing::HasSubstr;
using testing::refusal;

constexpr int64_t kLarge = int64_t{1} << 20;

std::string dropped(int64_t count) { return fmt::format("({} dropped)", count); }

class LineFileTest : public testing::ScratchFolder {
 protected:
  fs::path path() const { return folder_ / "events.jsonl"; }
  // Appends line `number` and remembers it.
  void add(LineFile& file, int number) {
    const std::string line = fmt::format("line {:04}", number);
    file.append(line);
    expected_ += line + "\n";
  }
  std::string expected_;
};

TEST_F(LineFileTest, EachLineIsInTheFileAtOnce) {
  LineFile file(path(), kLarge);
  for (int number = 0; number < 3; ++number) {
    add(file, number);
    EXPECT_EQ(read(path()), expected_);
  }
  EXPECT_EQ(file.sync(), "");
  add(file, 3);
  EXPECT_EQ(read(path()), expected_);
  EXPECT_EQ(file.content(), expected_);
}

TEST_F(LineFileTest, ATornLastLineStaysSeparate) {
  write("events.jsonl", "whole\ntor");
  LineFile file(path(), kLarge);
  file.append("next");
  EXPECT_EQ(read(path()), "whole\ntor\nnext\n");
}

TEST_F(LineFileTest, APipeIsNoPlaceForLines) {
  const testing::TimeLimit limit(20);
  ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
  EXPECT_THAT(refusal([&] { LineFile(path(), kLarge); }), HasSubstr("it is not a regular file"));
  {
    LineFile file(path(), kLarge, dropped);  // of telemetry, without which a run goes on
    add(file, 0);
    EXPECT_THAT(file.sync(), HasSubstr("it is not a regular file"));
    fs::remove(path());
    EXPECT_EQ(file.sync(), "");
  }
  EXPECT_EQ(read(path()), expected_);
}

// The limit cuts a line at every place in turn.
TEST_F(LineFileTest, WhatADiskDidNotTakeIsWrittenLaterByteForByte) {
  for (uint64_t bytes = 0; bytes < 45; ++bytes) {
    fs::remove(path());
    expected_.clear();
    LineFile file(path(), kLarge);
    {
      const FileSizeLimit limit(bytes);
      for (int number = 0; number < 4; ++number) add(file, number);
      EXPECT_EQ(file.content(), expected_);
      EXPECT_EQ(file.sync() == "", bytes >= expected_.size()) << bytes;
    }
    add(file, 4);
    EXPECT_EQ(read(path()), expected_) << bytes;
    EXPECT_EQ(file.sync(), "");
    EXPECT_FALSE(file.is_full());
  }
}

TEST_F(LineFileTest, ItSaysWhyAndHowMuchWaitsAndWarnsOnce) {
  constexpr size_t kBefore = 2000;  // captured messages take less
  write("events.jsonl", std::string(kBefore - 1, 'x') + "\n");
  LineFile file(path(), kLarge);
  ::testing::internal::CaptureStderr();
  {
    const FileSizeLimit limit(kBefore);
    for (int number = 0; number < 4; ++number) add(file, number);
    EXPECT_THAT(file.sync(), AllOf(HasSubstr("events.jsonl: File too large."), HasSubstr("4 lines (40 B)")));
  }
  EXPECT_EQ(file.sync(), "");
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, AllOf(HasSubstr("wait in memory"), HasSubstr("is written again: 4 lines had waited")));
  EXPECT_EQ(said.find("cannot write"), said.rfind("cannot write"));
}

TEST_F(LineFileTest, NothingIsDroppedUnlessItMayBe) {
  LineFile file(path(), 100);
  {
    const FileSizeLimit limit(0);
    for (int number = 0; number < 10; ++number) add(file, number);
    EXPECT_FALSE(file.is_full());
    add(file, 10);
    EXPECT_TRUE(file.is_full());
    for (int number = 11; number < 50; ++number) add(file, number);
  }
  EXPECT_EQ(file.sync(), "");
  EXPECT_FALSE(file.is_full());
  EXPECT_EQ(read(path()), expected_);
}

TEST_F(LineFileTest, OfLinesThatMayBeDroppedTheOldestAreCounted) {
  LineFile file(path(), 100, dropped);
  add(file, 0);
  EXPECT_EQ(file.sync(), "");
  {
    const FileSizeLimit limit(35);  // the next lines are in the file, in part
    for (int number = 1; number < 50; ++number) add(file, number);
  }
  file.append("last");
  const std::string text = read(path());
  EXPECT_TRUE(text.starts_with("line 0000\n(")) << text;
  EXPECT_THAT(text, HasSubstr("\nline 0049\nlast\n"));
  const int64_t lost = std::stoll(text.substr(text.find('(') + 1));
  EXPECT_EQ(lost + std::count(text.begin(), text.end(), '\n'), 50 + 2) << text;
}

TEST_F(LineFileTest, AFileThatWasRemovedOrReplacedIsAnError) {
  LineFile file(path(), kLarge);
  add(file, 0);
  fs::remove(path());
  EXPECT_THAT(refusal([&] { (void)file.sync(); }), HasSubstr("was removed or replaced"));
  write("events.jsonl", "of another run\n");
  EXPECT_THAT(refusal([&] { (void)file.sync(); }), HasSubstr("was removed or replaced"));
  EXPECT_EQ(read(path()), "of another run\n");
}

TEST_F(LineFileTest, WhoseLinesMayBeDroppedIsBegunAgain) {
  LineFile file(path(), kLarge, dropped);
  add(file, 0);
  fs::remove(path());
  EXPECT_NE(file.sync(), "");
  file.append("later");
  EXPECT_EQ(read(path()), "later\n");
}

TEST_F(LineFileTest, AfterReplacementItGoesOn) {
  LineFile file(path(), kLarge);
  for (int number = 0; number < 3; ++number) add(file, number);
  file.replace("line 0000\n");
  file.append("other");
  EXPECT_EQ(read(path()), "line 0000\nother\n");
  EXPECT_EQ(file.sync(), "");
}

TEST_F(LineFileTest, ManyLinesAreReleased) {
  LineFile file(path(), 200);
  for (int number = 0; number < 1000; ++number) {
    add(file, number);
    EXPECT_FALSE(file.is_full());
  }
  EXPECT_EQ(read(path()), expected_);
}

TEST_F(LineFileTest, NeedsItsFolder) {
  EXPECT_THAT(refusal([&] { LineFile file(folder_ / "absent/events.jsonl", kLarge); }), HasSubstr("absent"));
  LineFile of_little_value(folder_ / "absent/telemetry.jsonl", kLarge, dropped);
  of_little_value.append("waits");
  EXPECT_NE(of_little_value.sync(), "");
}

}  // namespace
}  // namespace pixart::run

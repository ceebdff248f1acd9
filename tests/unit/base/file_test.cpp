#include "pixart/base/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "file_size_limit.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file_lock.h"
#include "pixart/base/parallel.h"
#include "time_limit.h"

namespace pixart {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::FileSizeLimit;
using ::testing::HasSubstr;
using testing::TimeLimit;

class File : public ::testing::Test {
 protected:
  File() : folder_(fs::path(::testing::TempDir()) / ("pixart_file_test_" + std::to_string(process_id()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~File() override { fs::remove_all(folder_); }

  std::set<std::string> names() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.insert(entry.path().filename().string());
    return names;
  }

  fs::path folder_;
};

using Names = std::set<std::string>;

// The UserError that `work` throws; a success is reported as a failed test.
UserError error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const UserError& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return UserError("");
}

TEST_F(File, WritesAndReadsBack) {
  const std::string bytes("a\0b\n", 4);
  write_file_atomically(folder_ / "f", bytes);
  EXPECT_EQ(read_file(folder_ / "f"), bytes);
  write_file_atomically(folder_ / "f", "");
  EXPECT_EQ(read_file(folder_ / "f"), "");
  EXPECT_EQ(names(), Names{"f"});
}

TEST_F(File, WritesBesideTheWorkingFolder) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_);
  write_file_atomically("plain", "x");
  fs::current_path(before);
  EXPECT_EQ(read_file(folder_ / "plain"), "x");
}

TEST_F(File, ReadErrorsAreBadInput) {
  const auto missing = error_of([&] { read_file(folder_ / "missing"); });
  EXPECT_EQ(missing.code(), ExitCode::kBadInput);
  EXPECT_THAT(missing.what(), AllOf(HasSubstr((folder_ / "missing").string()), HasSubstr("No such file")));
  EXPECT_THAT(error_of([&] { read_file(folder_); }).what(), HasSubstr("Is a directory"));
}

TEST_F(File, ReadIsLimited) {
  write_file_atomically(folder_ / "f", "12345");
  EXPECT_EQ(read_file(folder_ / "f", 5), "12345");
  EXPECT_THAT(error_of([&] { read_file(folder_ / "f", 4); }).what(), HasSubstr("larger than 4 bytes"));
  EXPECT_THAT(error_of([&] { read_file("/dev/zero", 1 << 20); }).what(), HasSubstr("larger than"));
}

TEST_F(File, AFailedWriteKeepsTheOldFileAndLeavesNothing) {
  write_file_atomically(folder_ / "f", "old");
  const auto error = error_of([&] {
    const FileSizeLimit limit(1000);
    write_file_atomically(folder_ / "f", std::string(5000, 'x'));
  });
  EXPECT_EQ(error.code(), ExitCode::kStorage);
  EXPECT_THAT(error.what(), AllOf(HasSubstr((folder_ / "f").string()), HasSubstr("File too large")));
  EXPECT_EQ(read_file(folder_ / "f"), "old");
  EXPECT_EQ(names(), Names{"f"});
}

TEST_F(File, PiecesAppearTogether) {
  write_file_atomically(folder_ / "f", "old");
  {
    AtomicFile file(folder_ / "f");
    file.write("ab");
    file.write("");
    file.write("c");
    EXPECT_EQ(read_file(folder_ / "f"), "old");
    file.commit();
  }
  EXPECT_EQ(read_file(folder_ / "f"), "abc");
  {
    AtomicFile file(folder_ / "f");
    file.write("never committed");
  }
  EXPECT_EQ(read_file(folder_ / "f"), "abc");
  EXPECT_EQ(names(), Names{"f"});
}

// A folder is listed once in each process, so each test has one of its own.
TEST_F(File, WhatAKilledWriterLeftGoesWithTheNextFileOfThisName) {
  const fs::path here = folder_ / "after_a_kill";
  fs::create_directories(here / ".tmp-report.html-00112233445566aa");
  const std::vector<std::string> lost = {".tmp-report.html-0123456789abcdef",
                                         ".tmp-report.html-fedcba9876543210"};
  const std::vector<std::string> others = {".tmp-other.html-0123456789abcdef", ".tmp-report.html-mine",
                                           ".del-report.html-0123456789abcdef",
                                           "report.html-0123456789abcdef"};
  for (const auto& name : lost) std::ofstream(here / name) << "half";
  for (const auto& name : others) std::ofstream(here / name) << "thesis";
  fs::create_symlink(here / others[0], here / ".tmp-report.html-aaaaaaaaaaaaaaaa");
  write_file_atomically(here / "report.html", "whole");
  EXPECT_EQ(read_file(here / "report.html"), "whole");
  for (const auto& name : lost) EXPECT_FALSE(fs::exists(here / name)) << name;
  for (const auto& name : others) EXPECT_EQ(read_file(here / name), "thesis") << name;
  EXPECT_TRUE(fs::is_symlink(here / ".tmp-report.html-aaaaaaaaaaaaaaaa"));
  EXPECT_TRUE(fs::exists(here / ".tmp-report.html-00112233445566aa"));
}

TEST_F(File, AFileThatIsBeingWrittenStays) {
  const fs::path here = folder_ / "side_by_side";
  fs::create_directories(here);
  const std::string held = here / ".tmp-f-0123456789abcdef";
  std::ofstream(held) << "half";
  const FileLock writer(held);  // as another process holds it
  AtomicFile first(here / "f");
  first.write("first");
  AtomicFile second(here / "f");
  second.write("second");
  second.commit();
  first.commit();
  EXPECT_EQ(read_file(here / "f"), "first");
  EXPECT_EQ(read_file(held), "half");
}

TEST_F(File, WritersOfOneNameDoNotTakeEachOthersFiles) {
  for_each_in_parallel(8, [&](int64_t writer) {
    for (int i = 0; i < 50; ++i) write_file_atomically(folder_ / "shared", std::to_string(writer));
  });
  EXPECT_EQ(names(), Names({"shared"}));
}

TEST_F(File, WhatAKilledWriterOfAFolderLeftGoesWithTheNextOne) {
  const auto own = all_but({"f"});
  for (const char* name :
       {".tmp-out-0123456789abcdef", ".tmp-out-aaaaaaaaaaaaaaaa", ".tmp-output-0123456789abcdef"}) {
    fs::create_directories(folder_ / name);
    std::ofstream(folder_ / name / "f") << "half";
  }
  std::ofstream(folder_ / ".tmp-out-aaaaaaaaaaaaaaaa/thesis.tex") << "thesis";
  {
    const StagedFolder other(folder_ / "out", own);  // is still being written
    StagedFolder staged(folder_ / "out", own);
    std::ofstream(staged.path() / "f") << "whole";
    EXPECT_TRUE(fs::exists(folder_ / ".tmp-out-0123456789abcdef"));  // until the new one is complete
    staged.commit();
    EXPECT_TRUE(fs::exists(other.path()));
  }
  EXPECT_EQ(names(), Names({"out", ".tmp-out-aaaaaaaaaaaaaaaa", ".tmp-output-0123456789abcdef"}));
}

TEST_F(File, AFailedRenameLeavesNothing) {
  fs::create_directories(folder_ / "taken" / "inner");
  const auto error = error_of([&] { write_file_atomically(folder_ / "taken", "x"); });
  EXPECT_EQ(error.code(), ExitCode::kStorage);
  EXPECT_EQ(names(), Names{"taken"});
}

TEST_F(File, WriteErrorsAreStorage) {
  EXPECT_EQ(error_of([&] { write_file_atomically(folder_ / "no" / "f", "x"); }).code(), ExitCode::kStorage);
  EXPECT_EQ(error_of([&] { write_file_atomically("/proc/pixart", "x"); }).code(), ExitCode::kStorage);
  write_file_atomically(folder_ / "f", "x");
  EXPECT_EQ(error_of([&] { create_folders(folder_ / "f" / "g"); }).code(), ExitCode::kStorage);
  EXPECT_EQ(error_of([&] { sync_path(folder_ / "missing"); }).code(), ExitCode::kStorage);
}

TEST_F(File, StagedFolderAppearsWhole) {
  {
    StagedFolder staged(folder_ / "deep" / "step-1");
    fs::create_directories(staged.path() / "inner");
    write_file_atomically(staged.path() / "inner" / "f", "x");
    EXPECT_FALSE(fs::exists(folder_ / "deep" / "step-1"));
    staged.commit();
    EXPECT_EQ(read_file(folder_ / "deep" / "step-1" / "inner" / "f"), "x");
  }
  EXPECT_EQ(read_file(folder_ / "deep" / "step-1" / "inner" / "f"), "x");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "deep"), {}), 1);
}

TEST_F(File, StagedFolderWithoutCommitVanishes) {
  {
    StagedFolder staged(folder_ / "step-1");
    write_file_atomically(staged.path() / "f", "x");
  }
  EXPECT_EQ(names(), Names{});
}

TEST_F(File, StagedFolderReplacesTheOldOne) {
  fs::create_directories(folder_ / "step-1" / "old");
  StagedFolder staged(folder_ / "step-1/");
  write_file_atomically(staged.path() / "new", "x");
  staged.commit();
  EXPECT_EQ(names(), Names{"step-1"});
  EXPECT_TRUE(fs::exists(folder_ / "step-1" / "new"));
  EXPECT_FALSE(fs::exists(folder_ / "step-1" / "old"));
}

TEST_F(File, TwoStagedFoldersOfOneNameDoNotMeet) {
  const StagedFolder one(folder_ / "step-1"), two(folder_ / "step-1");
  EXPECT_NE(one.path(), two.path());
}

TEST_F(File, StagedFolderBelowAFileIsAStorageError) {
  write_file_atomically(folder_ / "f", "x");
  EXPECT_EQ(error_of([&] { StagedFolder staged(folder_ / "f" / "step-1"); }).code(), ExitCode::kStorage);
}

TEST_F(File, AnOutputFileStandsUnderItsNameAtOnce) {
  {
    OutputFile file(folder_ / "f");
    file.write("abc");
    file.rewrite(1, "x");
    EXPECT_EQ(file.size(), 3u);
    EXPECT_EQ(read_file(folder_ / "f"), "axc");
    file.sync();
    file.close();
    file.close();
  }
  EXPECT_EQ(read_file(folder_ / "f"), "axc");
  const auto error = error_of([&] { OutputFile(folder_ / "f", folder_ / "shown"); });
  EXPECT_EQ(error.code(), ExitCode::kStorage);
  EXPECT_THAT(error.what(), AllOf(HasSubstr((folder_ / "shown").string()), HasSubstr("File exists")));
}

TEST_F(File, AFolderWithFilesOfOthersIsNotReplaced) {
  fs::create_directories(folder_ / "step-1");
  write_file_atomically(folder_ / "step-1" / "model", "old");
  write_file_atomically(folder_ / "step-1" / "thesis.tex", "x");
  const auto replace = [&](const ForeignEntries& foreign) {
    StagedFolder staged(folder_ / "step-1", foreign);
    write_file_atomically(staged.path() / "model", "new");
    staged.commit();
  };
  const auto error = error_of([&] { replace(all_but({"model"})); });
  EXPECT_EQ(error.code(), ExitCode::kStorage);
  EXPECT_THAT(error.what(), HasSubstr("thesis.tex"));
  EXPECT_EQ(error_of([&] { replace(all_entries); }).code(), ExitCode::kStorage);
  EXPECT_EQ(read_file(folder_ / "step-1" / "model"), "old");
  replace(all_but({"model", R"(thesis\.tex)"}));
  EXPECT_EQ(read_file(folder_ / "step-1" / "model"), "new");
  EXPECT_EQ(names(), Names{"step-1"});
}

TEST_F(File, LinesAreAppended) {
  append_to_file(folder_ / "f", "a\n");
  append_to_file(folder_ / "f", "b\n");
  EXPECT_EQ(read_file(folder_ / "f"), "a\nb\n");
  EXPECT_EQ(error_of([&] { append_to_file(folder_ / "no" / "f", "x"); }).code(), ExitCode::kStorage);
}

TEST_F(File, OnlyFilesAndLinksAreReplacedByFiles) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { write_file_atomically(folder_ / "pipe", "x"); }).what(),
              HasSubstr("not a regular file"));
  EXPECT_TRUE(fs::is_fifo(folder_ / "pipe"));
  EXPECT_EQ(names(), Names{"pipe"});
}

TEST_F(File, APipeInAFolderIsRefusedAtOnce) {
  const TimeLimit limit(20);
  const fs::path pipe = folder_ / "pipe", link = folder_ / "link";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  fs::create_symlink("pipe", link);
  for (const auto& path : {pipe, link}) {
    for (const auto& read :
         {std::function<void()>([&] { read_file(path); }), {[&] { require_no_pipe(path); }}}) {
      const UserError error = error_of(read);
      EXPECT_EQ(error.code(), ExitCode::kBadInput);
      EXPECT_EQ(error.what(), fmt::format("cannot read {}: it is not a regular file.", path.string()));
    }
    const UserError error = error_of([&] { append_to_file(path, "x"); });
    EXPECT_EQ(error.code(), ExitCode::kStorage);
    EXPECT_THAT(error.what(), HasSubstr("it is not a regular file"));
    EXPECT_EQ(error_of([&] { sync_path(path); }).code(), ExitCode::kStorage);
  }
  const int other_end = ::open(pipe.c_str(), O_RDWR | O_CLOEXEC);  // somebody reads and writes
  EXPECT_EQ(error_of([&] { append_to_file(pipe, "x"); }).code(), ExitCode::kStorage);
  EXPECT_EQ(error_of([&] { read_file(pipe); }).code(), ExitCode::kBadInput);
  ::close(other_end);
}

TEST_F(File, DevicesAreRead) {
  const TimeLimit limit(20);
  EXPECT_EQ(read_file("/dev/null"), "");
  require_no_pipe("/dev/null");
  require_no_pipe(folder_ / "absent");
  EXPECT_THAT(error_of([] { read_file("/dev/zero", 1000); }).what(), HasSubstr("larger than 1000 bytes"));
}

// As of <(command).
struct NamelessPipe {
  NamelessPipe() { EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0); }
  ~NamelessPipe() {
    for (const int end : ends) ::close(end);
  }
  fs::path path() const { return fmt::format("/dev/fd/{}", ends[0]); }
  int ends[2] = {-1, -1};
};

TEST_F(File, ANamelessPipeIsReadToItsEnd) {
  const TimeLimit limit(20);
  NamelessPipe pipe;
  std::string text;
  for (int line = 0; text.size() < size_t{3} << 18; ++line) text += fmt::format("line {}\n", line);
  std::string found;
  for_each_in_parallel(
      2,
      [&](int64_t thread) {
        if (thread == 0) return void(found = read_file(pipe.path()));
        for (size_t at = 0; at < text.size();) {
          const ssize_t count = ::write(pipe.ends[1], text.data() + at, text.size() - at);
          if (count > 0) at += size_t(count);
        }
        ::usleep(200'000);  // longer than one look
        ::close(std::exchange(pipe.ends[1], -1));
      },
      2);
  EXPECT_TRUE(found == text);
}

// The exit code is that of the error.
void wait_for_a_pipe(int signal) {
  const TimeLimit limit(20);
  catch_stop_signals();
  const NamelessPipe pipe;
  std::raise(signal);
  try {
    read_file(pipe.path());
  } catch (const UserError& error) {
    std::_Exit(int(error.code()));
  }
  std::_Exit(0);
}

TEST_F(File, AStopEndsTheWaitForAPipe) {
  for (const int signal : {SIGTERM, SIGINT})
    EXPECT_EXIT(wait_for_a_pipe(signal), ::testing::ExitedWithCode(75), "");
}

TEST_F(File, AFileIsNotReplacedByAFolder) {
  write_file_atomically(folder_ / "thesis", "x");
  const auto error = error_of([&] { StagedFolder staged(folder_ / "thesis"); });
  EXPECT_EQ(error.code(), ExitCode::kStorage);
  StagedFolder staged(folder_ / "letter");
  write_file_atomically(folder_ / "letter", "x");  // meanwhile
  EXPECT_EQ(error_of([&] { staged.commit(); }).code(), ExitCode::kStorage);
  EXPECT_EQ(read_file(folder_ / "thesis"), "x");
  EXPECT_EQ(read_file(folder_ / "letter"), "x");
}

TEST_F(File, LinksLeadSomewhere) {
  fs::create_directories(folder_ / "real" / "inner");
  fs::create_symlink("real", folder_ / "link");
  fs::create_symlink(folder_ / "link", folder_ / "again");
  fs::create_symlink("missing", folder_ / "dangling");
  EXPECT_EQ(link_target(folder_ / "plain"), folder_ / "plain");
  EXPECT_EQ(link_target(folder_ / "link"), folder_ / "real");
  EXPECT_EQ(link_target(folder_ / "link/"), folder_ / "real");
  EXPECT_EQ(link_target(folder_ / "again"), folder_ / "real");
  EXPECT_EQ(link_target(folder_ / "link" / "inner"), folder_ / "link" / "inner");
  EXPECT_EQ(link_target(folder_ / "dangling"), folder_ / "missing");
  EXPECT_EQ(link_target("."), ".");
  fs::create_symlink("two", folder_ / "one");
  fs::create_symlink("one", folder_ / "two");
  EXPECT_EQ(error_of([&] { link_target(folder_ / "one"); }).code(), ExitCode::kStorage);
}

TEST_F(File, NumberedFoldersAreNew) {
  const fs::path parent = folder_ / "deep" / "parent";
  EXPECT_EQ(create_numbered_folder(parent), parent / "0001");
  EXPECT_EQ(create_numbered_folder(parent), parent / "0002");
  fs::remove(parent / "0001");
  EXPECT_EQ(create_numbered_folder(parent), parent / "0003") << "a gap is not filled";
  for (const char* other : {"99", "00x7", "0007.png", "1234567890123456789012", "-0009"})
    write_file_atomically(parent / other, "x");
  EXPECT_EQ(create_numbered_folder(parent), parent / "0004");
  write_file_atomically(parent / "0041", "a file");
  EXPECT_EQ(create_numbered_folder(parent), parent / "0042");
  fs::create_directory(parent / "9999");
  EXPECT_EQ(create_numbered_folder(parent), parent / "10000");
  EXPECT_EQ(error_of([&] { create_numbered_folder(parent / "0041"); }).code(), ExitCode::kStorage);
}

TEST_F(File, ANumberIsGivenToOneProcessOnly) {
  std::vector<fs::path> made(32);
  for_each_in_parallel(
      int64_t(made.size()), [&](int64_t i) { made[size_t(i)] = create_numbered_folder(folder_ / "many"); },
      8);
  EXPECT_EQ(std::set<fs::path>(made.begin(), made.end()).size(), made.size());
}

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 0777;
}

TEST_F(File, PermissionsAreThoseThatTheUmaskLeaves) {
  const std::vector<std::tuple<mode_t, mode_t, mode_t>> cases = {
      {0002, 0664, 0775}, {0022, 0644, 0755}, {0077, 0600, 0700}};
  for (const auto& [mask, file, folder] : cases) {
    const mode_t before = ::umask(mask);
    write_file_atomically(folder_ / "file", "a");
    { const FileLock lock(folder_ / "lock"); }
    append_to_file(folder_ / "lines", "a");
    StagedFolder staged(folder_ / "staged");
    OutputFile(staged.path() / "inner").close();
    staged.commit();
    ::umask(before);
    EXPECT_EQ(mode_of(folder_ / "file"), file);
    EXPECT_EQ(mode_of(folder_ / "lock"), file);
    EXPECT_EQ(mode_of(folder_ / "lines"), file);
    EXPECT_EQ(mode_of(folder_ / "staged/inner"), file);
    EXPECT_EQ(mode_of(folder_ / "staged"), folder);
    fs::remove(folder_ / "lock");
    fs::remove(folder_ / "lines");
    fs::remove_all(folder_ / "staged");
  }
}

TEST_F(File, TooManyOpenFilesIsAShortageWithItsRemedy) {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{0, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &none);
  const auto writing = error_of([&] { OutputFile(folder_ / "file").close(); });
  const auto reading = error_of([&] { read_file(folder_ / "file"); });
  const auto locking = error_of([&] { FileLock::try_lock(folder_ / "lock"); });
  ::setrlimit(RLIMIT_NOFILE, &before);
  for (const auto& error : {writing, reading, locking}) {
    EXPECT_EQ(error.code(), ExitCode::kDevice) << error.what();
    EXPECT_THAT(error.what(), AllOf(HasSubstr(folder_.string()), HasSubstr("ulimit -n")));
  }
}

TEST_F(File, OfSeveralProcessesTheFirstOnePublishes) {
  for (const char* name : {"a", "b"}) write_file_atomically(folder_ / name, name);
  EXPECT_TRUE(publish_file(folder_ / "a", folder_ / "file"));
  EXPECT_FALSE(publish_file(folder_ / "b", folder_ / "file"));
  EXPECT_EQ(read_file(folder_ / "file"), "a");
  EXPECT_EQ(names(), Names{"file"});
  const auto missing = error_of([&] { publish_file(folder_ / "a", folder_ / "other"); });
  EXPECT_EQ(missing.code(), ExitCode::kStorage);
  EXPECT_EQ(names(), Names{"file"});
}

TEST_F(File, EqualFilesBecomeOne) {
  for (const char* name : {"a", "b"}) write_file_atomically(folder_ / name, "same");
  EXPECT_TRUE(replace_by_link(folder_ / "a", folder_ / "b"));
  EXPECT_TRUE(fs::equivalent(folder_ / "a", folder_ / "b"));
  EXPECT_FALSE(replace_by_link(folder_ / "a", folder_ / "missing"));
  EXPECT_EQ(read_file(folder_ / "a"), "same");
  EXPECT_EQ(names(), (Names{"a", "b"}));
}

}  // namespace
}  // namespace pixart

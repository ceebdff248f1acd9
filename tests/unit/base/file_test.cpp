#include "pixart/base/file.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <set>

#include "pixart/base/env.h"
#include "pixart/base/error.h"

namespace pixart {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

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

// Writes beyond `bytes` of a file fail with EFBIG in this scope: a full disk that needs no special file
// system.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(uint64_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

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

TEST_F(File, AFolderIsDeletedWhole) {
  fs::create_directories(folder_ / "old" / "inner");
  write_file_atomically(folder_ / "old" / "f", "x");
  delete_folder(folder_ / "old");
  EXPECT_EQ(names(), Names{});
  EXPECT_EQ(error_of([&] { delete_folder(folder_ / "old"); }).code(), ExitCode::kStorage);
}

TEST_F(File, OnlyFilesAndLinksAreReplacedByFiles) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { write_file_atomically(folder_ / "pipe", "x"); }).what(),
              HasSubstr("not a regular file"));
  EXPECT_TRUE(fs::is_fifo(folder_ / "pipe"));
  EXPECT_EQ(names(), Names{"pipe"});
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

}  // namespace
}  // namespace pixart

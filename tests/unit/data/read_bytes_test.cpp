#include "read_bytes.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>

#include "folder.h"
#include "io_shim.h"

namespace pixart::data {
namespace {
namespace fs = std::filesystem;

class ReadBytes : public Folder {
 protected:
  ReadBytes() { write("file", "0123456789"); }
  // "reason: detail" of the fault, or what was read.
  std::string read(const std::string& name, uint64_t offset = 0, uint64_t bytes = 0) const {
    try {
      return read_bytes(folder_ / name, offset, bytes);
    } catch (const ReadFault& fault) {
      return fmt::format("{}: {}", to_string(fault.reason), fault.detail);
    }
  }
};

TEST_F(ReadBytes, WholeFilesAndParts) {
  EXPECT_EQ(read("file"), "0123456789");
  EXPECT_EQ(read("file", 3, 4), "3456");
  EXPECT_EQ(read("file", 0, 10), "0123456789");
  EXPECT_EQ(read("file", 9, 1), "9");
}

TEST_F(ReadBytes, WhatCannotBeReadSaysWhy) {
  write("empty", "");
  fs::create_directories(folder_ / "folder");
  fs::create_symlink("nowhere", folder_ / "broken");
  fs::create_symlink("loop", folder_ / "loop");
  EXPECT_EQ(read("none"), "missing_file: No such file or directory");
  EXPECT_EQ(read("file/below"), "missing_file: Not a directory");
  EXPECT_EQ(read("broken"), "missing_file: No such file or directory");
  EXPECT_EQ(read("loop"), "unreadable_file: Too many levels of symbolic links");
  EXPECT_EQ(read("folder"), "unreadable_file: it is not a regular file");
  EXPECT_EQ(read("empty"), "empty_file: the file is empty");
}

TEST_F(ReadBytes, APipeIsNotWaitedFor) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(read("pipe"), "unreadable_file: it is not a regular file");
}

TEST_F(ReadBytes, PartsBeyondTheEndAreDamage) {
  EXPECT_EQ(read("file", 8, 3), "damaged_archive: the file ends at byte 10, but the sample at byte 11");
  EXPECT_EQ(read("file", 11, 1), "damaged_archive: the file ends at byte 10, but the sample at byte 12");
  EXPECT_EQ(read("file", UINT64_MAX, 5).substr(0, 15), "damaged_archive");
}

TEST_F(ReadBytes, SizeIsLimitedBeforeAnythingIsRead) {
  fs::resize_file(folder_ / "file", (uint64_t{64} << 20) + 1);  // sparse
  EXPECT_EQ(read("file"),
            "picture_too_large: 67108865 bytes are more than the limit of 67108864 for an image");
  EXPECT_EQ(read("file", 0, uint64_t{64} << 20).size(), uint64_t{64} << 20);
  EXPECT_EQ(read("file", 0, UINT64_MAX).substr(0, 17), "picture_too_large");
}

// Too many open files is no fault of the sample: it must not end in quarantine.
TEST_F(ReadBytes, TooManyOpenFilesStopTheRun) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  rlimit none = limit;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  std::string message;
  try {
    read_bytes(folder_ / "file", 0, 0);
  } catch (const UserError& error) {
    message = error.what();
  } catch (const ReadFault&) {
    message = "a fault of the sample";
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_THAT(message, ::testing::HasSubstr("ulimit -n"));
}

class FailingReads : public ReadBytes {
 protected:
  // Fails `times` operations from number `at` on: 1 opens the file, 2 reads it; 0 times: all.
  void fail(int error, long at, long times) const {
    const std::string folder = folder_.string();
    const IoShimSettings settings{.folder = folder.c_str(),
                                  .match = nullptr,
                                  .mode = "fail_reads",
                                  .at = at,
                                  .error = error,
                                  .log = nullptr,
                                  .times = times};
    io_shim_set(&settings);
  }
  ~FailingReads() override {
    const IoShimSettings off{};
    io_shim_set(&off);
  }
};

TEST_F(FailingReads, AFaultOfTheMachineThatPassesIsNotNoticed) {
  for (const int error : {EIO, ESTALE, ENOMEM, EMFILE})
    for (const long at : {1, 2}) {
      fail(error, at, 2);
      EXPECT_EQ(read("file"), "0123456789") << error << " " << at;
    }
}

TEST_F(FailingReads, AFaultOfTheMachineThatStaysIsNoFaultOfTheFile) {
  for (const auto& [error, code] :
       {std::pair(EIO, ExitCode::kStorage), std::pair(ENOMEM, ExitCode::kDevice)}) {
    fail(error, 1, 0);
    try {
      read("file");
      ADD_FAILURE() << "not thrown";
    } catch (const UserError& fault) {
      EXPECT_EQ(fault.code(), code) << error;
      EXPECT_THAT(fault.what(), ::testing::HasSubstr("/file"));
    }
  }
  fail(EACCES, 1, 0);
  EXPECT_EQ(read("file"), "unreadable_file: Permission denied");
}

}  // namespace
}  // namespace pixart::data

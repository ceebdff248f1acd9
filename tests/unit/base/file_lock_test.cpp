#include "pixart/base/file_lock.h"

#include <gtest/gtest.h>

#include "pixart/base/env.h"
#include "pixart/base/error.h"

namespace pixart {
namespace {

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

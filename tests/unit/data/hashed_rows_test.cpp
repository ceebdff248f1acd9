#include "hashed_rows.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <map>

#include "file_size_limit.h"

namespace pixart::data {
namespace {
using Groups = std::map<std::vector<int64_t>, int>;

// 1,000 hashes, of which every third has two rows and one has a hundred more.
void add_rows(HashedRows& rows) {
  for (int64_t i = 0; i < 1000; ++i) rows.add(uint64_t(i) * 0x9E3779B97F4A7C15, i);
  for (int64_t i = 0; i < 1000; i += 3) rows.add(uint64_t(i) * 0x9E3779B97F4A7C15, 1000 + i);
  for (int64_t i = 0; i < 100; ++i) rows.add(uint64_t(7) * 0x9E3779B97F4A7C15, 3000 + i);
}

Groups groups_of(const HashedRows& rows) {
  Groups groups;
  rows.for_each_hash([&](const std::vector<int64_t>& group) { ++groups[group]; });
  return groups;
}

TEST(HashedRows, AreTheSameInMemoryAndInAFile) {
  HashedRows in_memory, in_file(64);
  add_rows(in_memory);
  add_rows(in_file);
  EXPECT_EQ(in_memory.num_in_memory(), 1434u);
  EXPECT_LE(in_file.num_in_memory(), 64u);
  const Groups groups = groups_of(in_memory);
  EXPECT_EQ(groups_of(in_file), groups);
  EXPECT_EQ(groups.size(), 1000u);
  EXPECT_EQ(groups.count({0, 1000}), 1u) << "rows rise";
  EXPECT_EQ(groups.count({1}), 1u);
  EXPECT_EQ(in_file.num_hashes(), 1000);
}

TEST(HashedRows, StayInMemoryWhereThereCanBeNoFile) {
  HashedRows without_folder(64), full_disk(64);
  ::setenv("TMPDIR", "/there-is-no-such-folder", 1);
  add_rows(without_folder);
  ::unsetenv("TMPDIR");
  {
    const testing::FileSizeLimit limit(3000);
    add_rows(full_disk);
  }
  HashedRows in_memory;
  add_rows(in_memory);
  EXPECT_EQ(without_folder.num_in_memory(), 1434u);
  EXPECT_EQ(full_disk.num_in_memory(), 1434u - 128u) << "two of 1,024 bytes are in the file";
  EXPECT_EQ(groups_of(without_folder), groups_of(in_memory));
  EXPECT_EQ(groups_of(full_disk), groups_of(in_memory));
}

TEST(HashedRows, OfNothing) { EXPECT_EQ(HashedRows().num_hashes(), 0); }

}  // namespace
}  // namespace pixart::data

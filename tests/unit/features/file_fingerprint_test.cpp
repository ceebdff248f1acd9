#include "pixart/features/file_fingerprint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pixart/base/file.h"
#include "pixart/formats/hash.h"
#include "scratch_folder.h"

namespace pixart::features {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Fingerprint : public testing::ScratchFolder {
 protected:
  Fingerprint() {
    std::string bytes(1 << 20, 'a');
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = char(i * 2654435761u >> 24);
    fs::create_directories(folder_ / "model/deep");
    write("model/model.safetensors", bytes);
    write("model/deep/config.json", "{}");
  }
  // What is known at once, however young the file is.
  HashCache at_once() const { return {.folder = folder_ / "cache", .settle_seconds = -1e9}; }
  HashCache never() const { return {.folder = folder_ / "cache", .settle_seconds = 1e9}; }
  std::string fingerprint() const { return folder_fingerprint(folder_ / "model", {}); }
  fs::path weights() const { return folder_ / "model/model.safetensors"; }
  void set_byte(int64_t place, char value) const {
    std::fstream file(weights(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(place);
    file.put(value);
  }
  // The hash, and how much was read for it.
  static std::pair<std::string, uint64_t> hash(const fs::path& file, const HashCache& cache) {
    uint64_t read = 0;
    const auto hashes = hash_files({file}, "it", cache, &read);
    return {hashes.front(), read};
  }
  int64_t num_known() const {
    return std::distance(fs::directory_iterator(folder_ / "cache"), fs::directory_iterator());
  }
};

TEST_F(Fingerprint, EveryByteCounts) {
  const auto before = fingerprint(), former = former_folder_fingerprint(folder_ / "model");
  EXPECT_THAT(before, StartsWith("sha256:"));
  for (const int64_t place :
       {int64_t{0}, int64_t{65535}, int64_t{65536}, int64_t{500'000}, int64_t{983'039}, int64_t{1'048'575}}) {
    const std::string whole = read(weights());
    set_byte(place, char(whole[size_t(place)] ^ 1));
    EXPECT_NE(fingerprint(), before) << place;
    set_byte(place, whole[size_t(place)]);
    EXPECT_EQ(fingerprint(), before) << place;
  }
  set_byte(500'000, 'x');
  EXPECT_EQ(former_folder_fingerprint(folder_ / "model"), former) << "which is why there is another one";
}

// Computed apart from this code. Features that were made say it.
TEST_F(Fingerprint, TheFormerOneIsWhatItWas) {
  std::string bytes(200'000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = char((i * 7 + i / 251) % 256);
  fs::create_directories(folder_ / "old/a");
  write("old/model.safetensors", bytes);
  write("old/a/config.json", "{}");
  EXPECT_EQ(former_folder_fingerprint(folder_ / "old"),
            "a6a59fef5366740e169d9deb967eda958160a3a7fa292df1e8509da53ce6f3f2");
}

TEST_F(Fingerprint, NamesAndFoldersCountHiddenOnesDoNot) {
  const auto before = fingerprint();
  fs::create_directories(folder_ / "model/.git/objects");
  write("model/.git/index", "changes at each git status");
  write("model/.gitattributes", "x");
  EXPECT_EQ(fingerprint(), before);
  fs::copy(folder_ / "model", folder_ / "copy", fs::copy_options::recursive);
  EXPECT_EQ(folder_fingerprint(folder_ / "copy", {}), before);
  fs::rename(folder_ / "model/deep/config.json", folder_ / "model/deep/config2.json");
  EXPECT_NE(fingerprint(), before);
  fs::rename(folder_ / "model/deep/config2.json", folder_ / "model/config.json");
  EXPECT_NE(fingerprint(), before);
}

// As the cache of Hugging Face keeps its files.
TEST_F(Fingerprint, LinkedFilesAreReadUnderTheirNames) {
  const auto before = fingerprint();
  fs::rename(weights(), folder_ / "blob");
  fs::create_symlink("../blob", weights());
  EXPECT_EQ(fingerprint(), before);
  write("blob", "other bytes");
  EXPECT_NE(fingerprint(), before);
}

TEST_F(Fingerprint, IsComputedOnce) {
  const auto [hash_read, read] = hash(weights(), at_once());
  EXPECT_EQ(read, 1u << 20);
  EXPECT_EQ(hash_read, formats::sha256_of_file(weights()));
  const auto [hash_known, read_again] = hash(weights(), at_once());
  EXPECT_EQ(read_again, 0u);
  EXPECT_EQ(hash_known, hash_read);
  EXPECT_EQ(num_known(), 1);
  EXPECT_EQ(hash(weights(), {}).second, 1u << 20) << "without a cache";
}

TEST_F(Fingerprint, WhatHasJustChangedIsNotKept) {
  hash(weights(), never());
  EXPECT_EQ(hash(weights(), never()).second, 1u << 20);
  EXPECT_FALSE(fs::exists(folder_ / "cache"));
}

// Same size, same time of change as its owner says it; only the system's own differs.
TEST_F(Fingerprint, AChangeThatHidesIsSeen) {
  const auto before = hash(weights(), at_once()).first;
  struct stat was {
  }, is{};
  ASSERT_EQ(::stat(weights().c_str(), &was), 0);
  do {
    set_byte(500'000, 'x');
    const timespec times[] = {was.st_atim, was.st_mtim};
    ASSERT_EQ(::utimensat(AT_FDCWD, weights().c_str(), times, 0), 0);
    ASSERT_EQ(::stat(weights().c_str(), &is), 0);
  } while (is.st_ctim.tv_sec == was.st_ctim.tv_sec && is.st_ctim.tv_nsec == was.st_ctim.tv_nsec);
  ASSERT_EQ(is.st_mtim.tv_nsec, was.st_mtim.tv_nsec);
  const auto [after, read] = hash(weights(), at_once());
  EXPECT_NE(after, before);
  EXPECT_EQ(read, 1u << 20);
}

TEST_F(Fingerprint, DamagedEntriesAreNotBelieved) {
  const auto good = hash(weights(), at_once()).first;
  const fs::path entry = fs::directory_iterator(folder_ / "cache")->path();
  const std::string text = read(entry);
  std::string other_hash = text;
  other_hash[3] = other_hash[3] == '0' ? '1' : '0';
  std::string other_file = text;
  other_file[70] = other_file[70] == '0' ? '1' : '0';
  for (const std::string& damaged : {std::string(), text.substr(0, 40), text.substr(0, text.size() - 1),
                                     text + "\n", other_hash, other_file, std::string(100'000, 'x')}) {
    write("cache/" + entry.filename().string(), damaged);
    EXPECT_EQ(hash(weights(), at_once()), std::pair(good, uint64_t{1} << 20));
    EXPECT_EQ(read(entry), text);
  }
}

TEST_F(Fingerprint, ACacheThatCannotBeWrittenCostsTimeOnly) {
  const auto good = formats::sha256_of_file(weights());
  write("file", "");
  for (const fs::path& folder : {folder_ / "file", folder_ / "file/below", fs::path("/proc/none")})
    EXPECT_EQ(hash(weights(), {.folder = folder, .settle_seconds = -1e9}).first, good) << folder;
}

TEST_F(Fingerprint, TheCacheDoesNotGrow) {
  auto cache = at_once();
  cache.most_files = 3;
  fs::create_directories(cache.folder);
  write("cache/thesis.tex", "not ours");
  write("cache/.tmp-work", "not ours");
  for (int i = 0; i < 8; ++i) hash(write(fmt::format("f{}", i), std::to_string(i)), cache);
  EXPECT_EQ(num_known(), 3 + 2);
  EXPECT_EQ(hash(folder_ / "f7", cache).second, 0u);
}

TEST_F(Fingerprint, ProcessesDoNotDisturbEachOther) {
  std::vector<fs::path> files;
  for (int i = 0; i < 20; ++i) files.push_back(write(fmt::format("f{}", i), std::to_string(i)));
  const auto wanted = hash_files(files, "", {});
  std::vector<pid_t> children;
  for (int child = 0; child < 4; ++child) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(hash_files(files, "", at_once()) == wanted ? 0 : 1);
    children.push_back(pid);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  uint64_t read = 0;
  EXPECT_EQ(hash_files(files, "", at_once(), &read), wanted);
  EXPECT_EQ(read, 0u);
}

// Above the size at which one process reads and the others wait.
TEST_F(Fingerprint, LargeFilesAreReadByOneProcess) {
  const fs::path large = write("large", "x");
  fs::resize_file(large, 65 << 20);
  int results[2];
  ASSERT_EQ(::pipe(results), 0);
  for (int child = 0; child < 3; ++child) {
    if (::fork() != 0) continue;
    const uint64_t read = hash(large, at_once()).second;
    ::_exit(::write(results[1], &read, sizeof read) == sizeof read ? 0 : 1);
  }
  uint64_t sum = 0;
  for (int child = 0; child < 3; ++child) {
    uint64_t read = 0;
    ASSERT_EQ(::read(results[0], &read, sizeof read), ssize_t(sizeof read));
    sum += read;
    ::wait(nullptr);
  }
  ::close(results[0]), ::close(results[1]);
  EXPECT_EQ(sum, 65u << 20);
  EXPECT_EQ(num_known(), 1) << "and the lock is gone";
}

TEST_F(Fingerprint, AMissingFileIsNamed) {
  EXPECT_THAT(testing::refusal([&] { hash(folder_ / "missing", {}); }), HasSubstr("missing"));
}

}  // namespace
}  // namespace pixart::features

// pixart data pack, as a user would give it, killed and on a full disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <map>
#include <thread>

#include "pixart/base/error.h"
#include "pixart/formats/image_file.h"
#include "process.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kImages = 300, kShards = 30;

class DataPack : public ::testing::Test {
 protected:
  DataPack() {
    fs::create_directories(folder_ / "in");
    uint32_t noise = 1;  // so that images have some size
    for (int i = 0; i < kImages; ++i) {
      Image image(24, 24);
      for (auto& value : image.rgb) value = uint8_t((noise = noise * 1664525 + 1013904223) >> 24);
      formats::save_png(folder_ / "in" / fmt::format("{:03}.png", i), image);
      write_text(folder_ / "in" / fmt::format("{:03}.txt", i), fmt::format("image {}", i));
    }
  }
  static std::vector<std::string> arguments(const std::string& out) {
    return {"data", "pack", "in", out, "--type", "image_folder", "--shard-samples", "10"};
  }
  ProcessResult pack(const std::string& out, int64_t file_size_limit = -1) const {
    return run_pixart(arguments(out), folder_.path(), file_size_limit);
  }
  std::map<std::string, std::string> contents(const std::string& out) const {
    std::map<std::string, std::string> files;
    for (const auto& name : files_below(folder_ / out)) {
      std::ifstream file(folder_ / out / name, std::ios::binary);
      files[name] = {std::istreambuf_iterator<char>(file), {}};
    }
    return files;
  }
  // Also while another process writes there: no file is looked at.
  int64_t num_shards(const std::string& out) const {
    int64_t count = 0;
    std::error_code error;
    for (fs::directory_iterator at(folder_ / out, error), end; !error && at != end; at.increment(error))
      count += at->path().extension() == ".tar" && !at->path().filename().string().starts_with('.');
    return count;
  }
  TemporaryFolder folder_;
};

TEST_F(DataPack, ARefusedFolderIsLeftAsItWas) {
  fs::create_directories(folder_ / "home/.tmp-work");
  write_text(folder_ / "home/.tmp-work/thesis.tex", "thesis");
  write_text(folder_ / "home/letter.txt", "hi");
  const auto before = contents("home");
  const auto result = pack("home");
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output, HasSubstr("holds files that are not of a pack"));
  EXPECT_EQ(contents("home"), before);
}

TEST_F(DataPack, SaysWhatItDidAndWhatIsThere) {
  const auto first = pack("out");
  ASSERT_EQ(first.code, 0) << first.output;
  EXPECT_THAT(first.output, AllOf(HasSubstr("300 of 300 samples accepted"), HasSubstr("30 shards"),
                                  HasSubstr("type: webdataset, path: out")));
  EXPECT_EQ(num_shards("out"), kShards);
  const auto again = pack("out");
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_THAT(again.output, HasSubstr("30 were complete before"));
  const auto read_back = run_pixart({"data", "pack", "out", "copy"}, folder_.path());
  EXPECT_EQ(read_back.code, 0) << read_back.output;
  EXPECT_THAT(read_back.output, HasSubstr("300 of 300 samples accepted"));
}

// Killed again and again as soon as some more shards are there.
TEST_F(DataPack, KillsDoNotChangeTheResult) {
  ASSERT_EQ(pack("whole").code, 0);
  int kills = 0;
  for (int64_t wanted = 3; wanted < kShards; wanted += 4) {
    Process process(arguments("killed"), folder_.path());
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (num_shards("killed") < wanted && std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
    process.kill(SIGKILL);
    kills += process.wait().code == 128 + SIGKILL;
  }
  EXPECT_GE(kills, 3);
  const auto result = pack("killed");
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(contents("killed"), contents("whole"));
}

TEST_F(DataPack, AFullDiskIsSaidAndTheSameCommandGoesOn) {
  const auto full = pack("out", 10'000);  // no shard fits
  EXPECT_EQ(full.code, int(ExitCode::kStorage)) << full.output;
  EXPECT_EQ(num_shards("out"), 0);
  EXPECT_FALSE(fs::exists(folder_ / "out/pack.json"));
  const auto result = pack("out");
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(num_shards("out"), kShards);
}

TEST_F(DataPack, BadInputIsExplained) {
  fs::create_directories(folder_ / "full");
  write_text(folder_ / "full/letter.txt", "dear");
  const auto full = pack("full");
  EXPECT_EQ(full.code, int(ExitCode::kBadInput));
  EXPECT_THAT(full.output, AllOf(HasSubstr("full"), HasSubstr("not of a pack")));
  const auto none =
      run_pixart({"data", "pack", "none-{00..03}.tar", "out", "--type", "webdataset"}, folder_.path());
  EXPECT_EQ(none.code, int(ExitCode::kBadInput)) << none.output;
  EXPECT_THAT(none.output, HasSubstr("none-02.tar"));
  EXPECT_NE(run_pixart({"data", "pack", "in", "out", "--shard-bytes", "big"}, folder_.path()).code, 0);
}

}  // namespace
}  // namespace pixart::testing

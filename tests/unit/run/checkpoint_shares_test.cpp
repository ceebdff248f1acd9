// A checkpoint that several ranks write together.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <thread>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/run/checkpoint_folder.h"
#include "scratch_folder.h"

namespace pixart::run {
namespace {

class CheckpointSharesTest : public testing::ScratchFolder {};

using ::testing::HasSubstr;
namespace fs = std::filesystem;

CheckpointContent content_of(int rank, int64_t step) {
  CheckpointContent content{.step = step, .state = "{}"};
  if (rank == 0) content.files.push_back({"model", {{"weight", at::full({3}, double(step))}}});
  content.files.push_back({fmt::format("optimizer-{:05d}-of-00003", rank + 1),
                           {{fmt::format("m{}", rank), at::full({2}, rank)}}});
  return content;
}

CheckpointShares shares_of(int rank, double timeout = 60) {
  return {.rank = rank, .count = 3, .timeout_seconds = timeout};
}

TEST_F(CheckpointSharesTest, BecomeOneCheckpointInWhateverOrderTheyCome) {
  for (const auto& order : {std::vector{0, 1, 2}, std::vector{2, 1, 0}, std::vector{1, 0, 2}}) {
    const fs::path folder = folder_ / fmt::format("{}", fmt::join(order, "-"));
    std::vector<std::thread> ranks;
    for (const int rank : order) {
      ranks.emplace_back([&, rank] { write_checkpoint(folder, content_of(rank, 7), shares_of(rank)); });
      if (rank != 0) ranks.back().join();
    }
    for (auto& rank : ranks)
      if (rank.joinable()) rank.join();
    const auto found = newest_good_checkpoint(folder);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->step, 7);
    for (int rank = 0; rank < 3; ++rank) {
      const auto file = found->folder / fmt::format("optimizer-{:05d}-of-00003.safetensors", rank + 1);
      EXPECT_EQ(formats::load_safetensors(file).tensors.at(fmt::format("m{}", rank))[0].item<double>(), rank);
    }
    int64_t entries = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder)) ++entries;
    EXPECT_EQ(entries, 1) << "something is left beside the checkpoint";
  }
}

TEST_F(CheckpointSharesTest, OnlyLeftoversOfCheckpointsAreDeleted) {
  const std::string nonce = "-0123456789abcdef";
  for (const auto& name :
       {".tmp-step-00000012" + nonce, ".del-step-00000012" + nonce, std::string(".tmp-share-00000012-1"),
        ".tmp-.tmp-share-00000012-1" + nonce, ".del-.tmp-share-00000012-13" + nonce})
    fs::create_directories(folder_ / name / "inner");
  const std::vector<std::string> foreign = {".tmp-work", ".tmp-step-12" + nonce, ".tmp-share-mine-1",
                                            ".tmp-step-00000012", "step-00000012"};
  for (const auto& name : foreign) fs::create_directories(folder_ / name / "inner");
  remove_checkpoint_leftovers(folder_);
  for (const auto& name : foreign) EXPECT_TRUE(fs::exists(folder_ / name / "inner")) << name;
  EXPECT_EQ(size_t(std::distance(fs::directory_iterator(folder_), {})), foreign.size());
}

TEST_F(CheckpointSharesTest, AFlippedByteOfAShareIsFound) {
  for (const int rank : {1, 2, 0}) write_checkpoint(folder_, content_of(rank, 7), shares_of(rank));
  const auto file = folder_ / "step-00000007" / "optimizer-00002-of-00003.safetensors";
  std::string bytes = read_file(file);
  bytes.back() ^= 1;
  write_file_atomically(file, bytes);
  EXPECT_THAT(verify_checkpoint(folder_ / "step-00000007").text, HasSubstr("m1"));
}

TEST_F(CheckpointSharesTest, AMissingShareLeavesNoCheckpoint) {
  write_checkpoint(folder_, content_of(1, 7), shares_of(1));
  try {
    write_checkpoint(folder_, content_of(0, 7), shares_of(0, 0.2));
    FAIL() << "no error";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kStorage);
    EXPECT_THAT(error.what(), HasSubstr("the share of rank 2 is missing"));
  }
  EXPECT_TRUE(list_checkpoints(folder_).empty());
}

TEST_F(CheckpointSharesTest, ARankThatCannotWriteTellsRankZeroWhy) {
  CheckpointContent bad = content_of(1, 7);
  bad.files.front().name = "no/such/folder/optimizer";
  EXPECT_THROW(write_checkpoint(folder_, bad, shares_of(1)), UserError);
  write_checkpoint(folder_, content_of(2, 7), shares_of(2));
  try {
    write_checkpoint(folder_, content_of(0, 7), shares_of(0));
    FAIL() << "no error";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("rank 1: "));
  }
  EXPECT_TRUE(list_checkpoints(folder_).empty());
}

TEST_F(CheckpointSharesTest, NothingIsCommittedOnceTheFolderIsAnothers) {
  CheckpointShares shares;
  shares.before_commit = [] { throw UserError("taken over", ExitCode::kFolderOwned); };
  EXPECT_THROW(write_checkpoint(folder_, content_of(0, 7), shares), UserError);
  EXPECT_TRUE(list_checkpoints(folder_).empty());
}

}  // namespace
}  // namespace pixart::run

#include "splits.h"

#include <gmock/gmock.h>

#include "pixart/base/error.h"

namespace pixart::data {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// The message of the refusal; "" if there is none.
std::string refusal_of(const std::vector<fs::path>& names) {
  std::vector<fs::path> files;
  for (const auto& name : names) files.push_back("set" / name);
  try {
    require_one_whole_split("source s", "set", files);
    return "";
  } catch (const UserError& error) {
    return error.what();
  }
}

TEST(Splits, OneOfThemIsAsked) {
  EXPECT_THAT(refusal_of({"data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"}),
              HasSubstr("several splits (test, train). Set path to one of them: set/data/test*.parquet, "
                        "set/data/train*.parquet"));
  EXPECT_THAT(refusal_of({"default/Train/0000.parquet", "default/validation/0000.parquet"}),
              HasSubstr("set/default/Train, set/default/validation"));
  EXPECT_THAT(refusal_of({"test.parquet", "train_1.parquet", "more.parquet"}), HasSubstr("(test, train)"));
}

TEST(Splits, OthersAreNotSplits) {
  EXPECT_EQ(refusal_of({"train-00000-of-00002.parquet", "train-00001-of-00002.parquet"}), "");
  EXPECT_EQ(refusal_of({"train/0.parquet", "train/1.parquet"}), "");
  EXPECT_EQ(refusal_of({"00000.parquet", "00001.parquet", "train.parquet"}), "");
  EXPECT_EQ(refusal_of({"testimony.parquet", "trains.parquet"}), "") << "words that begin so";
  EXPECT_EQ(refusal_of({"a/shard.00000.mds", "b/shard.00000.mds"}), "");
}

TEST(Splits, MissingPartsAreNamed) {
  EXPECT_THAT(refusal_of({"train-00000-of-00004.parquet", "train-00002-of-00004.parquet"}),
              HasSubstr("set/train-*-of-00004.parquet: 2 of 4 parts are missing: 1, 3."));
  EXPECT_THAT(refusal_of({"x/a-1-of-2.parquet", "y/a-0-of-2.parquet"}), HasSubstr("2 problems"))
      << "two folders";
  EXPECT_EQ(refusal_of({"a-00000-of-00001.parquet"}), "");
  for (const char* name : {"-of-2.parquet", "a-of-2.parquet", "a-x-of-2.parquet", "a-3-of-2.parquet",
                           "a-0-of-99999999.parquet", "a--of-.parquet", "a-1-of-two.parquet"})
    EXPECT_EQ(refusal_of({name}), "") << name;
}

}  // namespace
}  // namespace pixart::data

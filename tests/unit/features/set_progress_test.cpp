#include "set_progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "scratch_folder.h"

namespace pixart::features {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class SetProgressTest : public testing::ScratchFolder {
 protected:
  // Ten shards of ten items; `others` of them exist after the first ten items of this process.
  std::string said(int others) const {
    data::FeatureWork work;
    work.folder = folder_;
    work.items = 100, work.items_per_shard = 10;
    ::testing::internal::CaptureStderr();
    {
      SetProgress progress("encode", "image", work, 0.01);
      progress.add(10);
      for (int shard = 0; shard < others; ++shard) write(fmt::format("shard-{:05}.safetensors", shard), "");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      progress.add(10);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      progress.add(5);
      if (others == 10) progress.finish();
    }
    return ::testing::internal::GetCapturedStderr();
  }
};

TEST_F(SetProgressTest, OfOneProcessIsThatOfTheSet) {
  EXPECT_THAT(said(0),
              AllOf(HasSubstr("10/100 images"), HasSubstr("25/100 images"), Not(HasSubstr("this process"))));
}

TEST_F(SetProgressTest, CountsTheShardsOfOthersAndShowsItsOwnRate) {
  EXPECT_THAT(said(6), AllOf(HasSubstr("10/100 images"), HasSubstr("60/100 images"),
                             HasSubstr("left  this process "), Not(HasSubstr("100/100"))));
}

TEST_F(SetProgressTest, ACompleteSetIsWhole) { EXPECT_THAT(said(10), HasSubstr("100 %  100/100 images")); }

}  // namespace
}  // namespace pixart::features

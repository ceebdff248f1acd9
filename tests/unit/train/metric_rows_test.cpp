#include "metric_rows.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <mutex>
#include <set>

#include "ranks.h"

namespace pixart::train {
namespace {

using distributed::Communicator;
using distributed::testing::with_ranks;
using ::testing::Each;

constexpr double kRowPatience = 60;
constexpr int64_t kRowWidth = 3;
const auto kNeverStops = [] { return false; };

std::string hash_of(int64_t image) { return fmt::format("{:064}", image); }

// A row tells its image, and with which others it was made.
score::DrawnRows named(int64_t first, int64_t count) {
  score::DrawnRows made{.rows = at::empty({count, kRowWidth})};
  for (int64_t i = 0; i < count; ++i) {
    made.rows[i].copy_(at::tensor({float(first + i), float(first), float(count)}));
    made.hashes.push_back(hash_of(first + i));
  }
  return made;
}

TEST(MetricRows, AreTheSameOnEveryNumberOfRanksAndEachGroupIsMadeOnce) {
  for (const int64_t images : {2, 5, 12}) {
    const MetricGroups groups{.images = images, .size = 2};
    for (const int world : {1, 2, 4, 7}) {
      std::multiset<int64_t> made;
      std::mutex mutex;
      const auto errors = with_ranks(world, kRowPatience, [&](Communicator& ranks) {
        const MakeRows make = [&](int64_t first, int64_t count, const auto&) {
          const std::scoped_lock lock(mutex);
          made.insert(first);
          return named(first, count);
        };
        const auto all = rows_together(groups, kRowWidth, make, ranks, "metrics", kNeverStops).value();
        ASSERT_EQ(all.rows.size(0), images);
        for (int64_t i = 0; i < images; ++i) {
          const int64_t first = i / 2 * 2;
          EXPECT_EQ(all.rows[i][0].item<int64_t>(), i);
          EXPECT_EQ(all.rows[i][1].item<int64_t>(), first);
          EXPECT_EQ(all.rows[i][2].item<int64_t>(), std::min<int64_t>(2, images - first));
          EXPECT_EQ(all.hashes[size_t(i)], hash_of(i));
        }
      });
      EXPECT_THAT(errors, Each(""));
      EXPECT_EQ(int64_t(made.size()), groups.count());
    }
  }
}

TEST(MetricRows, EndOnAllRanksWhenOneIsAsked) {
  const auto errors = with_ranks(3, kRowPatience, [&](Communicator& ranks) {
    int polls = 0, made = 0;
    const auto stop = [&] { return ++polls == 3 && ranks.rank() == 1; };
    const MakeRows make = [&](int64_t first, int64_t count, const std::function<bool()>& asked) {
      ++made;
      return asked() ? score::DrawnRows{} : named(first, count);
    };
    EXPECT_FALSE(
        rows_together({.images = 30, .size = 2}, kRowWidth, make, ranks, "metrics", stop).has_value());
    EXPECT_LT(made, 5);
  });
  EXPECT_THAT(errors, Each(""));
}

// Nothing but the images decides the groups, and a rank has work where there are 64 ranks.
TEST(MetricGroups, DependOnTheImagesAlone) {
  EXPECT_EQ(metric_groups(2, 256).size, 1);
  EXPECT_EQ(metric_groups(500, 256).size, 7);
  EXPECT_EQ(metric_groups(30000, 256).size, 16);
  EXPECT_EQ(metric_groups(30000, 1024).size, 4);
  const MetricGroups groups{.images = 5, .size = 2};
  EXPECT_EQ(groups.of_rank(1, 2), std::vector<int64_t>{1});
  EXPECT_EQ(groups.size_of(2), 1);
}

}  // namespace
}  // namespace pixart::train

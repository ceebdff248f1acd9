#include "drawing.h"

#include <gmock/gmock.h>

#include <chrono>
#include <mutex>
#include <set>
#include <thread>

#include "pixart/base/error.h"
#include "ranks.h"

namespace pixart::train {
namespace {

using distributed::Communicator;
using distributed::testing::with_ranks;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

constexpr double kPatience = 60;
const auto kNever = [] { return false; };

// Images whose first value is their number, and whose last one tells with which others they were drawn.
class Named {
 public:
  Named(int64_t total, int64_t group) {
    drawing_.captions.assign(size_t(total), "");
    drawing_.group = group;
    drawing_.draw = [this](int64_t first, int64_t count, const auto&) {
      const std::scoped_lock lock(mutex_);
      std::vector<Image> images;
      for (int64_t i = 0; i < count; ++i) {
        Image image(2, 3, uint8_t(first + i));
        image.rgb.back() = uint8_t(100 * first + count);
        images.push_back(image);
      }
      groups_.insert(first);
      return images;
    };
  }
  const Drawing& drawing() const { return drawing_; }
  const std::multiset<int64_t>& groups() const { return groups_; }  // the first image of each, on any rank

 private:
  Drawing drawing_;
  std::mutex mutex_;
  std::multiset<int64_t> groups_;
};

std::vector<std::vector<uint8_t>> bytes_of(const std::vector<Image>& images) {
  std::vector<std::vector<uint8_t>> bytes;
  for (const auto& image : images) bytes.push_back(image.rgb);
  return bytes;
}

TEST(Drawing, IsTheSameOnEveryNumberOfRanksAndEachGroupIsDrawnOnce) {
  for (const int64_t total : {0, 1, 4, 10}) {
    std::vector<std::vector<uint8_t>> expected;
    for (const int world : {1, 2, 4, 7}) {
      Named named(total, 4);
      std::vector<std::vector<std::vector<uint8_t>>> found(static_cast<size_t>(world));
      const auto errors = with_ranks(world, kPatience, [&](Communicator& ranks) {
        const auto images = draw_together(named.drawing(), ranks, "drawing", kNever);
        found[size_t(ranks.rank())] = bytes_of(images.value());
      });
      EXPECT_THAT(errors, Each(""));
      if (world == 1) expected = found[0];
      EXPECT_EQ(expected.size(), size_t(total));
      EXPECT_THAT(found, Each(expected)) << world << " ranks";
      std::multiset<int64_t> groups;
      for (int64_t first = 0; first < total; first += 4) groups.insert(first);
      EXPECT_EQ(named.groups(), groups);
    }
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(expected[i][0], i);
  }
}

TEST(Drawing, EndsOnAllRanksWhenOneIsAsked) {
  const auto errors = with_ranks(3, kPatience, [&](Communicator& ranks) {
    Named named(30, 2);
    int polls = 0;
    const auto stop = [&] { return ++polls == 3 && ranks.rank() == 1; };
    EXPECT_FALSE(draw_together(named.drawing(), ranks, "drawing", stop).has_value());
    EXPECT_EQ(named.groups().size(), 2u);
  });
  EXPECT_THAT(errors, Each(""));
}

TEST(Drawing, AnErrorOfOneRankIsThrownOnAll) {
  const auto errors = with_ranks(2, kPatience, [&](Communicator& ranks) {
    Named named(4, 1);
    Drawing drawing = named.drawing();
    if (ranks.rank() == 1)
      drawing.draw = [](int64_t, int64_t, const auto&) -> std::vector<Image> {
        throw UserError("no memory");
      };
    draw_together(drawing, ranks, "drawing", kNever);
  });
  EXPECT_THAT(errors, Each("rank 1: no memory"));
}

// One group, drawn by rank 0 in pieces of 0.2 s.
Drawing slow(int pieces) {
  Drawing drawing{.captions = {"slow"}};
  drawing.draw = [pieces](int64_t, int64_t, const std::function<bool()>& asked_to_stop) {
    for (int i = 0; i < pieces && !asked_to_stop(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return std::vector<Image>{Image(1, 1)};
  };
  return drawing;
}

TEST(Drawing, MayTakeLongerThanTheTimeOut) {
  constexpr double kTimeout = 2;
  const auto errors = with_ranks(3, kTimeout, [&](Communicator& ranks) {
    EXPECT_TRUE(draw_together(slow(20), ranks, "drawing", kNever).has_value());
  });
  EXPECT_THAT(errors, Each(""));
}

TEST(Drawing, ARankThatHangsInAPieceIsNamed) {
  constexpr double kTimeout = 0.5;
  Drawing hanging{.captions = {"slow"}};
  hanging.draw = [](int64_t, int64_t, const auto&) {
    std::this_thread::sleep_for(std::chrono::seconds(3));
    return std::vector<Image>{Image(1, 1)};
  };
  const auto errors = with_ranks(
      2, kTimeout, [&](Communicator& ranks) { draw_together(hanging, ranks, "drawing samples", kNever); });
  EXPECT_THAT(errors, Each(AllOf(HasSubstr("no sign for 0.5 s of rank 0"), HasSubstr("drawing samples"))));
}

}  // namespace
}  // namespace pixart::train

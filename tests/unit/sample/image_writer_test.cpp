#include "image_writer.h"

#include <gmock/gmock.h>

#include <chrono>
#include <future>
#include <vector>

namespace pixart::sample {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

Image image_of(int64_t number) { return {4, 4, uint8_t(number)}; }

TEST(ImageWriter, SavesInTheOrderOfAdding) {
  std::vector<int64_t> saved;
  std::thread::id saver;
  const auto save = [&](int64_t number, const Image& image) {
    EXPECT_EQ(image.rgb.front(), number);
    saved.push_back(number);
    saver = std::this_thread::get_id();
  };
  ImageWriter writer(save);
  std::vector<int64_t> added;
  for (int64_t i = 0; i < 40; ++i) {
    writer.add(i, image_of(i));
    added.push_back(i);
  }
  writer.finish();
  EXPECT_EQ(saved, added);
  EXPECT_NE(saver, std::this_thread::get_id());
}

// After an error of drawing, too, images that are complete are kept.
TEST(ImageWriter, SavesWhatWaitsWhenItEnds) {
  std::vector<int64_t> saved;
  {
    ImageWriter writer([&](int64_t number, const Image&) {
      std::this_thread::sleep_for(1ms);
      saved.push_back(number);
    });
    for (int64_t i = 0; i < 5; ++i) writer.add(i, image_of(i));
  }
  EXPECT_THAT(saved, ElementsAre(0, 1, 2, 3, 4));
}

TEST(ImageWriter, ASlowDiskHoldsUpDrawingOnlyWhenManyImagesWait) {
  std::promise<void> disk;
  const auto is_ready = disk.get_future().share();
  int64_t num_saved = 0;
  ImageWriter writer([&](int64_t, const Image&) {
    is_ready.wait();
    ++num_saved;
  });
  for (int64_t i = 0; i < 8; ++i) writer.add(i, image_of(i));  // would wait for ever if it held up
  auto ninth = std::async(std::launch::async, [&] { writer.add(8, image_of(8)); });
  EXPECT_EQ(ninth.wait_for(100ms), std::future_status::timeout) << "memory would grow";
  disk.set_value();
  ninth.get();
  writer.finish();
  EXPECT_EQ(num_saved, 9);
}

TEST(ImageWriter, AFailureIsThrownAndEndsSaving) {
  std::vector<int64_t> saved;
  ImageWriter writer([&](int64_t number, const Image&) {
    if (number == 1) throw UserError("the disk is full", ExitCode::kStorage);
    saved.push_back(number);
  });
  const auto add_all = [&] {
    for (int64_t i = 0; i < 40; ++i) writer.add(i, image_of(i));
  };
  const auto expect_failure = [](const auto& work) {
    try {
      work();
      ADD_FAILURE() << "nothing was thrown";
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), HasSubstr("the disk is full"));
      EXPECT_EQ(error.code(), ExitCode::kStorage);
    }
  };
  expect_failure(add_all);
  expect_failure([&] { writer.finish(); });
  EXPECT_THAT(saved, ElementsAre(0));
}

}  // namespace
}  // namespace pixart::sample

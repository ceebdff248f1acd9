// Several processes make the parts of a listing together.
#include "listing_parts.h"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "folder.h"
#include "part_bytes.h"
#include "pixart/base/file.h"
#include "spilled_vector.h"

namespace pixart::data {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(SpilledVector, IsTheSameInMemoryAndInAFile) {
  SpilledVector<uint64_t> numbers;
  constexpr size_t kCount = 3 * SpilledBytes::kMostInMemory / sizeof(uint64_t);
  for (size_t i = 0; i < kCount; ++i) numbers.push_back(i * i);
  SpilledVector<uint64_t> moved = std::move(numbers);
  EXPECT_EQ(numbers.size(), 0u);
  ASSERT_EQ(moved.size(), kCount);
  for (size_t i = 0; i < kCount; ++i) ASSERT_EQ(moved[i], i * i);
  moved.resize(10);
  moved.append(std::vector<uint64_t>{7, 8});
  EXPECT_EQ(moved.back(), 8u);
  moved.resize(13);
  EXPECT_EQ(moved.back(), 0u);
  SpilledBytes bytes(10);
  bytes.reserve(5);
  EXPECT_FALSE(bytes.is_in_file());
  bytes.data()[4] = 'x';
  bytes.reserve(5000);
  EXPECT_EQ(bytes.data()[4], 'x');
}

TEST(PartBytes, AnnounceNoMoreThanIsThere) {
  PartWriter writer;
  writer.text("abc"), writer.number(7), writer.values(std::span<const uint16_t>(std::vector<uint16_t>{1, 2}));
  const std::string bytes = writer.take();
  PartReader reader(bytes);
  EXPECT_EQ(reader.text(), "abc");
  EXPECT_EQ(reader.number(), 7u);
  std::vector<uint16_t> values;
  reader.values<uint16_t>(values);
  EXPECT_EQ(values, (std::vector<uint16_t>{1, 2}));
  EXPECT_TRUE(reader.is_at_end());
  for (size_t size = 0; size < bytes.size(); ++size) {
    PartReader cut(std::string_view(bytes).substr(0, size));
    EXPECT_THROW((cut.text(), cut.number(), cut.values<uint16_t>(values)), DamagedPart) << size;
  }
}

class ListingParts : public Folder {
 protected:
  static constexpr int64_t kParts = 30;

  // Of which each part is a text with its number; `in_part` is called before.
  ListingStep step(std::string& taken, std::function<void(int64_t)> in_part = {}) const {
    return {.name = "test",
            .what = "test",
            .unit = "part",
            .parts = kParts,
            .threads = 2,
            .make =
                [this, in_part](int64_t part, ListingWatch& own) {
                  own.reads(folder_ / "input");
                  if (in_part) in_part(part);
                  append_to_file(folder_ / "made", fmt::format("{}\n", part));
                  return fmt::format("part {}\n", part);
                },
            .take = [&taken](int64_t, std::string_view result) { taken += result; }};
  }
  static std::string all() {
    std::string text;
    for (int64_t i = 0; i < kParts; ++i) text += fmt::format("part {}\n", i);
    return text;
  }
  SharedListing shared() const {
    return {.folder = folder_ / "parts", .config = "c", .makes_index = true, .help_after_seconds = 0.2};
  }
  std::string run(const SharedListing& listing, std::function<void(int64_t)> in_part = {}) const {
    std::string taken;
    ListingWatch watch;
    watch.shared = &listing;
    run_step(step(taken, std::move(in_part)), watch);
    EXPECT_THAT(watch.inputs(), SizeIs(1)) << "inputs of parts that others made are known, too";
    return taken;
  }
  int64_t num_made() const {
    const std::string made = fs::exists(folder_ / "made") ? read_file(folder_ / "made") : "";
    return std::count(made.begin(), made.end(), '\n');
  }
};

TEST_F(ListingParts, AloneTheyAreTakenInOrder) {
  std::string taken;
  ListingWatch watch;
  run_step(step(taken), watch);
  EXPECT_EQ(taken, all());
  EXPECT_EQ(num_made(), kParts);
  EXPECT_FALSE(fs::exists(folder_ / "parts"));
}

// One of four processes is killed within a part, and another one takes long for one.
TEST_F(ListingParts, FourProcessesOfWhichOneIsKilledAndOneIsSlow) {
  static constexpr std::chrono::seconds kSlow{20};
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      run(shared(), [i](int64_t part) {
        if (i == 0 && part > 2) ::raise(SIGKILL);
        if (i == 1 && part > 3) std::this_thread::sleep_for(kSlow);
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      });
      ::_exit(0);
    }
    children.push_back(child);
  }
  const double begin = monotonic_seconds();
  const auto slowly = [](int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); };
  EXPECT_EQ(run(shared(), slowly), all());
  EXPECT_LT(monotonic_seconds() - begin, double(kSlow.count()) / 2);
  EXPECT_GE(num_made(), kParts);
  EXPECT_LE(num_made(), kParts + 8) << "few parts are made twice";
  for (const pid_t child : children) ::kill(child, SIGKILL), ::waitpid(child, nullptr, 0);
  const int64_t before = num_made();
  EXPECT_EQ(run(shared()), all());
  EXPECT_EQ(num_made(), before) << "a later process goes on with them";
  delete_parts(folder_ / "parts");
  EXPECT_FALSE(fs::exists(folder_ / "parts"));
}

TEST_F(ListingParts, OthersStopWhereTheIndexIsMade) {
  auto helper = shared();
  helper.makes_index = false;
  EXPECT_EQ(run(helper), all()) << "a later step needs them";
  ListingWatch watch;
  watch.shared = &helper;
  std::string taken;
  auto last = step(taken);
  last.is_last = true;
  EXPECT_THROW(run_step(last, watch), MadeElsewhere);
  EXPECT_EQ(taken, "");
}

TEST_F(ListingParts, AreMadeAgainIfTheirFilesChangeOrTheyAreDamaged) {
  EXPECT_EQ(run(shared()), all());
  write("input", "other");
  EXPECT_EQ(run(shared()), all());
  EXPECT_EQ(num_made(), 2 * kParts);
  int64_t damaged = 0;
  for (const auto& entry : fs::directory_iterator(folder_ / "parts"))
    if (++damaged <= 4)
      std::ofstream(entry.path(), std::ios::binary) << std::string(size_t(damaged * 9), 'x');
  EXPECT_EQ(run(shared()), all());
  EXPECT_EQ(num_made(), 2 * kParts + 4);
  auto other = shared();
  other.config = "d";
  EXPECT_EQ(run(other), all());
  EXPECT_EQ(num_made(), 3 * kParts + 4) << "another config has other parts";
  write("parts/mine.txt", "x");
  delete_parts(folder_ / "parts");
  EXPECT_TRUE(fs::exists(folder_ / "parts/mine.txt"));
}

TEST_F(ListingParts, AFaultInAPartEndsTheStep) {
  const auto fails = [](int64_t part) {
    if (part == 3) throw UserError("part 3 cannot be made.");
  };
  EXPECT_THAT([&] { run(shared(), fails); },
              ::testing::Throws<UserError>(::testing::Property(&std::exception::what, HasSubstr("part 3"))));
  EXPECT_EQ(run(shared()), all());
}

}  // namespace
}  // namespace pixart::data

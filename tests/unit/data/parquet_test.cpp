#include <atomic>
#include <thread>

#include "folder.h"
#include "parquet_cache.h"
#include "parquet_table.h"
#include "pixart/data/recognise.h"

namespace pixart::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ParquetValues page_of(size_t bytes) {
  return {.first = {}, .bytes = std::string(bytes, 'x'), .places = {}, .numbers = {}};
}

TEST(ParquetCache, KeepsThePagesThatWereUsedLast) {
  ParquetCache cache(2500);
  int num_decoded = 0;
  const auto get = [&](uint64_t page) {
    return cache.get({0, 0, 0, page}, [&] { return ++num_decoded, page_of(1000); });
  };
  get(1), get(2), get(1);
  EXPECT_EQ(num_decoded, 2);
  const auto kept = get(3);  // drops page 2
  get(1);
  EXPECT_EQ(num_decoded, 3);
  get(2);
  EXPECT_EQ(num_decoded, 4);
  EXPECT_LE(cache.bytes(), 2600u);
  get(4), get(5);
  EXPECT_EQ(kept->bytes.size(), 1000u);  // in use
}

TEST(ParquetCache, KeepsOnePageThatIsTooLarge) {
  ParquetCache cache(10);
  cache.get({}, [] { return page_of(1000); });
  EXPECT_GE(cache.bytes(), 1000u);
}

TEST(ParquetCache, DecodesAPageOnceForSeveralThreads) {
  ParquetCache cache(1 << 20);
  std::atomic<int> num_decoded{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] { cache.get({}, [&] { return ++num_decoded, page_of(10); }); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(num_decoded, 1);
}

class Parquet : public Folder {};

TEST_F(Parquet, FindsFilesHereOrBelow) {
  write("data/b.parquet", "x");
  write("data/a.PARQUET", "x");
  write("data/.c.parquet", "x");
  write("README.md", "x");
  EXPECT_THAT(find_parquet(folder_), ElementsAre(folder_ / "data/a.PARQUET", folder_ / "data/b.parquet"));
  EXPECT_THAT(find_parquet(folder_ / "data" / "b*.parquet"), ElementsAre(folder_ / "data/b.parquet"));
  write("top.parquet", "x");
  EXPECT_THAT(find_parquet(folder_), ElementsAre(folder_ / "top.parquet"));
  EXPECT_EQ(recognised_type(folder_.string()), "parquet");
}

// With the plugin the file is refused; without it, the message says what to do.
TEST_F(Parquet, RefusesWhatIsNotParquet) {
  write("a.parquet", "no Parquet file at all");
  SourceConfig config;
  config.name = "s";
  config.type = "parquet";
  config.path = folder_ / "a.parquet";
  EXPECT_THAT(refusal(config),
              ::testing::AnyOf(HasSubstr("is not a whole Parquet file"), HasSubstr("scripts/setup.sh")));
  config.path = folder_ / "b.parquet";
  EXPECT_THAT(refusal(config), HasSubstr("found no .parquet file"));
}

TEST_F(Parquet, FoldersWithEmptyFilesOrImagesAreRecognised) {
  write("empty/a.parquet", "");
  EXPECT_EQ(recognised_type((folder_ / "empty").string()), "parquet");
  write("list/a.parquet", "x");
  write("list/1.png", "more bytes than the list of images has");
  EXPECT_EQ(recognised_type((folder_ / "list").string()), "parquet");
  write("list/1.txt", "a caption");
  EXPECT_EQ(recognised_type((folder_ / "list").string()), "image_folder");
  write("classes/a.parquet", "x");
  write("classes/cat/1.png", "an image of a class");
  EXPECT_EQ(recognised_type((folder_ / "classes").string()), "class_folder");
}

TEST_F(Parquet, FoldersOfArrowFilesAreNamed) {
  write("saved/data-00000-of-00001.arrow", "x");
  write("saved/state.json", "{}");
  write("splits/dataset_dict.json", "{}");
  SourceConfig config;
  config.name = "s";
  for (const std::string folder : {"saved", "splits"}) {
    config.path = folder_ / folder;
    EXPECT_THAT(refusal(config), HasSubstr("use type: parquet: python3 -c"));
    EXPECT_THAT([&] { recognised_type(config.path.string()); }, ::testing::Throws<UserError>());
  }
}

TEST_F(Parquet, AFolderWithSeveralSplitsIsRefused) {
  write("data/train-00000-of-00001.parquet", "x");
  write("data/test-00000-of-00001.parquet", "x");
  SourceConfig config;
  config.name = "s";
  config.type = "parquet";
  config.path = folder_;
  EXPECT_THAT(refusal(config), HasSubstr("data/train*.parquet"));
  config.path = folder_ / "data/*.parquet";
  EXPECT_THAT(refusal(config), ::testing::Not(HasSubstr("splits"))) << "a glob says which are meant";
}

}  // namespace
}  // namespace pixart::data

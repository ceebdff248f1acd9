#include "links.h"

#include "folder.h"
#include "pixart/base/file.h"
#include "pixart/formats/tar.h"

namespace pixart::data {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class LinkedData : public Folder {
 protected:
  LinkedData() {
    write("outside/secret.txt", "the secret");
    image("outside/other.png", 9);
    captioned("set/a", "a");
    captioned("set/deep/b", "b");
  }
  SourceConfig config(const std::string& type = "image_folder", const std::string& path = "set") const {
    SourceConfig config;
    config.name = "linked";
    config.type = type;
    config.path = folder_ / path;
    return config;
  }
  void link(const std::string& target, const std::string& path) const {
    fs::create_directories((folder_ / path).parent_path());
    fs::create_symlink(target.starts_with('/') ? fs::path(target) : folder_ / target, folder_ / path);
  }
  // Refused without follow_links, with the words; the source with it.
  std::unique_ptr<Dataset> opened_when_trusted(SourceConfig config, const std::string& words) const {
    EXPECT_THAT(refusal(config), AllOf(HasSubstr("lead out of the source's folder"), HasSubstr(words),
                                       HasSubstr("follow_links: true")));
    config.follow_links = true;
    return open_dataset(config);
  }
};

TEST_F(LinkedData, ACaptionFromOutsideIsRefused) {
  image("set/c.png");
  link("outside/secret.txt", "set/c.txt");
  const auto dataset = opened_when_trusted(
      config(),
      "1 symbolic link(s) lead out of the source's folder, so any file of this machine could become a "
      "part of the data: c.txt -> " +
          fs::canonical(folder_ / "outside/secret.txt").string());
  EXPECT_EQ(dataset->caption(1), "the secret");
}

TEST_F(LinkedData, AllThatLeadOutAreNamedAtOnce) {
  link("outside/other.png", "set/c.png");
  link("outside", "set/folder");
  link("outside/secret.txt", "set/deep/d.txt");
  image("set/deep/d.png");
  const std::string why = refusal(config());
  EXPECT_THAT(why, AllOf(HasSubstr("3 symbolic link(s)"), HasSubstr("c.png -> "), HasSubstr("folder -> "),
                         HasSubstr("deep/d.txt -> "), Not(HasSubstr("a.txt"))));
}

TEST_F(LinkedData, LinksInsideTheFolderAreFollowed) {
  link("set/a.png", "set/again.png");
  fs::create_symlink("../a.txt", folder_ / "set/deep/c.txt");
  image("set/deep/c.png");
  write("set/again.txt", "again");
  link("set/deep", "set/also");
  link("set", "set/deep/circle");
  EXPECT_THAT(keys_of(*open_dataset(config())),
              ElementsAre("a.png", "again.png", "also/b.png", "also/c.png", "deep/b.png", "deep/c.png"));
}

TEST_F(LinkedData, ThePathOfTheSourceMayBeALink) {
  link("set", "data");
  EXPECT_THAT(keys_of(*open_dataset(config("image_folder", "data"))), ElementsAre("a.png", "deep/b.png"));
  link("outside/other.png", "set/c.png");
  EXPECT_THAT(refusal(config("image_folder", "data")), HasSubstr("c.png -> "));
}

TEST_F(LinkedData, AnIncludedFolderAndAClassMayNotLeadOut) {
  captioned("outside/x", "x");
  fs::remove(folder_ / "outside/other.png");
  link("outside", "set/more");
  auto some = config();
  some.include = {"more"};
  EXPECT_THAT(keys_of(*opened_when_trusted(some, "more -> ")), ElementsAre("more/x.png"));
  image("classes/cat/1.png");
  link("outside", "classes/dog");
  EXPECT_THAT(keys_of(*opened_when_trusted(config("class_folder", "classes"), "dog -> ")),
              ElementsAre("cat/1.png", "dog/x.png"));
}

TEST_F(LinkedData, RowsOfATableMayNotLeadOut) {
  write("set/t.csv", "image,caption\na.png,x\nlinked/other.png,y\ndeep/c.png,z\n");
  link("outside", "set/linked");
  link("outside/other.png", "set/deep/c.png");
  const auto dataset = opened_when_trusted(config("table"), "2 symbolic link(s)");
  EXPECT_EQ(dataset->size(), 3);
  EXPECT_THAT(refusal(config("table")),
              AllOf(HasSubstr("linked/other.png -> "), HasSubstr("deep/c.png -> ")));
}

TEST_F(LinkedData, ATableOfTheFolderMayNotLeadOutButANamedOneMay) {
  write("outside/rows.csv", "image,caption\na.png,x\n");
  link("outside/rows.csv", "set/t.csv");
  opened_when_trusted(config("table"), "t.csv -> ");
  EXPECT_THAT(keys_of(*open_dataset(config("table", "set/t.csv"))), ElementsAre("a.png"));
}

TEST_F(LinkedData, ShardsOfTheFolderMayNotLeadOutButNamedOnesMay) {
  {
    formats::TarWriter shard(folder_ / "outside/s.tar");
    shard.add("a.png", read_file(folder_ / "set/a.png"));
    shard.add("a.txt", "x");
    shard.commit();
  }
  link("outside/s.tar", "shards/s.tar");
  EXPECT_THAT(keys_of(*opened_when_trusted(config("webdataset", "shards"), "s.tar -> ")), ElementsAre("a"));
  EXPECT_EQ(open_dataset(config("webdataset", "shards/s.tar"))->size(), 1);
  EXPECT_EQ(open_dataset(config("webdataset", "shards/*.tar"))->size(), 1);
  link("outside/secret.txt", "shards/classes.txt");
  EXPECT_THAT(refusal(config("webdataset", "shards/*.tar")), HasSubstr("classes.txt -> "));
}

TEST_F(LinkedData, ABrokenLinkIsAMissingFile) {
  link("/nowhere/at/all.png", "set/c.png");
  EXPECT_THAT(rejected_of(*open_dataset(config())), ElementsAre("c.png missing_file"));
}

}  // namespace
}  // namespace pixart::data

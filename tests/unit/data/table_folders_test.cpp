// Tables in several folders, as Hugging Face's repositories and its cache have them.
#include "shards.h"

namespace pixart::data {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TableFolders : public ShardFolder {
 protected:
  SourceConfig table(const std::string& path) const {
    auto result = config(path, "table");
    result.missing_caption = MissingCaption::kError;
    result.quarantine_budget = 0.001;
    return result;
  }
  // Images 0.png ... of `folder`.
  void images(int count, const std::string& folder = "") const {
    for (int i = 0; i < count; ++i) image(fmt::format("{}{}.png", folder, i), uint8_t(i));
  }
};

// As Hugging Face's folders have them: keys name the sub-folder.
TEST_F(TableFolders, TablesInSubFolders) {
  for (const char* name : {"metadata.jsonl", "metadata.csv", "METADATA.JSONL"})
    for (const char* depth : {"", "data/"}) {
      fs::remove_all(folder_ / "set");
      for (const std::string part : {"one", "two"}) {
        images(2, "set/" + (depth + part) + "/");
        const bool is_csv = std::string(name).ends_with("csv");
        const std::string rows = is_csv ? "file_name,text\n0.png," + part + " 0\n1.png," + part + " 1\n"
                                        : "{\"file_name\": \"0.png\", \"text\": \"" + part +
                                              " 0\"}\n{\"file_name\": \"1.png\", \"text\": \"" + part +
                                              " 1\"}\n";
        write("set/" + (depth + part) + "/" + name, rows);
      }
      for (const char* path : {"set", "set/"}) {
        const auto dataset = open_dataset(table(path));
        EXPECT_THAT(keys_of(*dataset),
                    ElementsAre(depth + std::string("one/0.png"), depth + std::string("one/1.png"),
                                depth + std::string("two/0.png"), depth + std::string("two/1.png")));
        EXPECT_THAT(dataset->rejected(), IsEmpty());
        EXPECT_EQ(dataset->caption(2), "two 0");
      }
      EXPECT_THAT(keys_of(*open_dataset(table("set/" + std::string(depth) + "two"))),
                  ElementsAre("0.png", "1.png"))
          << "one sub-folder has the keys of a plain folder";
    }
}

// One of several splits is usually kept from training.
TEST_F(TableFolders, OneOfSeveralSplitsIsAsked) {
  for (const std::string split : {"test", "train"}) {
    images(1, "set/" + split + "/");
    write("set/" + split + "/metadata.csv", "file_name,text\n0.png,x\n");
  }
  EXPECT_THAT(refusal(table("set")), HasSubstr("several splits (test, train). Set path to one of them: " +
                                               (folder_ / "set/test").string()));
  EXPECT_EQ(open_dataset(table("set/train"))->size(), 1);
  EXPECT_EQ(open_dataset(table("set/*/metadata.csv"))->size(), 2) << "a glob says which are meant";
  write("set/train.csv", "file_name,text\ntrain/0.png,x\n");
  write("set/test.csv", "file_name,text\ntest/0.png,x\n");
  EXPECT_THAT(refusal(table("set")), HasSubstr("set/train*.csv"));
}

TEST_F(TableFolders, KeysOfAGlobNameTheFolderOnlyWhereTheyMust) {
  for (const std::string part : {"a", "b"}) {
    images(2, "in/" + part + "/");
    write("in/" + part + "/t.csv", "image,caption\n0.png,x\n1.png,y\n");
    image("other/" + part + "/" + part + ".png");
    write("other/" + part + "/t.csv", "image,caption\n" + part + ".png,x\n");
  }
  EXPECT_THAT(keys_of(*open_dataset(table("in/*/t.csv"))),
              ElementsAre("a/0.png", "a/1.png", "b/0.png", "b/1.png"));
  EXPECT_THAT(keys_of(*open_dataset(table("other/*/t.csv"))), ElementsAre("a.png", "b.png"));
  auto shared = table("in/*/t.csv");
  shared.images = folder_ / "in/a";
  EXPECT_THAT(keys_of(*open_dataset(shared)), ElementsAre("0.png", "1.png"));
}

TEST_F(TableFolders, TablesWithoutImagesAreLeftOut) {
  images(2);
  write("metadata.csv", "image,caption\n0.png,x\n1.png,y\n");
  const auto before = open_dataset(table(""))->fingerprint();
  write("scores.csv", "id,score\n0,1.5\n1,2.5\n");
  write("quarantine.jsonl", R"({"source": "s", "row": 1, "key": "9.png", "reason": "bad_row"})");
  const auto dataset = open_dataset(table(""));
  EXPECT_THAT(keys_of(*dataset), ElementsAre("0.png", "1.png"));
  EXPECT_EQ(dataset->fingerprint(), before);
}

TEST_F(TableFolders, AbsolutePathsMayGoThroughALink) {
  images(1, "real/");
  fs::create_directory_symlink(folder_ / "real", folder_ / "link");
  const auto row = [&](const std::string& folder) {
    return "image,caption\n" + (folder_ / folder / "0.png").string() + ",x\n";
  };
  for (const std::string root : {"real", "link"})
    for (const std::string named : {"real", "link"}) {
      write("t.csv", row(named));
      auto linked = table("t.csv");
      linked.images = folder_ / root;
      EXPECT_THAT(keys_of(*open_dataset(linked)), ElementsAre("0.png")) << root << " " << named;
    }
}

// Two tables of one folder count as two, and a table without rows has a folder, too.
TEST_F(TableFolders, KeysOfAGlobNameTheFolderAlsoForTwoTablesOfOneFolder) {
  images(2, "in/a/");
  images(1, "in/b/");
  write("in/a/t1.csv", "image,caption\n0.png,x\n");
  write("in/a/t2.csv", "image,caption\n0.png,y\n1.png,z\n");
  write("in/b/t1.csv", "image,caption\n0.png,x\n");
  EXPECT_THAT(keys_of(*open_dataset(table("in/a/*.csv"))), ElementsAre("0.png", "1.png"));
  fs::rename(folder_ / "in/b/0.png", folder_ / "in/b/2.png");
  write("in/b/t1.csv", "image,caption\n2.png,x\n");
  EXPECT_THAT(keys_of(*open_dataset(table("in/*/*.csv"))), ElementsAre("a/0.png", "a/1.png", "b/2.png"));
  write("in/b/t1.csv", "image,caption\n");
  EXPECT_THAT(keys_of(*open_dataset(table("in/*/*.csv"))), ElementsAre("a/0.png", "a/1.png"));
}

// As in the cache of Hugging Face, where all files are links.
TEST_F(TableFolders, TablesAndImagesMayBeLinks) {
  images(1, "blobs/");
  write("blobs/1234", "image,caption\n0.png,x\n");
  fs::create_directories(folder_ / "snapshot");
  fs::create_symlink("../blobs/1234", folder_ / "snapshot/metadata.csv");
  fs::create_symlink("../blobs/0.png", folder_ / "snapshot/0.png");
  auto trusted = table("snapshot");
  trusted.follow_links = true;
  EXPECT_THAT(captions_of(*open_dataset(trusted)), ElementsAre("caption=x"));
}

}  // namespace
}  // namespace pixart::data

#include "pixart/data/recognise.h"

#include "shards.h"

namespace pixart::data {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Recognise : public ShardFolder {
 protected:
  std::string type(const std::string& name = "") const { return recognised_type((folder_ / name).string()); }

  void pairs(const std::string& folder, int count) const {
    for (int i = 0; i < count; ++i) captioned(fmt::format("{}/{}", folder, i), "a picture");
  }
  void pictures(const std::string& folder, int count) const {
    for (int i = 0; i < count; ++i) image(fmt::format("{}/{}.png", folder, i));
  }
  void listed(const std::string& folder, const std::string& name = "metadata.jsonl") const {
    pictures(folder, 3);
    const bool is_json = name.find("json") != std::string::npos || name.find("JSON") != std::string::npos;
    write(folder + "/" + name,
          is_json ? "{\"file_name\": \"0.png\", \"text\": \"x\"}\n" : "file_name,text\n0.png,x\n");
  }
  void classes(const std::string& folder) const {
    for (const char* name : {"cat", "dog", "owl"}) pictures(folder + "/" + name, 4);
  }
  void shards(const std::string& folder) const {
    for (int i = 0; i < 3; ++i)
      shard(fmt::format("{}/s-{}.tar", folder, i), {{"a.png", png()}, {"a.txt", "x"}});
  }
};

using Make = std::function<void()>;

TEST_F(Recognise, EachLayoutByItself) {
  pairs("pairs", 4);
  pairs("deep/a/b", 4);
  classes("classes");
  shards("shards");
  listed("jsonl");
  listed("csv", "list.csv");
  listed("upper", "METADATA.JSONL");
  listed("uppercsv", "META.CSV");
  listed("splits/train");
  listed("splits/test");
  listed("data/data/train");
  write("idx/train-images-idx3-ubyte", "x");
  write("official/partition/part0.txt", "a\n");
  pictures("plain", 4);
  write("elsewhere/t.csv", "image,caption\nx/0.png,x\n");
  for (const auto& [name, wanted] :
       std::vector<std::pair<std::string, std::string>>{{"pairs", "image_folder"},
                                                        {"deep", "image_folder"},
                                                        {"classes", "class_folder"},
                                                        {"shards", "webdataset"},
                                                        {"jsonl", "table"},
                                                        {"csv", "table"},
                                                        {"upper", "table"},
                                                        {"uppercsv", "table"},
                                                        {"splits", "table"},
                                                        {"data", "table"},
                                                        {"idx", "idx"},
                                                        {"official", "pixart"},
                                                        {"plain", "image_folder"},
                                                        {"elsewhere", "table"},
                                                        {"shards/s-0.tar", "webdataset"},
                                                        {"shards/S-*.TAR", "webdataset"},
                                                        {"*/metadata.jsonl", "table"}})
    EXPECT_EQ(type(name), wanted) << name;
  EXPECT_EQ(recognised_type("scenes"), "scenes");
  EXPECT_EQ(recognised_type("https://host/a.tar?sig=b"), "webdataset");
  EXPECT_EQ(recognised_type("s3://bucket/{0..9}"), "webdataset");
}

// Every stray file with every layout.
TEST_F(Recognise, AStrayFileDoesNotFlipIt) {
  const std::vector<std::pair<std::string, Make>> strays = {
      {"README.md", [&] { write("set/README.md", "text"); }},
      {"LICENSE.txt", [&] { write("set/LICENSE.txt", "text"); }},
      {"classes.txt", [&] { write("set/classes.txt", "cat\ndog\n"); }},
      {"Thumbs.db", [&] { write("set/Thumbs.db", "x"); }},
      {".DS_Store", [&] { write("set/.DS_Store", "x"); }},
      {"scores.csv", [&] { write("set/scores.csv", "id,score\n1,2\n"); }},
      {"broken.csv", [&] { write("set/empty.csv", ""); }},
      {"log.jsonl", [&] { write("set/log.jsonl", "{\"step\": 1, \"loss\": NaN}\n"); }},
      {"quarantine.jsonl",
       [&] { write("set/quarantine.jsonl", "{\"source\": \"s\", \"key\": \"a.png\"}\n"); }},
      {"captions.jsonl", [&] { write("set/captions.jsonl", "{\"key\": \"a.png\", \"caption\": \"x\"}\n"); }},
      {"hidden table", [&] { write("set/.old.csv", "image,caption\na.png,x\n"); }},
      {"hidden folder", [&] { pairs("set/.cache", 3); }},
      {"empty folder", [&] { fs::create_directories(folder_ / "set/empty"); }},
      {"data.json", [&] { write("set/data.json", "[]"); }}};
  const Make splits = [&] { listed("set/train"), listed("set/test"); };
  const std::vector<std::pair<std::string, Make>> layouts = {
      {"image_folder", [&] { pairs("set", 3); }}, {"image_folder", [&] { pairs("set/a", 3); }},
      {"class_folder", [&] { classes("set"); }},  {"webdataset", [&] { shards("set"); }},
      {"table", [&] { listed("set"); }},          {"table", splits}};
  int count = 0;
  for (const auto& [wanted, make] : layouts)
    for (const auto& [name, add] : strays) {
      fs::remove_all(folder_ / "set");
      make();
      ASSERT_EQ(type("set"), wanted);
      add();
      EXPECT_EQ(type("set"), wanted) << name;
      ++count;
    }
  EXPECT_EQ(count, 84);
}

TEST_F(Recognise, StrayImagesShardsAndCaptions) {
  const std::vector<std::tuple<std::string, std::string, Make>> cases = {
      {"a preview with classes", "class_folder", [&] { classes("set"), image("set/preview.png"); }},
      {"a caption in a class", "class_folder", [&] { classes("set"), write("set/cat/notes.txt", "x"); }},
      {"a table in a class", "class_folder",
       [&] { classes("set"), write("set/cat/list.csv", "filename,text\n0.png,x\n"); }},
      {"a small shard with classes", "class_folder",
       [&] {
         for (const char* name : {"cat", "dog"})
           for (int i = 0; i < 40; ++i) write(fmt::format("set/{}/{}.png", name, i), std::string(1000, 'x'));
         shard("set/old.tar", {{"a.png", png()}});
       }},
      {"a shard with pairs", "image_folder",
       [&] {
         pairs("set", 3), shard("set/backup.tar", {{"a.png", png()}});
       }},
      {"a preview with shards", "webdataset", [&] { shards("set"), image("set/preview.png"); }},
      {"previews below shards", "webdataset", [&] { shards("set"), pictures("set/samples", 3); }},
      {"scores that name the images of pairs", "image_folder",
       [&] { pairs("set", 3), write("set/scores.csv", "filename,score\n0.png,1\n"); }},
      {"scores of a name that names no image column", "image_folder",
       [&] { pairs("set", 3), write("set/scores.csv", "id,score\n0.png,1\n"); }},
      {"scores over classes", "class_folder",
       [&] { classes("set"), write("set/scores.csv", "id,score\ncat/0.png,1\n"); }},
      {"a table with a column of another name", "table",
       [&] { pictures("set", 3), write("set/t.csv", "img,words\n0.png,x\n"); }},
      {"a table in an old character set", "table",
       [&] { pictures("set", 3), write("set/t.csv", "file_name,text\n0.png,caf\xE9\n"); }},
      {"a table in UTF-16", "table",
       [&] {
         pictures("set", 3), write("set/t.csv",
                                   "\xFF\xFE"
                                   "f\0");
       }},
      {"a table with semicolons", "table",
       [&] { pictures("set", 3), write("set/t.csv", "file_name;text\n0.png;x\n"); }},
      {"a preview with splits", "table",
       [&] { listed("set/train"), listed("set/test"), image("set/preview.png"); }},
      {"labelled splits", "table",
       [&] {
         for (const std::string split : {"train", "test"})
           pictures("set/" + split, 2), write("set/" + split + "/metadata.csv", "file_name,label\n0.png,3\n");
       }},
      {"captions in upper case", "image_folder", [&] {
         image("set/A.PNG"), write("set/A.TXT", "x"), image("set/b/B.PNG"), write("set/b/B.TXT", "x");
       }}};
  for (const auto& [name, wanted, make] : cases) {
    fs::remove_all(folder_ / "set");
    make();
    EXPECT_EQ(type("set"), wanted) << name;
  }
}

TEST_F(Recognise, SplitsWithoutCaptionsAreNotClasses) {
  for (const char* names : {"train test", "train", "Train Val", "training validation testing", "dev eval"}) {
    fs::remove_all(folder_ / "set");
    std::istringstream words(names);
    std::string first;
    for (std::string word; words >> word; first = first.empty() || word < first ? word : first)
      pictures("set/" + word + "/cat", 2);
    try {
      type("set");
      ADD_FAILURE() << names;
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(),
                  AllOf(HasSubstr("look like splits"), HasSubstr("such as"), HasSubstr("set/" + first)));
    }
    EXPECT_EQ(type("set/" + first), "class_folder");
  }
  pictures("set/owl", 2);
  EXPECT_EQ(type("set"), "class_folder") << "train and owl";
}

TEST_F(Recognise, SplitsInTheOnlyFolderAreNotClasses) {
  for (const char* split : {"train", "validation"}) classes(std::string("set/data/") + split);
  try {
    type("set");
    ADD_FAILURE();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("data/train, data/validation look like splits"),
                                    HasSubstr("set/data/train,")));
  }
  EXPECT_EQ(type("set/data/train"), "class_folder");
  pictures("set/data", 1);
  EXPECT_EQ(type("set"), "class_folder") << "data has images of its own";
  classes("one/cat");
  EXPECT_EQ(type("one"), "class_folder") << "one class, whose images are in folders of other names";
}

TEST_F(Recognise, WhatIsNoSourceIsRefused) {
  write("notes.md", "x");
  EXPECT_THROW(type("notes.md"), UserError);
  EXPECT_THROW(type("absent"), UserError);
  EXPECT_EQ(recognised_type("https://host/a.tar?signature=a.parquet"), "webdataset");
  try {
    recognised_type("https://host/a.parquet?signature=secret");
    ADD_FAILURE();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("https://host/a.parquet"), HasSubstr("not read from servers"),
                                    Not(HasSubstr("secret"))));
  }
}

}  // namespace
}  // namespace pixart::data

#include "pixart/sample/suite.h"

#include <set>

#include "scratch_folder.h"

namespace pixart::sample {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class Suites : public testing::ScratchFolder {
 protected:
  Suite read_of(const std::string& named, std::optional<int64_t> count = {},
                std::optional<uint64_t> seed = {}) const {
    return read_suite({.named = named, .count = count, .seed = seed});
  }
  Suite file(const std::string& name, const std::string& text, std::optional<int64_t> count = {}) const {
    return read_of(write(name, text), count);
  }
  std::string refused(const std::string& name, const std::string& text) const {
    return testing::refusal([&] { file(name, text); });
  }
  static std::vector<std::string> names(const Suite& suite) {
    std::vector<std::string> names;
    for (int64_t i = 0; i < suite.num_files(); ++i) names.push_back(suite.file_name(i));
    return names;
  }
};

TEST_F(Suites, JsonLinesHaveIdsSeedsAndSizes) {
  const Suite suite =
      file("a.jsonl",
           "{\"prompt\": \" a hen \", \"id\": \"hen\", \"seed\": 7, \"size\": 64, \"tag\": 1}\n\n"
           "{\"caption\": \"a cat\", \"id\": 12, \"size\": [32, 48]}\n"
           "{\"text\": \"a dog\", \"id\": \"dog\", \"height\": 8, \"width\": 16}\n");
  EXPECT_EQ(suite.kind, SuiteKind::kJsonl);
  EXPECT_THAT(names(suite), ElementsAre("hen.png", "12.png", "dog.png"));
  EXPECT_EQ(suite.item(0).prompt, "a hen");
  EXPECT_EQ(suite.item(0).height, 64);
  EXPECT_EQ(suite.item(0).width, 64);
  EXPECT_EQ(suite.item(1).height, 32);
  EXPECT_EQ(suite.item(1).width, 48);
  EXPECT_EQ(suite.item(2).width, 16);
  EXPECT_EQ(suite.noise_key(0, 0, 5), (NoiseKey{7, 0}));
  EXPECT_EQ(suite.noise_key(1, 0, 5).seed, 5u);
}

TEST_F(Suites, WithoutIdsFilesAreNumbered) {
  EXPECT_THAT(names(file("a.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n")),
              ElementsAre("0000.png", "0001.png"));
  EXPECT_THAT(names(file("b.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n", 2)),
              ElementsAre("0000_0.png", "0000_1.png", "0001_0.png", "0001_1.png"));
}

TEST_F(Suites, TheNoiseBelongsToIdAndNumber) {
  const std::string hen = "{\"prompt\": \"a hen\", \"id\": \"hen\"}\n",
                    cat = "{\"prompt\": \"a cat\", \"id\": \"cat\"}\n";
  const Suite both = file("a.jsonl", cat + hen, 3), alone = file("b.jsonl", hen, 5);
  for (int64_t k = 0; k < 3; ++k) EXPECT_EQ(both.noise_key(3 + k, 0, 9), alone.noise_key(k, 0, 9)) << k;
  std::set<int64_t> indices;
  for (int64_t i = 0; i < both.num_files(); ++i) {
    indices.insert(both.noise_key(i, 0, 9).index);
    EXPECT_LT(both.noise_key(i, 0, 9).index, int64_t{1} << 53) << "the text of an image holds it";
  }
  EXPECT_EQ(indices.size(), 6u);
  const Suite seeded = file("c.jsonl", "{\"prompt\": \"a hen\", \"seed\": 7}\n", 2);
  EXPECT_EQ(seeded.noise_key(1, 0, 9), (NoiseKey{8, 0}));
}

TEST_F(Suites, EachLineThatCannotBeUsedIsNamed) {
  const std::string longest(10001, 'x');
  EXPECT_THAT(
      refused("a.jsonl",
              "{\"prompt\": \"good\", \"id\": \"a\"}\n"
              "no JSON\n"
              "{\"title\": \"a hen\"}\n"
              "{\"prompt\": \"\", \"id\": \"b\"}\n"
              "{\"prompt\": \"twice\", \"id\": \"a\"}\n"
              "{\"prompt\": \"out\", \"id\": \"../a\"}\n"
              "{\"prompt\": \"hidden\", \"id\": \".a\"}\n"
              "{\"prompt\": \"seed\", \"id\": \"c\", \"seed\": -1}\n"
              "{\"prompt\": \"size\", \"id\": \"d\", \"size\": [8, 4]}\n"
              "{\"prompt\": \"side\", \"id\": \"e\", \"height\": 8}\n"
              "{\"prompt\": 3, \"id\": \"f\"}\n"
              "{\"prompt\": \"" +
                  longest +
                  "\", \"id\": \"g\"}\n"
                  "{\"prompt\": \"no id\"}\n"),
      AllOf(HasSubstr("12 problems"), HasSubstr("line 2: the row is not JSON"),
            HasSubstr("line 3 has none of the keys prompt, caption, text, only title"),
            HasSubstr("line 4 has an empty prompt"), HasSubstr("line 5 has the id 'a' of an earlier one"),
            AllOf(HasSubstr("line 6 has an id that begins with a dot"),
                  HasSubstr("line 7 has an id that begins"), HasSubstr("line 8 has a seed"),
                  HasSubstr("line 9 has a size"),
                  HasSubstr("line 10 has only one of the keys height and width"),
                  HasSubstr("line 11 has a prompt that is not a text"), HasSubstr("line 12 has 10001 bytes"),
                  HasSubstr("line 13 has no id, but line 1 has one"))));
  EXPECT_THAT(refused("b.jsonl", "{\"prompt\": \"a hen\", \"id\": 1}\n{\"prompt\": \"a cat\"}\n"),
              HasSubstr("line 2 has no id, but an earlier one has the id '1'"));
}

TEST_F(Suites, CocoIsAListATableOrAnnotations) {
  const Suite lines = file("captions.txt",
                           "\xEF\xBB\xBF"
                           "a hen\r\n\na cat\n");
  EXPECT_EQ(lines.kind, SuiteKind::kCoco);
  EXPECT_EQ(lines.item(1).prompt, "a cat");
  EXPECT_EQ(lines.item(1).place, "line 3");
  EXPECT_THAT(names(file("a.csv", "image_id,caption\n391895,\"a man, a bike\"\n7,a cat\n")),
              ElementsAre("391895.png", "7.png"));
  EXPECT_THAT(names(file("a.tsv", "id\tcaption\n3\ta man\n")), ElementsAre("3.png"));
  const Suite annotations =
      file("captions_val2014.json",
           R"({"info": {"year": 2014}, "images": [{"id": 1, "file_name": "a"}], "annotations": [
               {"image_id": 5, "id": 10, "caption": "first of five"},
               {"image_id": 5, "id": 11, "caption": "second of five"},
               {"image_id": 4, "id": 12, "caption": "of four"}], "licenses": [{"id": 1}]})");
  EXPECT_THAT(names(annotations), ElementsAre("5.png", "4.png"));
  EXPECT_EQ(annotations.item(0).prompt, "first of five");
  EXPECT_THAT(refused("a.json", "{\"annotations\": [{\"image_id\": 1}]}"),
              HasSubstr("annotation 1 has none of"));
  EXPECT_THAT(refused("b.json", "{\"images\": []}"), HasSubstr("has no list \"annotations\""));
  EXPECT_THAT(refused("c.json", "{\"annotations\": [{"), HasSubstr("is not JSON"));
  EXPECT_THAT(refused("d.csv", "image_id,caption\n1,a\n1,b\n"),
              HasSubstr("line 3 has the id '1' of an earlier"));
}

TEST_F(Suites, GenEvalHasAFolderForEachPrompt) {
  const Suite suite =
      file("evaluation_metadata.jsonl",
           R"({"tag": "single_object", "include": [{"class": "bench", "count": 1}], "prompt": "a bench"})"
           "\n"
           R"({"tag": "colors", "include": [], "prompt": "a red cow"})"
           "\n");
  EXPECT_EQ(suite.kind, SuiteKind::kGenEval);
  EXPECT_EQ(suite.count, 4) << "as its protocol wants";
  EXPECT_EQ(names(suite).front(), "00000/samples/0000.png");
  EXPECT_EQ(names(suite).back(), "00001/samples/0003.png");
  const auto side = side_files(suite);
  ASSERT_EQ(side.size(), 2u);
  EXPECT_EQ(side[1].path, "00001/metadata.jsonl");
  EXPECT_THAT(side[1].content, AllOf(HasSubstr("\"tag\":\"colors\""), HasSubstr("a red cow")));
  const std::string tagless = write("b.jsonl", "{\"prompt\": \"a\"}\n").string();
  EXPECT_THAT(testing::refusal([&] { read_of("geneval:" + tagless); }),
              AllOf(HasSubstr("line 1 has no key tag"), HasSubstr("line 1 has no key include")));
}

TEST_F(Suites, DpgHasAGridForEachFile) {
  fs::create_directories(folder_ / "prompts");
  write("prompts/b2.txt", "a long prompt\n");
  write("prompts/a1.txt", "another one");
  write("prompts/notes.md", "not a prompt");
  const Suite suite = read_of(folder_ / "prompts");
  EXPECT_EQ(suite.kind, SuiteKind::kDpg);
  EXPECT_THAT(names(suite), ElementsAre("images/a1.png", "images/b2.png"));
  EXPECT_EQ(suite.images_per_file(), 4);
  EXPECT_EQ(suite.item(1).prompt, "a long prompt");
  EXPECT_NE(suite.noise_key(0, 0, 1), suite.noise_key(0, 1, 1));
  EXPECT_THAT(testing::refusal([&] { read_of(folder_ / "prompts", 3); }), HasSubstr("give 1 or 4"));
  write("prompts/c.d.txt", "cut off at the dot");
  write("prompts/e.txt", " ");
  write("prompts/f\xFF.txt", "a prompt");
  EXPECT_THAT(testing::refusal([&] { read_of(folder_ / "prompts"); }),
              AllOf(HasSubstr("c.d.txt has a dot in its name"), HasSubstr("e.txt has an empty prompt"),
                    HasSubstr(".txt makes an id that is not UTF-8")));
}

TEST_F(Suites, CompBenchIsNumberedThroughEachCategory) {
  fs::create_directories(folder_ / "dataset");
  write("dataset/color_val.txt", "a green bench\na blue bowl\twith more\n");
  write("dataset/texture_val.txt", "a rubber ball\n");
  write("dataset/color_train.txt", "not for tests\n");
  const Suite suite = read_of(folder_ / "dataset", 2);
  EXPECT_EQ(suite.kind, SuiteKind::kCompBench);
  EXPECT_THAT(
      names(suite),
      ElementsAre("color/samples/a green bench_000000.png", "color/samples/a green bench_000001.png",
                  "color/samples/a blue bowl_000002.png", "color/samples/a blue bowl_000003.png",
                  "texture/samples/a rubber ball_000000.png", "texture/samples/a rubber ball_000001.png"));
  EXPECT_EQ(read_of(folder_ / "dataset").count, 10);
  for (const int64_t first : {0, 2, 4}) {
    EXPECT_EQ(suite.noise_key(first, 0, 0), (NoiseKey{42, 0})) << "the same seeds for each prompt";
    EXPECT_EQ(suite.noise_key(first + 1, 0, 0), (NoiseKey{43, 0}));
  }
  EXPECT_EQ(read_of(folder_ / "dataset", 2, 7).noise_key(1, 0, 7), (NoiseKey{8, 0}));
  write("dataset/shape_val.txt", "a round table\nan either/or sign\n" + std::string(201, 'a') + "\n");
  EXPECT_THAT(
      testing::refusal([&] { read_of(folder_ / "dataset/shape_val.txt"); }),
      AllOf(HasSubstr("shape_val.txt, line 2 has a slash"),
            HasSubstr("shape_val.txt, line 3 makes a file name of 201 bytes"), Not(HasSubstr("line 1"))));
}

// A category is the name of a folder: "" and ".." would be folders outside of that of the images.
TEST_F(Suites, CompBenchHasNoCategoryThatLeadsOut) {
  fs::create_directories(folder_ / "dataset");
  for (const auto& [name, reason] : {std::pair("_val.txt", "'' has an empty id"),
                                     std::pair(".._val.txt", "'..' has an id that begins with a dot")})
    EXPECT_THAT(testing::refusal([&, name = name] {
                  read_of("compbench:" + write(std::string("dataset/") + name, "a hen\n").string());
                }),
                HasSubstr(std::string("the category ") + reason));
  EXPECT_THAT(testing::refusal([&] { read_of("compbench:" + (folder_ / "dataset").string()); }),
              HasSubstr("2 problems"));
}

TEST_F(Suites, ClassesGetTheSameNumberOfImages) {
  Suite suite = read_of("classes:5");
  set_classes(suite, {"bag", "boot"});
  EXPECT_THAT(names(suite), ElementsAre("0000.png", "0001.png", "0002.png", "0003.png", "0004.png"));
  EXPECT_EQ(suite.item(2).prompt, "bag");
  EXPECT_EQ(suite.item(3).prompt, "boot");
  EXPECT_THAT(testing::refusal([&] { set_classes(suite, {}); }), HasSubstr("needs a class model"));
  for (const char* number : {"classes:0", "classes:many", "classes:5x", "classes:"})
    EXPECT_THAT(testing::refusal([&] { read_of(number); }), HasSubstr("give the number of images")) << number;
  EXPECT_THAT(testing::refusal([&] { read_of("classes:5", 2); }), HasSubstr("--count has no effect"));
}

TEST_F(Suites, WhatIsNotASuiteIsRefused) {
  EXPECT_THAT(testing::refusal([&] { read_of("nowhere.jsonl"); }), HasSubstr("nowhere.jsonl does not exist"));
  EXPECT_THAT(testing::refusal([&] { read_of("cocoo:" + write("a.txt", "a hen").string()); }),
              AllOf(HasSubstr("unknown kind of suite 'cocoo'"), HasSubstr("Did you mean 'coco'?")));
  EXPECT_THAT(refused("empty.txt", "\n\n"), HasSubstr("has no prompts"));
  for (const char* mark : {"\xFF\xFE", "\xFE\xFF"})
    for (const char* name : {"a.txt", "a_val.txt", "a.json", "a.jsonl", "a.csv"})
      EXPECT_THAT(refused(name, mark + std::string("a\0\n\0", 4)),
                  AllOf(HasSubstr("is UTF-16. Save it as UTF-8."), Not(HasSubstr("problem"))))
          << name;
}

TEST_F(Suites, TheHashCoversWhatImagesDependOn) {
  std::set<std::string> hashes;
  for (const char* line :
       {R"({"prompt": "a", "id": "x"})", R"({"prompt": "b", "id": "x"})", R"({"prompt": "a", "id": "y"})",
        R"({"prompt": "a", "id": "x", "seed": 1})", R"({"prompt": "a", "id": "x", "size": 8})"})
    hashes.insert(file("a.jsonl", line).sha256());
  EXPECT_EQ(hashes.size(), 5u);
}

}  // namespace
}  // namespace pixart::sample

#include <algorithm>

#include "folder.h"

namespace pixart::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

CaptionConfig caption_kind(const std::string& name, double weight = 1, const std::string& column = "") {
  return {.name = name, .weight = weight, .column = column, .from = {}};
}

class Table : public Folder {
 protected:
  SourceConfig config(const std::string& name) const {
    SourceConfig result;
    result.name = "s";
    result.type = "table";
    result.path = folder_ / name;
    return result;
  }
};

TEST_F(Table, ReadsJsonLinesWithTheUsualColumns) {
  image("a/1.png", 10);
  image("2.png", 20);
  write("t.jsonl",
        "{\"file_name\": \"a/1.png\", \"text\": \" one \"}\n{\"text\": \"two\", \"file_name\": "
        "\"./a/../2.png\"}\n");
  const auto dataset = open_dataset(config("t.jsonl"));
  EXPECT_THAT(keys_of(*dataset), ElementsAre("a/1.png", "2.png"));
  EXPECT_EQ(dataset->caption(0), "one");
  EXPECT_EQ(dataset->row(0).captions[0].name, "caption");
  EXPECT_EQ(dataset->image(1).rgb[0], 20);
  EXPECT_THAT(dataset->class_names(), IsEmpty());
  EXPECT_THAT(dataset->rejected(), IsEmpty());
}

// Image, path and so on are looked for in their own order, not in the file's.
TEST_F(Table, ReadsCsvWithNamedColumns) {
  image("images/a.png");
  image("images/b.png");
  write("lists/t.csv",
        "path,image,long,short,kind\nno,a.png,\"A, with\na break\",x,stamp\nno,b.png,B,,coin\n");
  auto c = config("lists/t.csv");
  c.images = folder_ / "images";
  c.image_column = "image";
  c.label_column = "kind";
  c.captions = {caption_kind("brief", 2, "short"), caption_kind("long")};
  const auto dataset = open_dataset(c);
  EXPECT_THAT(keys_of(*dataset), ElementsAre("a.png", "b.png"));
  EXPECT_THAT(dataset->class_names(), ElementsAre("coin", "stamp"));
  EXPECT_EQ(dataset->label(0), 1);
  EXPECT_EQ(dataset->label(1), 0);
  const auto captions = dataset->row(0).captions;
  ASSERT_EQ(captions.size(), 2u);
  EXPECT_EQ(captions[0].name, "brief");
  EXPECT_EQ(captions[0].weight, 2);
  EXPECT_EQ(captions[1].text, "A, with\na break");
  EXPECT_EQ(dataset->row(1).captions.size(), 1u);
}

TEST_F(Table, FilesComeSortedFromAFolderOrAGlob) {
  for (const char* name : {"1.png", "2.png", "3.png"}) image(name);
  write("b.jsonl", R"({"image": "1.png", "caption": "x"})");
  write("a.csv", "image,caption\n2.png,y\n");
  write("c.tsv", "image\tcaption\n3.png\tz\n");
  write("notes.txt", "no table");
  EXPECT_THAT(keys_of(*open_dataset(config(""))), ElementsAre("2.png", "1.png", "3.png"));
  EXPECT_THAT(keys_of(*open_dataset(config("[bc].*"))), ElementsAre("1.png", "3.png"));
  EXPECT_THAT(refusal(config("*.csvx")), HasSubstr("found no .jsonl"));
}

TEST_F(Table, BadRowsStayAndSayWhy) {
  image("good.png");
  image("other.png");
  image("empty caption.png");
  write("empty.png", "");
  std::filesystem::create_directories(folder_ / "folder.png");
  write("t.jsonl", R"({"image": "good.png", "caption": "x"}
{"image": "good.png", "caption"
{"caption": "x"}
{"image": "absent.png", "caption": "x"}
{"image": "../outside.png", "caption": "x"}
{"image": "/etc/passwd", "caption": "x"}
{"image": 7, "caption": "x"}
{"image": "good.png", "caption": "again"}
{"image": "other.png", "caption": 3}
{"image": "empty.png", "caption": "x"}
{"image": "folder.png", "caption": "x"}
{"image": "https://example.org/a.png", "caption": "x"}
{"image": "a\u0000.png", "caption": "x"}
{"image": "empty caption.png", "caption": "a\u0001"}
)");
  const auto dataset = open_dataset(config("t.jsonl"));
  EXPECT_EQ(dataset->size(), 13);  // "again" is a second caption
  EXPECT_THAT(rejected_of(*dataset),
              ElementsAre("t.jsonl line 2 bad_row", "t.jsonl line 3 missing_field", "absent.png missing_file",
                          "t.jsonl line 5 path_outside", "t.jsonl line 6 path_outside",
                          "t.jsonl line 7 bad_row", "other.png bad_row", "empty.png empty_file",
                          "folder.png unreadable_file", "t.jsonl line 12 missing_file",
                          "t.jsonl line 13 bad_row", "empty caption.png bad_caption_text"));
  EXPECT_EQ(dataset->rejected()[0].offset, 38u);
  EXPECT_EQ(dataset->rejected()[2].offset, 87u);
}

TEST_F(Table, AbsolutePathsLieBelowTheImages) {
  image("in/a.png");
  image("b.png");
  const auto line = [&](const std::filesystem::path& path) {
    return "{\"image\": \"" + (folder_ / path).string() + "\", \"caption\": \"x\"}\n";
  };
  write("in/t.jsonl", line("in/a.png") + line("b.png") + line("in/../b.png"));
  const auto dataset = open_dataset(config("in/t.jsonl"));
  EXPECT_EQ(dataset->row(0).key, "a.png");
  EXPECT_THAT(rejected_of(*dataset),
              ElementsAre("t.jsonl line 2 path_outside", "t.jsonl line 3 path_outside"));
}

TEST_F(Table, LabelsAreNumbersWhereMostAre) {
  std::string text = "image,caption,label\n";
  for (const char* label : {"2", "0", "abc", "-1", "", "1.5", "1", "3", "2", "0"}) {
    const std::string name = fmt::format("{}.png", std::count(text.begin(), text.end(), '\n'));
    image(name);
    text += fmt::format("{},x,{}\n", name, label);
  }
  write("t.csv", text);
  auto c = config("t.csv");
  c.label_column = "label";
  const auto dataset = open_dataset(c);
  EXPECT_EQ(dataset->label(0), 2);
  EXPECT_EQ(dataset->label(7), 3);
  EXPECT_THAT(dataset->class_names(), ElementsAre("0", "1", "2", "3"));
  EXPECT_THAT(rejected_of(*dataset),
              ElementsAre("3.png bad_label", "4.png bad_label", "5.png missing_field", "6.png bad_label"));
}

TEST_F(Table, ClassesAreThoseOfAllRows) {
  for (const char* name : {"1.png", "2.png"}) image(name);
  write("t.jsonl",
        "{\"image\": \"1.png\", \"caption\": \"x\", \"kind\": \"stamp\"}\n"
        "{\"image\": \"2.png\", \"caption\": \"x\", \"kind\": \"coin\"}\n"
        "{\"image\": \"3.png\", \"caption\": \"x\", \"kind\": [1]}\n");
  auto c = config("t.jsonl");
  c.label_column = "kind";
  EXPECT_THAT(rejected_of(*open_dataset(c)), ElementsAre("3.png bad_label"));
  c.max_samples = 1;
  const auto dataset = open_dataset(c);
  EXPECT_EQ(dataset->size(), 1);
  EXPECT_THAT(dataset->class_names(), ElementsAre("coin", "stamp"));
  EXPECT_EQ(dataset->label(0), 1);
}

TEST_F(Table, UnknownColumnsAreNamedAtOnce) {
  image("1.png");
  write("t.csv", "img,caption_long\n1.png,x\n");
  auto c = config("t.csv");
  EXPECT_THAT(refusal(c), AllOf(HasSubstr("image_column"), HasSubstr("img")));
  c.image_column = "imag";
  c.label_column = "label";
  c.captions = {caption_kind("long", 1, "captionlong")};
  EXPECT_THAT(refusal(c), AllOf(HasSubstr("Did you mean 'img'?"), HasSubstr("label_column: there is no"),
                                HasSubstr("Did you mean 'caption_long'?")));
}

TEST_F(Table, ACaptionColumnMayBeRare) {
  std::string text;
  for (int i = 0; i < 1200; ++i) text += "{\"image\": \"1.png\", \"caption\": \"x\"}\n";
  image("1.png");
  image("2.png");
  write("t.jsonl", text + "{\"image\": \"2.png\", \"caption\": \"x\", \"long\": \"y\"}\n");
  auto c = config("t.jsonl");
  c.captions = {caption_kind("caption"), caption_kind("long")};
  const auto dataset = open_dataset(c);
  EXPECT_EQ(dataset->size(), 2);
  EXPECT_EQ(dataset->row(1).captions.size(), 2u);
}

TEST_F(Table, MissingCaptionsFollowTheConfig) {
  for (const char* name : {"1.png", "2.png", "3.png"}) image(name);
  write("t.csv", "image,caption\n1.png,\n2.png,  \n3.png,x\n");
  auto c = config("t.csv");
  EXPECT_THAT(refusal(c), HasSubstr("2 of 3 samples have no caption"));
  c.missing_caption = MissingCaption::kSkip;
  c.missing_caption_share = 0.7;
  EXPECT_THAT(rejected_of(*open_dataset(c)), ElementsAre("1.png missing_caption", "2.png missing_caption"));
}

}  // namespace
}  // namespace pixart::data

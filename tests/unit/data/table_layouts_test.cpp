// Tables as Python, Windows and Hugging Face write them.
#include <algorithm>

#include "json_text.h"
#include "pixart/data/python_json.h"
#include "shards.h"

namespace pixart::data {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class TableLayouts : public ShardFolder {
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

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return char(std::toupper(c)); });
  return text;
}

// --- NaN and Infinity

TEST_F(TableLayouts, NumbersOfPythonDoNotCostTheRow) {
  const std::vector<std::string> numbers = {"NaN", "Infinity", "-Infinity"};
  const std::vector<std::string> frames = {
      R"({"file_name": "I.png", "text": "caption I with NaN in it", "score": @})",
      R"({"score": @, "file_name": "I.png", "text": "caption I with NaN in it"})",
      R"({"file_name":"I.png","scores":[1.5,@,@],"text":"caption I with NaN in it"})",
      R"({"file_name": "I.png", "text": "caption I with NaN in it", "more": {"a": @, "b": [@]}})",
      R"({"file_name": "I.png", "text": "caption I with NaN in it", "quote": "a \" NaN", "score":@})",
      R"({"file_name": "I.png", "text": "caption I with NaN in it", "where": "C:\\", "score":@ })",
      R"({"file_name": "I.png", "text": "caption I with NaN in it", "NaN": "Infinity", "x": @})",
      "\t{ \"file_name\" : \"I.png\" , \"text\" : \"caption I with NaN in it\" , \"score\" : @ }\r"};
  const auto replace = [](std::string& text, const std::string& from, const std::string& to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
      text.replace(at, from.size(), to);
  };
  std::string lines;
  int count = 0;
  for (const auto& number : numbers)
    for (std::string frame : frames) {
      replace(frame, "@", number);
      replace(frame, "I.png", fmt::format("{}.png", count));
      replace(frame, "caption I", fmt::format("caption {}", count));
      lines += frame + "\n";
      ++count;
    }
  ASSERT_EQ(count, 24);
  images(count);
  write("t.jsonl", lines);
  const auto dataset = open_dataset(table("t.jsonl"));
  EXPECT_THAT(dataset->rejected(), IsEmpty()) << lines;
  for (int64_t i = 0; i < count; ++i)
    EXPECT_EQ(dataset->caption(i), fmt::format("caption {} with NaN in it", i)) << "texts stay as they are";
}

TEST_F(TableLayouts, AMissingCaptionMayBeNaN) {
  images(2);
  write("t.jsonl", R"({"image": "0.png", "caption": NaN}
{"image": "1.png", "caption": "x"})");
  EXPECT_THAT(refusal(table("t.jsonl")), HasSubstr("1 of 2 samples have no caption: 0.png"));
}

TEST(PythonJson, OnlyNumbersAreReplacedAndLengthsStay) {
  for (const auto& [text, wanted] : std::vector<std::pair<std::string, std::string>>{
           {"{\"a\": NaN}", "{\"a\": \"\" }"},
           {"[-Infinity,Infinity]", "[\"\"       ,\"\"      ]"},
           {R"({"NaN": "Infinity \" NaN"})", R"({"NaN": "Infinity \" NaN"})"},
           {R"({"a": "\\", "b": NaN})", R"({"a": "\\", "b": "" })"},
           {"", ""},
           {"{}", "{}"}}) {
    std::string changed = text;
    EXPECT_EQ(blank_python_numbers(changed), wanted != text) << text;
    EXPECT_EQ(changed, wanted);
    EXPECT_EQ(changed.size(), text.size());
  }
  for (const char* bad : {"{\"a\": NaNx}", "{\"a\": nan}", "{\"a\": NaN", "NaN NaN", "{NaN: 1}x"})
    EXPECT_TRUE(parse_json(bad).is_discarded()) << bad;
}

// --- lists of captions, and rows of one image

TEST_F(TableLayouts, AListOfTextsIsSeveralCaptions) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"("one")", "caption=one"},
      {R"(["one"])", "caption=one"},
      {R"(["one", "two"])", "caption=one caption=two"},
      {R"(["one", "two", "three", "four", "five"])",
       "caption=one caption=two caption=three caption=four caption=five"},
      {R"(["one", "", "two"])", "caption=one caption=two"},
      {R"([" ", "one"])", "caption=one"},
      {R"([null, "one"])", "caption=one"},
      {R"(["one", "one"])", "caption=one caption=one"},
      {R"([" one ", "two\n"])", "caption=one caption=two"},
      {R"(["a\nb"])", "caption=a\nb"}};
  std::string lines, swapped;
  for (size_t i = 0; i < cases.size(); ++i) {
    lines += fmt::format("{{\"file_name\": \"{}.png\", \"text\": {}}}\n", i, cases[i].first);
    swapped += fmt::format("{{\"prompt\": {}, \"image\": \"{}.png\"}}\r\n", cases[i].first, i);
  }
  images(int(cases.size()));
  for (const auto& text : {lines, swapped}) {
    write("t.jsonl", text);
    const auto dataset = open_dataset(table("t.jsonl"));
    EXPECT_THAT(dataset->rejected(), IsEmpty());
    for (size_t i = 0; i < cases.size(); ++i) EXPECT_EQ(captions_of(*dataset)[i], cases[i].second);
  }
}

// pandas writes a list into CSV as Python shows it, and NumPy's arrays without commas.
TEST_F(TableLayouts, AListThatWasWrittenAsATextIsSeveralCaptions) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"("['one', ""it's two""]")", "caption=one caption=it's two"},
      {R"("[""one"", ""two""]")", "caption=one caption=two"},
      {R"("[""caf\u00e9"", ""two""]")", "caption=caf\u00e9 caption=two"},
      {R"("['one' 'two']")", "caption=one caption=two"},
      {R"(" ['one, two', ''] ")", "caption=one, two"},
      {R"("['it\'s\none']")", "caption=it's\none"},
      {R"("['one', 2]")", "caption=['one', 2]"},
      {R"("['one',]")", "caption=['one',]"},
      {R"("['one'] and ['two")", "caption=['one'] and ['two"},
      {R"("['one]")", "caption=['one]"},
      {R"("[one, two]")", "caption=[one, two]"},
      {R"("[]")", "caption=[]"}};
  std::string lines = "file_name,text\n";
  for (size_t i = 0; i < cases.size(); ++i) lines += fmt::format("{}.png,{}\n", i, cases[i].first);
  images(int(cases.size()));
  write("t.csv", lines);
  const auto dataset = open_dataset(table("t.csv"));
  EXPECT_THAT(dataset->rejected(), IsEmpty());
  for (size_t i = 0; i < cases.size(); ++i) EXPECT_EQ(captions_of(*dataset)[i], cases[i].second);
}

TEST_F(TableLayouts, ListsWithOtherValuesAreRejected) {
  const std::vector<std::string> bad = {"[1]", "[\"a\", 2]", "[[\"a\"]]", "[{\"a\": 1}]", "{\"a\": \"b\"}",
                                        "3",   "true",       "[false]"};
  std::string lines = "{\"image\": \"0.png\", \"caption\": \"x\"}\n";
  for (size_t i = 0; i < bad.size(); ++i)
    lines += fmt::format("{{\"image\": \"{}.png\", \"caption\": {}}}\n", i + 1, bad[i]);
  images(int(bad.size()) + 1);
  write("t.jsonl", lines);
  const auto dataset = open_dataset(table("t.jsonl"));
  ASSERT_THAT(dataset->rejected(), SizeIs(bad.size()));
  for (const auto& rejection : dataset->rejected()) {
    EXPECT_EQ(rejection.reason, Reason::kBadRow);
    EXPECT_THAT(rejection.detail, HasSubstr("expected a text or a list of texts, got"));
  }
}

TEST_F(TableLayouts, EachKindOfAListKeepsItsWeight) {
  images(1);
  write("t.jsonl", R"({"image": "0.png", "short": ["a", "b", "c", "d"], "long": "e"})");
  auto two = table("t.jsonl");
  two.captions = {{.name = "short", .weight = 2, .column = "", .from = {}},
                  {.name = "long", .weight = 3, .column = "", .from = {}}};
  const auto captions = open_dataset(two)->row(0).captions;
  ASSERT_THAT(captions, SizeIs(5));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(captions[size_t(i)].weight, 0.5);
  EXPECT_EQ(captions[4].weight, 3);
}

TEST_F(TableLayouts, RowsOfOneImageAreCaptionsOfOneSample) {
  constexpr int kImages = 20, kCaptions = 5;
  images(kImages);
  std::string grouped = "image,caption\n", mixed = grouped;
  for (int i = 0; i < kImages; ++i)
    for (int c = 0; c < kCaptions; ++c) grouped += fmt::format("{}.png,caption {} of {}\n", i, c, i);
  for (int c = 0; c < kCaptions; ++c)
    for (int i = 0; i < kImages; ++i) mixed += fmt::format("./{}.png,caption {} of {}\n", i, c, i);
  for (const auto& text : {grouped, mixed}) {
    write("t.csv", text);
    const auto dataset = open_dataset(table("t.csv"));
    ASSERT_EQ(dataset->size(), kImages);
    EXPECT_THAT(dataset->rejected(), IsEmpty());
    for (int64_t i = 0; i < kImages; ++i) {
      EXPECT_EQ(dataset->row(i).key, fmt::format("{}.png", i));
      ASSERT_THAT(dataset->row(i).captions, SizeIs(kCaptions));
      EXPECT_EQ(dataset->row(i).captions[3].text, fmt::format("caption 3 of {}", i));
    }
    auto few = table("t.csv");
    few.max_samples = 3;
    const auto first = open_dataset(few);
    EXPECT_THAT(keys_of(*first), ElementsAre("0.png", "1.png", "2.png"));
    EXPECT_THAT(first->row(2).captions, SizeIs(kCaptions));
  }
}

TEST_F(TableLayouts, EqualRowsAreOneAndOtherLabelsAreDuplicates) {
  images(3);
  write("t.csv", "image,caption,kind\n0.png,a,x\n0.png,a,x\n1.png,b,x\n0.png,c,y\n2.png,d,y\n");
  auto labelled = table("t.csv");
  labelled.label_column = "kind";
  const auto dataset = open_dataset(labelled);
  EXPECT_THAT(keys_of(*dataset), ElementsAre("0.png", "1.png", "0.png", "2.png"));
  EXPECT_THAT(rejected_of(*dataset), ElementsAre("0.png duplicate_key"));
  EXPECT_EQ(captions_of(*dataset)[0], "caption=a");
  EXPECT_EQ(dataset->label(3), 1);
}

// Rejections keep their rows when rows before them are merged.
TEST_F(TableLayouts, RejectedRowsStayAmongMergedOnes) {
  images(2);
  write("t.csv", "image,caption\n0.png,a\n0.png,b\n9.png,gone\n1.png,c\n1.png,d\n1.png\n");
  auto some = table("t.csv");
  const auto dataset = open_dataset(some);
  EXPECT_THAT(keys_of(*dataset), ElementsAre("0.png", "9.png", "1.png", "t.csv line 7"));
  EXPECT_THAT(rejected_of(*dataset), ElementsAre("9.png missing_file", "t.csv line 7 bad_row"));
  EXPECT_EQ(dataset->rejected()[0].row, 1);
  EXPECT_EQ(dataset->rejected()[1].row, 3);
  EXPECT_EQ(dataset->bytes(2), read("1.png"));
}

// --- separators, marks, line ends, upper case

TEST_F(TableLayouts, CsvAsSpreadsheetsWriteIt) {
  images(2);
  int count = 0;
  for (const char* separator : {",", ";", "\t", "|"})
    for (const char* mark : {"", "\xEF\xBB\xBF"})
      for (const char* end : {"\n", "\r\n"})
        for (const char* name : {"t.csv", "T.CSV", "t.tsv"})
          for (const bool quoted : {false, true}) {
            const std::string q = quoted ? "\"" : "";
            std::string text = mark;
            for (const auto& [file, caption] : std::vector<std::pair<std::string, std::string>>{
                     {"file_name", "text"}, {"0.png", "a dog"}, {"1.png", "two cats"}})
              text += q + file + q + separator + q + caption + q + end;
            write(name, text);
            const auto dataset = open_dataset(table(name));
            EXPECT_THAT(keys_of(*dataset), ElementsAre("0.png", "1.png")) << text;
            EXPECT_EQ(dataset->caption(1), "two cats") << text;
            ++count;
          }
  EXPECT_EQ(count, 96);
}

TEST_F(TableLayouts, TheFirstRowDecidesTheSeparator) {
  images(1);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"image,caption\n0.png,\"a; b; c; d\"\n", "a; b; c; d"},
      {"image;caption\n0.png;a, b, c\n", "a, b, c"},
      {"sep=;\nimage;caption\n0.png;a\n", "a"},
      {"sep=|\r\nimage|caption\r\n0.png|a\r\n", "a"},
      {"SEP=;\nimage;caption,more\n0.png;a\n", ""},
      {"\"image\";\"caption\"\n\"0.png\";\"a;b\"\n", "a;b"},
      {"image, caption\n0.png, a\n", "a"},
      {" image ,\tcaption\n0.png,a\n", "a"},
      {"image\tcaption\n0.png\ta;b,c\n", "a;b,c"},
      {"caption;image;x;y\na;0.png;1;2\n", "a"}};
  for (const auto& [text, wanted] : cases) {
    write("t.csv", text);
    auto any = table("t.csv");
    any.missing_caption = MissingCaption::kEmpty;
    EXPECT_EQ(open_dataset(any)->caption(0), wanted) << text;
  }
}

TEST_F(TableLayouts, Utf16IsNamed) {
  images(1);
  for (const char* mark : {"\xFF\xFE", "\xFE\xFF"})
    for (const char* name : {"t.csv", "t.jsonl", "T.TSV"}) {
      write(name, std::string(mark) + "image,caption\n0.png,a\n");
      EXPECT_THAT(refusal(table(name)), AllOf(HasSubstr(name), HasSubstr("UTF-16"), HasSubstr("UTF-8")));
    }
}

TEST_F(TableLayouts, BackSlashesOfWindows) {
  images(3, "train/a/");
  const std::vector<std::string> paths = {R"(train\a\0.png)",   R"(train/a\0.png)",      R"(.\train\a\0.png)",
                                          R"(train\\a\\0.png)", R"(train\b\..\a\0.png)", R"(train\a/0.png)"};
  for (const auto& path : paths) {
    std::string escaped;
    for (const char c : path) escaped += c == '\\' ? "\\\\" : std::string(1, c);
    for (const auto& [name, text] : std::vector<std::pair<std::string, std::string>>{
             {"t.jsonl", "{\"file_name\": \"" + escaped + "\", \"text\": \"x\"}"},
             {"t.csv", "file_name,text\n" + path + ",x\n"}}) {
      write(name, text);
      EXPECT_THAT(keys_of(*open_dataset(table(name))), ElementsAre("train/a/0.png")) << path;
    }
  }
  for (const std::string path :
       {R"(..\outside.png)", R"(train\..\..\outside.png)", R"(C:\a\0.png)", R"(\a.png)", R"(train\a)"}) {
    write("t.csv", "file_name,text\n" + path + ",x\ntrain/a/1.png,y\n");
    EXPECT_THAT(rejected_of(*open_dataset(table("t.csv"))), SizeIs(1)) << path;
  }
  image(R"(a\b.png)");  // a name with a back-slash of its own
  write("t.csv", "file_name,text\na\\b.png,x\n");
  EXPECT_THAT(keys_of(*open_dataset(table("t.csv"))), ElementsAre(R"(a\b.png)"));
}

TEST_F(TableLayouts, EndingsInUpperCase) {
  images(1);
  const std::string json = R"({"image": "0.png", "caption": "x"})";
  const std::string csv = "image,caption\n0.png,x\n", tsv = "image\tcaption\n0.png\tx\n";
  for (const auto& [ending, text] : std::vector<std::pair<std::string, std::string>>{
           {"jsonl", json}, {"ndjson", json}, {"csv", csv}, {"tsv", tsv}})
    for (const auto& name :
         {"t." + ending, "t." + upper(ending), "T." + upper(ending.substr(0, 1)) + ending.substr(1)}) {
      write(name, text);
      EXPECT_THAT(captions_of(*open_dataset(table(""))), ElementsAre("caption=x")) << name;
      fs::remove(folder_ / name);
    }
  shard("in/A.TAR", {{"a.png", png()}, {"a.txt", "x"}});
  EXPECT_EQ(open_dataset(config("in"))->size(), 1);
}

// --- where all rows are bad

TEST_F(TableLayouts, TheFirstReasonLeadsTheMessage) {
  images(4);
  const auto four = [](const std::string& head, const std::string& tail) {
    std::string text;
    for (int i = 0; i < 4; ++i) text += fmt::format("{}{}{}\n", head, i, tail);
    return text;
  };
  const std::vector<std::array<std::string, 3>> cases = {
      {"t.csv", "file_name,text\n" + four("", ".png,caf\xE9"),
       "t.csv line 2: the row is not UTF-8. 4 of 4 samples have this reason."},
      {"t.csv", "file_name, text\n" + four("", ".png, \"a picture, x\""),
       "t.csv line 2: the row has 3 fields, but the first row names 2"},
      {"t.csv", "file_name,text\n" + four("", ".png,\"x"), "t.csv line 2: text follows a closing quote"},
      {"t.csv", "file_name,text\n" + four("absent", ".png,x"), "absent0.png: missing file"},
      {"t.csv", "file_name,text\n" + four("https://x.org/", ".png,x"), "the path is a web address"},
      {"t.csv", "file_name,text\n" + four("../", ".png,x"), "is not below"},
      {"t.csv", "file_name,text\n" + four(",", "x"), "'file_name', the path of the image, is missing"},
      {"t.csv", "a,b\n" + four("", ".png,x"), "no column is called image, path, file_name"},
      {"t.csv", "a,b\n" + four("", ".png,\xE9"), "4 of 4 rows cannot be read; the first is t.csv line 2"},
      {"t.jsonl", four("{'file_name': '", ".png', 'text': 'x'}"),
       "the first is t.jsonl line 1: the row is not JSON"},
      {"t.jsonl", four("{\"file_name\": \"", ".png\", \"text\": \"caf\xE9\"}"),
       "line 1: the row is not UTF-8"},
      {"t.jsonl", four("[\"", ".png\", \"x\"]"), "line 1: expected a JSON object, got array"},
      {"t.jsonl", four("{\"file_name\": ", ", \"text\": \"x\"}"), "'file_name': expected a path, got number"},
      {"t.jsonl", four("{\"file_name\": \"", ".png\", \"text\": 7}"),
       "'text': expected a text or a list of texts"},
      {"t.jsonl", four("{\"file_name\": \"", ".png\", \"text\": \"a\\u0001\"}"), "control character 0x01"},
      {"t.jsonl", "\n\n", "it has no rows"},
      {"t.csv", "", "it has no rows"}};
  for (const auto& [name, text, reason] : cases) {
    write(name, text);
    EXPECT_THAT(refusal(table(name)), AllOf(HasSubstr(reason), Not(HasSubstr("one of: ."))));
    fs::remove(folder_ / name);
  }
}

TEST_F(TableLayouts, AllFilesThatAreNoTablesAreNamedWithARemedy) {
  images(1);
  write("in/a.jsonl", "[{\"file_name\": \"../0.png\", \"text\": \"x\"}]");
  write("in/b.jsonl", "{\n \"file_name\": \"../0.png\",\n \"text\": \"x\"\n}\n");
  write("in/c.jsonl", "[\n {\n \"file_name\": \"../0.png\"\n }\n]\n");
  write("in/d.csv", "<html>\n<p>\n");
  const std::string message = refusal(table("in/*"));
  EXPECT_THAT(message, AllOf(HasSubstr("4 problems"), HasSubstr("a.jsonl is one JSON list"),
                             HasSubstr("jq -c '.[]' " + (folder_ / "in/c.jsonl").string()),
                             HasSubstr("jq -c . " + (folder_ / "in/b.jsonl").string()),
                             HasSubstr("d.csv is an HTML page")));
}

TEST_F(TableLayouts, LongCellsAreShownInPart) {
  images(1);
  const std::string base64 = "/9j/4AAQSkZJRgABAQ" + std::string(2000, 'A') + "==";
  write("t.csv", "image,text\n" + base64 + ",x\n");
  EXPECT_THAT(refusal(table("t.csv")),
              AllOf(HasSubstr("'image' looks like base64"), Not(HasSubstr("AAAAA"))));
  write("t.csv", "image,text\n" + std::string(60, 'a') + "/" + std::string(300, 'b') + ".png,x\n");
  const std::string message = refusal(table("t.csv"));
  EXPECT_THAT(message, AllOf(HasSubstr("aaa/bbb"), HasSubstr("bbb.png (365 bytes)")));
  EXPECT_LT(message.size(), 600u);
}

TEST_F(TableLayouts, MissingCaptionsNameTheColumns) {
  images(1);
  write("t.csv", "image,title\n0.png,x\n");
  EXPECT_THAT(refusal(table("t.csv")),
              AllOf(HasSubstr("No column is called caption, text, prompt; the columns are image, title."),
                    HasSubstr("under captions"), Not(HasSubstr(".txt"))));
  write("t.csv", "image,text\n0.png,\n");
  EXPECT_THAT(refusal(table("t.csv")),
              HasSubstr("Captions are read from text; the columns are image, text."));
}

TEST_F(TableLayouts, TheFirstReasonAlsoLeadsWithChosenCaptionsAndShards) {
  shard("a.tar",
        {{"s0.input.jpg", "x"}, {"s0.outputs.txt", "t"}, {"s1.input.jpg", "x"}, {"s1.outputs.txt", "t"}});
  for (const char* column : {"outputs.txt", "caption", "absent"}) {
    auto wanted = config("a.tar");
    wanted.captions = {{.name = "caption", .weight = 1, .column = column, .from = {}}};
    EXPECT_THAT(refusal(wanted), AllOf(HasSubstr("none of 2 samples can be used; the first is s0:"),
                                       HasSubstr("only .input.jpg, .outputs.txt")));
  }
  shard("b.tar", {{"s0.input.jpg", "x"}, {"s1.png", png()}, {"s1.txt", "t"}});
  auto wanted = config("b.tar");
  wanted.captions = {{.name = "long", .weight = 1, .column = "", .from = {}}};
  EXPECT_THAT(refusal(wanted), AllOf(HasSubstr("no sample has a caption of kind long"),
                                     HasSubstr("1 of 2 samples cannot be used; the first is s0:")));
}

// --- the official lists and shards

TEST_F(TableLayouts, OfficialListsAndShardsTakeTheSameJson) {
  images(2);
  write("list.json",
        "\xEF\xBB\xBF[{\"path\": \"0.png\", \"prompt\": [\"a\", \"b\"], \"score\": NaN},\r\n"
        "{\"path\": \"1.png\", \"prompt\": \"NaN\", \"score\": -Infinity}]");
  EXPECT_THAT(captions_of(*open_dataset(config("", "pixart"))),
              ElementsAre("prompt=a prompt=b", "prompt=NaN"));
  shard("in/a.tar", {{"a.png", png()},
                     {"a.json", R"({"caption": ["a", "b"], "score": NaN})"},
                     {"b.png", png()},
                     {"b.json", "\xEF\xBB\xBF{\"caption\": \"c\"}\r\n"}});
  EXPECT_THAT(captions_of(*open_dataset(config("in"))), ElementsAre("caption=a caption=b", "caption=c"));
}

}  // namespace
}  // namespace pixart::data

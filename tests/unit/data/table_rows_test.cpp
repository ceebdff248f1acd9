#include "pixart/data/table_rows.h"

#include <algorithm>

#include "folder.h"

namespace pixart::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TableRows : public Folder {
 protected:
  // "offset line: fields" or "offset line! fault" of each row.
  std::vector<std::string> rows(const std::string& name, const std::string& bytes) const {
    write(name, bytes);
    std::vector<std::string> lines;
    read_rows(folder_ / name, [&](TableRow& row) {
      lines.push_back(fmt::format("{} {}{} {}", row.offset, row.line, row.fault.empty() ? ":" : "!",
                                  row.fault.empty() ? row.fields.dump() : row.fault));
      return true;
    });
    return lines;
  }
};

TEST_F(TableRows, CsvAsInRfc4180) {
  EXPECT_THAT(rows("t.csv",
                   "\xEF\xBB\xBF"
                   "a,b c,\"d,\"\"e\"\"\"\r\n"
                   "1,two,\"x,\ny \"\"z\"\"\"\r\n"
                   "\r\n"
                   ",\"\",last"),
              ElementsAre(R"(20 2: {"a":"1","b c":"two","d,\"e\"":"x,\ny \"z\""})",
                          R"(42 5: {"a":"","b c":"","d,\"e\"":"last"})"));
  EXPECT_THAT(rows("t.tsv", "a\tb\n1,2\tsaid \"so\"\n"),
              ElementsAre(R"(4 2: {"a":"1,2","b":"said \"so\""})"));
  EXPECT_THAT(rows("header.csv", "a,b\n"), ElementsAre());
  EXPECT_THAT(rows("nothing.csv", ""), ElementsAre());
}

// A row with wrong quotes costs its own line only, wherever the quote would be closed.
TEST_F(TableRows, CsvGoesOnBehindABadRow) {
  EXPECT_THAT(rows("t.csv", "a,b\n1,\"x\n2,y\n3,z\n"),
              ElementsAre("4 2! a quote is opened and never closed", R"(9 3: {"a":"2","b":"y"})",
                          R"(13 4: {"a":"3","b":"z"})"));
  EXPECT_THAT(rows("t.csv", "a,b\n1,\"x\n2,\"y\"\n3,z\n"),
              ElementsAre(HasSubstr("4 2! text follows a closing quote"), R"(9 3: {"a":"2","b":"y"})",
                          R"(15 4: {"a":"3","b":"z"})"));
  EXPECT_THAT(rows("t.csv", "a,b\n1\n1,2,3\n\"\xff\",2\n4,5\n"),
              ElementsAre("4 2! the row has 1 fields, but the first row names 2",
                          "6 3! the row has 3 fields, but the first row names 2",
                          "12 4! the row is not UTF-8", R"(18 5: {"a":"4","b":"5"})"));
}

TEST_F(TableRows, CsvNeedsAHeader) {
  const auto refusal_of = [&](const std::string& bytes) {
    try {
      rows("t.csv", bytes);
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string("not refused");
  };
  EXPECT_THAT(refusal_of("a,b,a\n1,2,3\n"), HasSubstr("'a' is named twice"));
  EXPECT_THAT(refusal_of("\xff\xfe"
                         "a\n"),
              HasSubstr("UTF-8"));
  EXPECT_THAT(refusal_of("\"a\n"), HasSubstr("never closed"));
}

TEST_F(TableRows, JsonLines) {
  EXPECT_THAT(rows("t.jsonl", "\xEF\xBB\xBF{\"a\": 1}\r\n\n  \n{\"b\": [\"\\u00e9\"]}"),
              ElementsAre(R"(3 1: {"a":1})", "17 4: {\"b\":[\"\u00e9\"]}"));
  EXPECT_THAT(rows("t.jsonl", "{\"a\": \n[1]\n\"x\"\n{\"a\": \"\xff\"}\n{\"a\": \"\\udX00\"}\n{} {}\n{}\n"),
              ElementsAre("0 1! the row is not JSON", "7 2! expected a JSON object, got array",
                          "11 3! expected a JSON object, got string", "15 4! the row is not UTF-8",
                          "26 5! the row is not JSON", "42 6! the row is not JSON", "48 7: {}"));
}

TEST_F(TableRows, JsonLinesAreNestedAsDeepAsPythonReadsThem) {
  const auto nested = [](size_t depth) {
    return "{\"a\": " + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}\n";
  };
  const auto lines = rows("t.jsonl", nested(1000) + nested(1001) + "{}\n");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], HasSubstr("0 1: {\"a\":[[["));
  EXPECT_THAT(lines[1], HasSubstr("2! lists or objects are nested more than 1000 deep"));
  EXPECT_THAT(lines[2], HasSubstr("3: {}"));
}

// Python's json takes them; no tokenizer does, so that they count as control characters where they matter.
TEST_F(TableRows, HalvesOfCharactersAreControlCharacters) {
  EXPECT_THAT(
      rows("t.jsonl", R"({"a": "\ud800"}
{"a": "x\udc00\ud83d\ude00", "b": "\\ud800"}
{"a": "\ud83d", "b": NaN}
)"),
      ElementsAre(R"(0 1: {"a":"\u001a"})", "16 2: {\"a\":\"x\\u001a\U0001F600\",\"b\":\"\\\\ud800\"}",
                  R"(61 3: {"a":"\u001a","b":""})"));
}

TEST_F(TableRows, ANulByteDoesNotEndTheText) {
  EXPECT_THAT(rows("t.jsonl", std::string("{\"a\": 1}\0{\"b\": 2}\n{}\n", 21)),
              ElementsAre("0 1! the row is not JSON: it holds a NUL byte", "18 2: {}"));
}

TEST_F(TableRows, LinesMayEndInACarriageReturn) {
  EXPECT_THAT(rows("t.csv", "a,b\r1,\r\r2,\"x\ry\"\r\"z\r3,4\r"),
              ElementsAre(R"(4 2: {"a":"1","b":""})", R"(8 4: {"a":"2","b":"x\ry"})",
                          "16 6! a quote is opened and never closed", R"(19 7: {"a":"3","b":"4"})"));
  EXPECT_THAT(rows("t.jsonl", "{\"a\":1}\r{\"a\":2}\r"), ElementsAre(R"(0 1: {"a":1})", R"(8 2: {"a":2})"));
  EXPECT_THAT(csv_fields("1,\r", ','), ElementsAre("1", ""));
}

// The usual names of columns tell what separates them.
TEST_F(TableRows, ACommaInTheHeaderOfSemicolons) {
  EXPECT_THAT(rows("t.csv", "file_name;text, long\n1.png;a, b\n"),
              ElementsAre(R"(21 2: {"file_name":"1.png","text, long":"a, b"})"));
  EXPECT_THAT(rows("t.csv", "file_name,a;b\n1.png,x\n"),
              ElementsAre(R"(14 2: {"a;b":"x","file_name":"1.png"})"));
  EXPECT_THAT(rows("t.csv", "a;b,c\n1,2\n"), ElementsAre(R"(6 2: {"a;b":"1","c":"2"})"));
}

TEST_F(TableRows, FilesOfOtherKindsAreNamed) {
  const std::pair<std::string, std::string> cases[] = {{"<!DOCTYPE html><html>404</html>", "an HTML page"},
                                                       {"\n <HTML>", "an HTML page"},
                                                       {"PK\x03\x04xxxx", "a ZIP archive"},
                                                       {"\x1f\x8bxxxx", "gunzip"},
                                                       {"PAR1xxxx", "a Parquet file"}};
  for (const auto& [bytes, what] : cases)
    for (const char* name : {"t.csv", "t.jsonl"}) try {
        rows(name, bytes);
        ADD_FAILURE() << what;
      } catch (const UserError& error) {
        EXPECT_THAT(error.what(), HasSubstr(name + std::string(" is ")));
        EXPECT_THAT(error.what(), HasSubstr(what));
      }
}

TEST_F(TableRows, LongRowsArePassedOver) {
  const std::string filler((size_t{16} << 20) + 100, 'x');
  for (const char* name : {"t.jsonl", "t.csv"}) {
    const bool is_csv = std::string(name) == "t.csv";
    const std::string good = is_csv ? "1" : "{\"a\":\"1\"}";
    const auto lines = rows(name, std::string(is_csv ? "a\n" : "") + filler + "\n" + good + "\n");
    ASSERT_EQ(lines.size(), 2u);
    EXPECT_THAT(lines[0], HasSubstr("larger than 16"));
    EXPECT_THAT(lines[1], HasSubstr(R"({"a":"1"})"));
  }
}

// Files are read in pieces of 64 KiB; rows of all lengths cross the ends of pieces.
TEST_F(TableRows, RowsAcrossPiecesOfAFile) {
  const std::string ends[] = {"\n", "\r\n", ""};
  for (size_t length = (size_t{1} << 16) - 14; length < (size_t{1} << 16) + 3; ++length)
    for (const auto& end : ends) {
      const std::string text = fmt::format("{{\"a\":\"{}\"}}", std::string(length - 8, 'x'));
      const auto first = rows("t.jsonl", text + "\n" + text + "\n{\"b\":1}" + end);
      ASSERT_EQ(first.size(), 3u) << length;
      EXPECT_EQ(first[0], "0 1: " + text);
      EXPECT_EQ(first[1], fmt::format("{} 2: {}", length + 1, text));
      EXPECT_EQ(first[2], fmt::format("{} 3: {{\"b\":1}}", 2 * length + 2));
    }
}

// Each line belongs to the part in which it begins, wherever parts end.
TEST_F(TableRows, PartsOfAFileHaveEachLineOnce) {
  std::string bytes;
  for (int i = 0; i < 16; ++i) bytes += fmt::format("{{\"a\":\"{}\"}}\n", std::string(size_t(i * i), 'x'));
  write("t.jsonl", bytes);
  for (uint64_t cut = 0; cut <= bytes.size(); cut += 3) {
    std::vector<uint64_t> offsets;
    int64_t line_ends = 0;
    const auto take = [&](TableRow& row) { offsets.push_back(row.offset); };
    line_ends += read_lines(folder_ / "t.jsonl", 0, cut, take);
    line_ends += read_lines(folder_ / "t.jsonl", cut, bytes.size(), take);
    EXPECT_EQ(offsets.size(), 16u) << cut;
    EXPECT_TRUE(std::is_sorted(offsets.begin(), offsets.end())) << cut;
    EXPECT_EQ(line_ends, 16) << cut;
  }
}

TEST_F(TableRows, StopsWhenToldAndSaysWhatCannotBeRead) {
  write("t.jsonl", "{}\n{}\n{}\n");
  int count = 0;
  read_rows(folder_ / "t.jsonl", [&](TableRow&) { return ++count < 2; });
  EXPECT_EQ(count, 2);
  const auto all = [](TableRow&) { return true; };
  EXPECT_THROW(read_rows(folder_ / "absent.csv", all), UserError);
  EXPECT_THROW(read_rows(folder_, all), UserError);
}

TEST_F(TableRows, NestingIgnoresTexts) {
  EXPECT_EQ(nesting_of("{}"), 1);
  EXPECT_EQ(nesting_of(R"({"a[[[": "\"[[", "b": [[]], "c": []})"), 3);
  EXPECT_EQ(nesting_of("\\"), 0);
}

}  // namespace
}  // namespace pixart::data

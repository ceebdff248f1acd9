#include "caption_text.h"

#include <map>

#include "folder.h"

namespace pixart::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using CaptionsByKey = std::map<std::string, std::vector<std::string>>;

CaptionsByKey captions_in(const std::filesystem::path& path) {
  CaptionsByKey captions;
  read_caption_file(path, [&](CaptionLine& line) { return captions.emplace(line.key, line.texts).second; });
  return captions;
}

class CaptionText : public Folder {
 protected:
  std::string refused(const std::string& text) const {
    write("captions.jsonl", text);
    try {
      captions_in(folder_ / "captions.jsonl");
    } catch (const UserError& error) {
      return error.what();
    }
    ADD_FAILURE() << "not refused";
    return "";
  }
};

std::string cleaned(std::string text) {
  const auto fault = clean_caption_text(text);
  return fault ? fmt::format("{}: {}", to_string(fault->reason), fault->detail) : "'" + text + "'";
}

TEST_F(CaptionText, WhiteSpaceAndTheByteOrderMarkGo) {
  EXPECT_EQ(cleaned("  a red\tdog\n\n"), "'a red\tdog'");
  EXPECT_EQ(cleaned("\xEF\xBB\xBF a dog"), "'a dog'");
  EXPECT_EQ(cleaned("\xEF\xBB\xBF"), "''");
  EXPECT_EQ(cleaned(" \r\n\v\f\t"), "''");
  EXPECT_EQ(cleaned(""), "''");
  EXPECT_EQ(cleaned("ein Bär \xF0\x9F\x90\xBB"), "'ein Bär \xF0\x9F\x90\xBB'");
  EXPECT_EQ(cleaned("two\nlines"), "'two\nlines'");
}

TEST_F(CaptionText, WhatIsNoTextIsRefusedAndEmptied) {
  EXPECT_EQ(cleaned("caf\xE9"), "bad_caption_text: the text is not UTF-8");
  EXPECT_EQ(cleaned(std::string("\xFF\xFE"
                                "a\0",
                                4)),
            "bad_caption_text: the text is UTF-16; save it as UTF-8");
  EXPECT_EQ(cleaned("\xC0\xAF"), "bad_caption_text: the text is not UTF-8");      // overlong
  EXPECT_EQ(cleaned("\xED\xA0\x80"), "bad_caption_text: the text is not UTF-8");  // a surrogate
  EXPECT_EQ(cleaned(std::string("a\0b", 3)), "bad_caption_text: control character 0x00 at byte 1");
  EXPECT_EQ(cleaned("a\x1A"),
            "bad_caption_text: half of a surrogate pair, or control character 0x1a at byte 1");
  EXPECT_EQ(cleaned("\x1B[31mred"), "bad_caption_text: control character 0x1b at byte 0");
  EXPECT_EQ(cleaned("a\x7F"), "bad_caption_text: control character 0x7f at byte 1");
  std::string text = "a\x01";
  ASSERT_TRUE(clean_caption_text(text));
  EXPECT_EQ(text, "");
}

TEST_F(CaptionText, LengthIsLimited) {
  EXPECT_EQ(cleaned(std::string(kLargestCaption, 'a')).size(), kLargestCaption + 2);
  EXPECT_EQ(cleaned(std::string(kLargestCaption + 1, 'a')),
            "caption_too_long: 1048577 bytes, more than 1048576");
}

TEST_F(CaptionText, FilesAreJoinedByKey) {
  write("captions.jsonl",
        "{\"key\": \"a/b.png\", \"caption\": \"a dog\", \"model\": \"x\"}\n\n"
        "{\"caption\": \"\", \"key\": \"c\"}");
  const auto captions = captions_in(folder_ / "captions.jsonl");
  EXPECT_EQ(captions.size(), 2);
  EXPECT_THAT(captions.at("a/b.png"), ElementsAre("a dog"));
  EXPECT_THAT(captions.at("c"), ElementsAre(""));
  write("captions.jsonl", "");
  EXPECT_TRUE(captions_in(folder_ / "captions.jsonl").empty());
  EXPECT_THROW(captions_in(folder_ / "none.jsonl"), UserError);
}

TEST_F(CaptionText, FilesOfPythonAndWindowsAreRead) {
  for (const char* mark : {"", "\xEF\xBB\xBF"})
    for (const char* end : {"\n", "\r\n", "\n\n", "\r\n\r\n", "\n \t\n", "\r\n \r\n"})
      for (const char* more : {"", ", \"score\": NaN", ", \"score\": [-Infinity]"}) {
        write("captions.jsonl",
              fmt::format("{0}{{\"key\": \"a\", \"caption\": \"one\"{1}}}{2}{{\"key\": \"b\", "
                          "\"caption\": [\"two\", \"three\"]{1}}}{2}",
                          mark, more, end));
        const auto captions = captions_in(folder_ / "captions.jsonl");
        EXPECT_EQ(captions.size(), 2u);
        EXPECT_THAT(captions.at("a"), ElementsAre("one"));
        EXPECT_THAT(captions.at("b"), ElementsAre("two", "three"));
      }
}

TEST_F(CaptionText, EveryBadLineIsNamed) {
  EXPECT_THAT(refused("{\"key\": \"a\", \"caption\": \"x\"}\n"
                      "{\"key\": \"a\", \"caption\": \"y\"}\n"
                      "no json\n"
                      "[\"key\", \"caption\"]\n"
                      "{\"key\": \"b\"}\n"
                      "{\"key\": 3, \"caption\": \"y\"}\n"
                      "{\"key\": \"c\", \"caption\": null}\n"
                      "{\"key\": \"d\", \"caption\": \"z\"}\n"
                      "{\"key\": \"e\", \"caption\""),
              AllOf(HasSubstr("captions.jsonl"), Not(HasSubstr("line 1:")),
                    HasSubstr("line 2: a second caption of a"), HasSubstr("line 3:"), HasSubstr("line 4:"),
                    HasSubstr("line 5:"), HasSubstr("line 6:"), HasSubstr("line 7:"),
                    Not(HasSubstr("line 8:")), HasSubstr("line 9:")));
}

TEST_F(CaptionText, AFolderIsNoFile) { EXPECT_THROW(captions_in(folder_), UserError); }

TEST_F(CaptionText, AParquetFileIsNamedAsSuch) {
  EXPECT_THAT(refused("PAR1\nx\nPAR1"), HasSubstr("is a Parquet file"));
}

}  // namespace
}  // namespace pixart::data

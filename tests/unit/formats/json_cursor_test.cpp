#include "json_cursor.h"

#include "folder.h"

namespace pixart::formats {
namespace {

std::string text_of(std::string_view json) { return JsonCursor(json, "f", 0, "JSON").string(); }
uint64_t number_of(std::string_view json) { return JsonCursor(json, "f", 0, "JSON").integer(); }

TEST(JsonCursor, ReadsStringsWithEscapes) {
  EXPECT_EQ(text_of(R"("a\"\\\/\b\f\n\r\t")"), "a\"\\/\b\f\n\r\t");
  EXPECT_EQ(text_of(R"( "\u0041\u00e9\u4e16\ud83d\ude00")"), "A\u00e9\u4e16\U0001F600");
}

TEST(JsonCursor, RefusesBadStrings) {
  for (const char* bad : {"\"a", "a", R"("\x")", R"("\u12")", R"("\ud83d")", R"("\ude00")", R"("\ud83dA")",
                          "\"\n\"", "\"\xff\"", R"("\)"}) {
    EXPECT_THROW(text_of(bad), UserError) << bad;
  }
}

TEST(JsonCursor, ReadsIntegersOnly) {
  EXPECT_EQ(number_of("0"), 0u);
  EXPECT_EQ(number_of(" 9223372036854775807"), uint64_t(INT64_MAX));
  for (const char* bad : {"", "-1", "-0", "01", "1.0", "1e3", "1E3", "9223372036854775808",
                          "18446744073709551624", "99999999999999999999", "\"1\"", "+1"}) {
    EXPECT_THROW(number_of(bad), UserError) << bad;
  }
}

TEST(JsonCursor, MessagesNameFileAndPlaceInTheFile) {
  JsonCursor json("[x", "weights.safetensors", 8, "a safetensors file");
  json.expect('[');
  EXPECT_THAT(refusal([&] { json.integer(); }),
              ::testing::AllOf(::testing::HasSubstr("weights.safetensors"), ::testing::HasSubstr("byte 9")));
}

TEST(JsonCursor, EndWantsOnlyWhiteSpace) {
  EXPECT_NO_THROW(JsonCursor(" \t\r\n", "f", 0, "JSON").end());
  EXPECT_THROW(JsonCursor(std::string_view(" \0", 2), "f", 0, "JSON").end(), UserError);
}

}  // namespace
}  // namespace pixart::formats

#include "charmaps.h"

#include <gtest/gtest.h>

namespace pixart::text {
namespace {

TEST(Charmaps, Encode) {
  EXPECT_EQ(charmaps().front().encode("é"), "\xe9");
  EXPECT_EQ(charmaps().front().encode("€"), std::nullopt);
  EXPECT_EQ(windows_1252().name, "windows-1252");
  EXPECT_EQ(windows_1252().encode("a€\u0081"), "a\x80\x81");
  EXPECT_EQ(windows_1252().encode("\uFFFD"), "\x1a");
  EXPECT_EQ(windows_1252().encode("\x1a"), std::nullopt);
  EXPECT_EQ(windows_1252().encode("🐱"), std::nullopt);
}

TEST(Charmaps, EveryByteOfEveryMapComesBack) {
  EXPECT_EQ(charmaps().size(), 10U);
  for (const Charmap& map : charmaps()) {
    std::string text;
    for (const char16_t c : map.high) {
      ASSERT_GE(c, 0x80) << map.name;
      if (c < 0x800)
        text += {char(0xC0 | c >> 6), char(0x80 | (c & 0x3F))};
      else
        text += {char(0xE0 | c >> 12), char(0x80 | (c >> 6 & 0x3F)), char(0x80 | (c & 0x3F))};
    }
    const auto bytes = map.encode(text);
    ASSERT_TRUE(bytes) << map.name;
    for (size_t i = 0; i < 128; ++i) EXPECT_EQ(uint8_t((*bytes)[i]), 0x80 + i) << map.name;
  }
}

}  // namespace
}  // namespace pixart::text

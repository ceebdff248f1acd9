#include "character_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "small_character_map.h"

namespace pixart::text {
namespace {

using ::testing::HasSubstr;
using testing::SmallCharacterMap;

template <class Change>
std::string damage_after(Change change) {
  SmallCharacterMap map;
  change(map);
  return damage_of_character_map(map.bytes());
}

TEST(CharacterMap, AcceptsWhatIsWhole) {
  EXPECT_EQ(damage_after([](SmallCharacterMap&) {}), "");
  // A cell that no text leads to may hold anything.
  EXPECT_EQ(damage_after([](SmallCharacterMap& map) { map.units[300] = 0xFFFF'FFFF; }), "");
  // A key of any number of A; its value is at 256.
  EXPECT_EQ(damage_after([](SmallCharacterMap& map) {
              map.units[map.kLetter] = uint32_t(map.kLetter ^ 256) << 10 | 1 << 8 | 'A';
              map.units[256] = 0x8000'0000;
            }),
            "");
}

TEST(CharacterMap, SizesThatCannotBe) {
  const std::string whole = SmallCharacterMap().bytes();
  EXPECT_THAT(damage_of_character_map(""), HasSubstr("only 0 bytes"));
  EXPECT_THAT(damage_of_character_map(whole.substr(0, 3)), HasSubstr("only 3 bytes"));
  for (const size_t size : {size_t{4}, whole.size() / 2, whole.size() - 2})
    EXPECT_THAT(damage_of_character_map(whole.substr(0, size)), HasSubstr("its trie has 2048 bytes")) << size;
  for (const uint32_t trie_bytes : {0U, 1U, 1000U, 3072U, 0xFFFF'FC00U})
    EXPECT_THAT(damage_of_character_map(little_endian(trie_bytes, 4) + whole.substr(4)),
                HasSubstr("its trie has"))
        << trie_bytes;
  EXPECT_THAT(damage_of_character_map(std::string(5 << 20, '\0')), HasSubstr("at most"));
}

TEST(CharacterMap, OffsetsThatLeadOut) {
  for (const uint32_t unit : {512U << 10, 0xFFFF'FC00U, 1U << 10 | 1U << 9 | 2U << 10})
    EXPECT_THAT(damage_after([&](SmallCharacterMap& map) { map.units[map.kRoot] = unit; }),
                HasSubstr("cell 0 of its trie leads out"))
        << unit;
  EXPECT_THAT(damage_after([](SmallCharacterMap& map) { map.units[map.kLetter] |= 1U << 9; }),
              HasSubstr("cell 321 of its trie leads out"));
}

TEST(CharacterMap, ReplacementsThatAreNotTexts) {
  EXPECT_THAT(damage_after([](SmallCharacterMap& map) { map.units[map.kValue] = 0x8000'0002; }),
              HasSubstr("points to the replacement at 2"));
  EXPECT_THAT(damage_after([](SmallCharacterMap& map) { map.units[map.kValue] = 0xFFFF'FFFF; }),
              HasSubstr("points to the replacement at 2147483647"));
  EXPECT_THAT(damage_after([](SmallCharacterMap& map) { map.replacements = "b"; }), HasSubstr("no end"));
  EXPECT_THAT(damage_after([](SmallCharacterMap& map) { map.replacements = std::string(300, 'b') + '\0'; }),
              HasSubstr("no end within 256 bytes"));
  EXPECT_THAT(damage_after([](SmallCharacterMap& map) { map.replacements = std::string("\xff\0", 2); }),
              HasSubstr("not valid UTF-8"));
}

}  // namespace
}  // namespace pixart::text

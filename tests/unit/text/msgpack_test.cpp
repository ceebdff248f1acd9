#include "msgpack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixart::text {
namespace {

using ::testing::HasSubstr;

std::string bytes_of(std::initializer_list<int> values) {
  std::string bytes;
  for (const int value : values) bytes += char(value);
  return bytes;
}

std::string problem_of(const std::string& bytes) {
  try {
    read_msgpack(bytes);
  } catch (const PackedError& error) {
    return error.what();
  }
  return "";
}

TEST(Msgpack, IntegersOfAllLengths) {
  const auto value = [](std::initializer_list<int> bytes) {
    const std::string text = bytes_of(bytes);
    return read_msgpack(text).as_integer();
  };
  EXPECT_EQ(value({0x7F}), 127);
  EXPECT_EQ(value({0xE0}), -32);
  EXPECT_EQ(value({0xCC, 0xFF}), 255);
  EXPECT_EQ(value({0xCD, 0x01, 0x00}), 256);
  EXPECT_EQ(value({0xCE, 0, 1, 0, 0}), 65536);
  EXPECT_EQ(value({0xCF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}),
            std::numeric_limits<int64_t>::max());
  EXPECT_EQ(value({0xD0, 0x80}), -128);
  EXPECT_EQ(value({0xD1, 0xFF, 0x00}), -256);
  EXPECT_EQ(value({0xD2, 0x80, 0, 0, 0}), std::numeric_limits<int32_t>::min());
  EXPECT_EQ(value({0xD3, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE}), -2);
}

TEST(Msgpack, MapsHaveKeysOfAnyKind) {
  // {65: "a", "b": nil, b"c": [true, 1.5, 0.5]}
  const std::string bytes = bytes_of({0x83, 65,   0xA1, 'a', 0xA1, 'b',  0xC0, 0xC4, 1, 'c', 0x93, 0xC3, 0xCA,
                                      0x3F, 0xC0, 0,    0,   0xCB, 0x3F, 0xE0, 0,    0, 0,   0,    0,    0});
  const auto map = read_msgpack(bytes);
  ASSERT_NE(map.find(65), nullptr);
  EXPECT_EQ(map.find(65)->as_text(), "a");
  EXPECT_EQ(map.find(66), nullptr);
  EXPECT_TRUE(map.at("b").is(Packed::Kind::kNil));
  const auto& list = map.at("c").list();
  ASSERT_EQ(list.size(), 3U);
  EXPECT_TRUE(list[0].as_bool());
  EXPECT_EQ(list[1].number, 1.5);
  EXPECT_EQ(list[2].number, 0.5);
  EXPECT_THROW(map.at("d"), PackedError);
  EXPECT_THROW(map.find(65)->as_integer(), PackedError);
}

TEST(Msgpack, LongFormsOfTextsAndLists) {
  const std::string text = bytes_of({0xDC, 0, 2, 0xD9, 1, 'a', 0xDA, 0, 2, 'b', 'c'});
  const auto list = read_msgpack(text);
  EXPECT_EQ(list.list()[0].as_text(), "a");
  EXPECT_EQ(list.list()[1].as_text(), "bc");
  const std::string map = bytes_of({0xDF, 0, 0, 0, 1, 1, 0xC6, 0, 0, 0, 1, 'x'});
  EXPECT_EQ(read_msgpack(map).find(1)->as_bytes(), "x");
}

TEST(Msgpack, DamageIsNamed) {
  EXPECT_THAT(problem_of(""), HasSubstr("cut short"));
  EXPECT_THAT(problem_of(bytes_of({0xA5, 'a'})), HasSubstr("cut short"));
  EXPECT_THAT(problem_of(bytes_of({0xDD, 0xFF, 0xFF, 0xFF, 0xFF})), HasSubstr("cut short"));
  EXPECT_THAT(problem_of(bytes_of({0xDF, 0xFF, 0xFF, 0xFF, 0xFF})), HasSubstr("cut short"));
  EXPECT_THAT(problem_of(bytes_of({0xC6, 0xFF, 0xFF, 0xFF, 0xFF})), HasSubstr("cut short"));
  EXPECT_THAT(problem_of(bytes_of({1, 1})), HasSubstr("after its end"));
  EXPECT_THAT(problem_of(bytes_of({0xA1, 0xFF})), HasSubstr("not UTF-8"));
  EXPECT_THAT(problem_of(bytes_of({0xC7, 1, 1, 1})), HasSubstr("of a kind that is not read"));
  EXPECT_THAT(problem_of(std::string(1'000'000, char(0x91))), HasSubstr("nested too deeply"));
  const std::string many = bytes_of({0xDD, 0x00, 0x50, 0, 0}) + std::string(0x500000, char(0xC0));
  EXPECT_THAT(problem_of(many), HasSubstr("too many values"));
}

}  // namespace
}  // namespace pixart::text

#include "pixart/formats/bounded_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "many_keys.h"
#include "scratch_folder.h"

namespace pixart::formats {
namespace {
using nlohmann::ordered_json;
using pixart::testing::many_keys;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string object_of(int64_t keys) { return "{" + many_keys(keys) + "}"; }
std::string nested(int depth) { return std::string(size_t(depth), '[') + std::string(size_t(depth), ']'); }

TEST(BoundedJson, KeysKeepTheirOrderAndTheLastValue) {
  const auto json = parse_ordered("\xef\xbb\xbf {\"b\": 1, \"a\": [true, null, \"\\u00e9\"], \"b\": 2.5}\n");
  EXPECT_EQ(json.dump(), "{\"b\":2.5,\"a\":[true,null,\"\xc3\xa9\"]}");
  for (const char* text : {"3", "\"x\"", "null", "[]", "{}"}) EXPECT_EQ(parse_ordered(text).dump(), text);
}

TEST(BoundedJson, WhatIsNotJsonIsRefused) {
  for (const char* text :
       {"", "{", "{\"a\" 1}", "[1,]", "\"a", "\"a\\", "]", "}{", "a: 1", ":", "{} {}", "\"\xff\""}) {
    EXPECT_THROW(parse_ordered(text), BadJson) << text;
    EXPECT_TRUE(parse_ordered_or_discard(text).is_discarded()) << text;
  }
}

// The library takes a zero byte for the end.
TEST(BoundedJson, ZeroBytesAreRefused) {
  using namespace std::string_view_literals;
  for (const auto text : {"{}\0"sv, "{}\0{"sv, "\0"sv, "{\"a\0\": 1}"sv}) {
    EXPECT_EQ(json_fault(text), "it has a zero byte");
    EXPECT_TRUE(parse_ordered_or_discard(text).is_discarded());
  }
}

TEST(BoundedJson, ObjectsOfVeryManyKeysAreRefused) {
  EXPECT_EQ(parse_ordered(object_of(1'000)).size(), 1'000u);
  EXPECT_EQ(json_fault(object_of(1'001)), "it has an object with more than 1000 keys");
  EXPECT_EQ(parse_ordered(object_of(1'001), {.keys = 2'000}).size(), 1'001u);
  const std::string large = "[{\"a\": " + object_of(1'000'000) + "}]";
  EXPECT_THAT(testing::refusal([&] { parse_ordered(large); }), HasSubstr("more than 1000 keys"));
  EXPECT_TRUE(parse_ordered_or_discard(large).is_discarded());
}

TEST(BoundedJson, SoAreVeryManyObjectsOfManyKeys) {
  const auto list_of = [](int64_t objects, int64_t keys) {
    std::string text = "[" + object_of(keys);
    for (int64_t i = 1; i < objects; ++i) text += "," + object_of(keys);
    return text + "]";
  };
  EXPECT_EQ(json_fault(list_of(100, 1'000)), "it has too many objects with very many keys");
  EXPECT_EQ(json_fault(list_of(5'000, 100)), "");
}

TEST(BoundedJson, KeysAreThoseOfOneObjectAndColonsInTextsAreNone) {
  EXPECT_EQ(json_fault(R"({"a:b": ":", "c\":": {"d": ":\\"}, "e": [{"f": 1}, {"g": 1}]})", {.keys = 3}), "");
  EXPECT_NE(json_fault(R"({"a": {"b": 1, "c": 2}, "d": 3, "e": 4})", {.keys = 2}), "");
}

TEST(BoundedJson, DeepNestingIsRefused) {
  EXPECT_EQ(json_fault(nested(32)), "");
  EXPECT_EQ(json_fault(nested(33)), "it has lists or objects that are nested more than 32 deep");
  EXPECT_EQ(json_fault(nested(33), {.depth = 40}), "");
  EXPECT_TRUE(parse_ordered_or_discard(nested(1'000'000)).is_discarded());
  EXPECT_EQ(json_fault("[\"" + std::string(100, '[') + "\", {}, [], {}]", {.depth = 2}), "");
}

std::vector<std::string> paths_of(const std::string& text) {
  const auto json = parse_ordered(text);
  const auto values = values_by_path(json).value();
  std::vector<std::string> result;
  for (const auto& [path, value] : values) result.push_back(path + " = " + value->dump());
  return result;
}

TEST(BoundedJson, ValuesHaveThePathsOfTheLibrary) {
  const std::string text = R"({"z": 1, "a": {"x/y": [true, {"~": "t"}], "e": {}, "l": []}, "": null})";
  EXPECT_THAT(paths_of(text), ElementsAre("z = 1", "a/x~1y/0 = true", "a/x~1y/1/~0 = \"t\"", "a/e = null",
                                          "a/l = null", " = null"));
  std::vector<std::string> library;
  const auto flat = ordered_json::parse(text).flatten();
  for (const auto& [path, value] : flat.items()) library.push_back(path.substr(1) + " = " + value.dump());
  EXPECT_EQ(paths_of(text), library);
  for (const char* none : {"3", "\"x\"", "null", "[]", "{}"}) EXPECT_THAT(paths_of(none), IsEmpty()) << none;
}

// Of 500,000 values; with a long name above them they would have 50 GB of paths.
TEST(BoundedJson, PathsTakeNoMoreThanTheirText) {
  std::string list = "[0";
  for (int i = 1; i < 500'000; ++i) list += ",0";
  list += "]";
  const auto plain = parse_ordered("{\"a\":" + list + "}");
  EXPECT_EQ(values_by_path(plain).value().size(), 500'000u);
  const auto long_name = parse_ordered("{\"" + std::string(100'000, 'a') + "\":" + list + "}");
  EXPECT_FALSE(values_by_path(long_name).has_value());
}

}  // namespace
}  // namespace pixart::formats

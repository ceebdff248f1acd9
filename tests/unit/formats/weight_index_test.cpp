#include "weight_index.h"

#include "folder.h"

namespace pixart::formats {
namespace {

using ::testing::HasSubstr;

std::string refusal_of(const std::string& text) {
  return refusal([&] { parse_weight_index(text, "i.json"); });
}

TEST(WeightIndex, NamesTheFileOfEachTensor) {
  const std::map<std::string, std::string> want = {{"a", "x"}, {"b", "y"}};
  const auto with_metadata = [](const std::string& metadata) {
    return parse_weight_index("{\"metadata\": " + metadata + R"(, "weight_map": {"a": "x", "b": "y"}})",
                              "i.json");
  };
  for (const char* metadata : {R"({"a": 1})", "{}", "[ ]", R"([true, false, null, {"a": [[]]}])",
                               R"("}\u0041")", "-0.5e+10", "1.3476831232E10", "0", "[[1, 2], -3]"})
    EXPECT_EQ(with_metadata(metadata), want) << metadata;
  for (const char* metadata : {"", "01", "1.", ".5", "1e", "-", "+1", "nul", "NaN", "[1,]", "[1 2]", "{1: 2}",
                               "{\"a\"}", R"({"a": 1, "a": 2})", R"([{"b": 1, "b": 1}])", "\"\xff\"", "\"a"})
    EXPECT_THROW(with_metadata(metadata), UserError) << metadata;
}

TEST(WeightIndex, RefusesFilesThatAreNotBesideIt) {
  for (const char* file : {R"("../x")", R"("a/x")", R"("..")", R"("")", R"("x\\y")", R"("x\u0000")"}) {
    EXPECT_THAT(refusal_of(R"({"weight_map": {"a": )" + std::string(file) + "}}"),
                HasSubstr("not a plain file name"))
        << file;
  }
  EXPECT_THAT(refusal_of(R"({"weight_map": {"a": 1}})"),
              HasSubstr("i.json: byte 21: tensor 'a' has no file name"));
}

TEST(WeightIndex, RefusesWhatComesTwiceAndNamesThePlace) {
  EXPECT_THAT(refusal_of(R"({"weight_map": {"a": "x"}, "weight_map": {"b": "x"}})"),
              HasSubstr("i.json: byte 39: key 'weight_map' occurs twice"));
  EXPECT_THAT(refusal_of(R"({"weight_map": {"a": "x", "a": "y"}})"), HasSubstr("tensor 'a' occurs twice"));
  EXPECT_THAT(refusal_of(R"({"weight_map": {"a": "x"}} {})"), HasSubstr("more text after the end"));
}

// Deeper than the stack, for whoever calls himself at each level.
TEST(WeightIndex, RefusesDeepNesting) {
  constexpr size_t kDepth = 1'000'000;
  const std::string nested = std::string(kDepth, '[') + std::string(kDepth, ']');
  EXPECT_THAT(refusal_of(R"({"weight_map": {"a": )" + nested + "}}"), HasSubstr("has no file name"));
  EXPECT_THAT(refusal_of(R"({"metadata": )" + nested + "}"), HasSubstr("over 64 levels"));
  EXPECT_THAT(refusal_of(nested), HasSubstr("not an index"));
  EXPECT_THAT(refusal_of(std::string(kDepth, '[')), HasSubstr("not an index"));
}

}  // namespace
}  // namespace pixart::formats

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
  EXPECT_EQ(parse_weight_index(R"({"metadata": {"a": 1}, "weight_map": {"a": "x", "b": "y"}})", "i.json"),
            want);
}

TEST(WeightIndex, RefusesFilesThatAreNotBesideIt) {
  for (const char* file : {R"("../x")", R"("a/x")", R"("..")", R"("")", R"("x\\y")", R"("x\u0000")"}) {
    EXPECT_THAT(refusal_of(R"({"weight_map": {"a": )" + std::string(file) + "}}"),
                HasSubstr("not a plain file name"))
        << file;
  }
  EXPECT_THAT(refusal_of(R"({"weight_map": {"a": 1}})"), HasSubstr("number is not a plain file name"));
}

// Deeper than the stack, for whoever calls himself at each level.
TEST(WeightIndex, RefusesDeepNesting) {
  constexpr size_t kDepth = 1'000'000;
  const std::string nested = std::string(kDepth, '[') + std::string(kDepth, ']');
  EXPECT_THAT(refusal_of(R"({"weight_map": {"a": )" + nested + "}}"),
              HasSubstr("array is not a plain file name"));
  EXPECT_THAT(refusal_of(nested), HasSubstr("not an index"));
  EXPECT_THAT(refusal_of(std::string(kDepth, '[')), HasSubstr("not an index"));
}

}  // namespace
}  // namespace pixart::formats

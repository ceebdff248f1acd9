// The readers that the other tests here rely on: a rule that finds nothing to check would always pass.
#include "source_tree.h"

#include <gmock/gmock.h>

namespace pixart::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr char kTable[] =
    "| module | holds | may use |\n|---|---|---|\n| `a` | an `x` | - |\n| `b` | y | `a` |\n| `c` | z | all "
    "above |\n"
    "| `tools` | commands | all |\n";

TEST(ModuleTable, NamesAreReadAndAllIsResolved) {
  const ModuleGraph graph = read_module_table(kTable);
  ASSERT_THAT(graph, SizeIs(4));
  EXPECT_THAT(graph.at("a"), IsEmpty());
  EXPECT_THAT(graph.at("b"), UnorderedElementsAre("a"));
  EXPECT_THAT(graph.at("c"), UnorderedElementsAre("a", "b"));
  EXPECT_THAT(graph.at("tools"), UnorderedElementsAre("a", "b", "c"));
}

TEST(Cycle, IsFoundWhereThereIsOne) {
  EXPECT_THAT(find_cycle({{"a", {}}, {"b", {"a"}}, {"c", {"a", "b"}}}), IsEmpty());
  EXPECT_THAT(find_cycle({{"a", {"b"}}, {"b", {"c"}}, {"c", {"b"}}}), ElementsAre("b", "c"));
  EXPECT_THAT(find_cycle({{"a", {"a"}}}), ElementsAre("a"));
}

TEST(Includes, BothFormsAreRead) {
  const auto found = includes_of(
      "#pragma once\n#include <vector>\n  # include \"pixart/nn/a.h\"  // why\n// #include <no>\n");
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].target, "vector");
  EXPECT_FALSE(found[0].quoted);
  EXPECT_EQ(found[1].target, "pixart/nn/a.h");
  EXPECT_TRUE(found[1].quoted);
  EXPECT_EQ(found[1].line, 3);
}

TEST(CmakeDepends, OnlyTheDependsListIsRead) {
  EXPECT_THAT(
      cmake_depends("# pixart_module(x DEPENDS no)\npixart_module(nn TORCH\n SOURCES a.cpp PLAIN b.cpp\n"
                    " DEPENDS base formats LIBRARIES dl)\ntarget_link_libraries(pixart_nn PRIVATE y)"),
      UnorderedElementsAre("base", "formats"));
}

TEST(ModuleOf, FollowsTheFolder) {
  EXPECT_EQ(module_of("include/pixart/nn/a.h"), "nn");
  EXPECT_EQ(module_of("src/nn/kernels/a.cu"), "nn");
  EXPECT_EQ(module_of("tools/main.cpp"), "tools");
  EXPECT_EQ(module_of("src/README.md"), "");
}

TEST(FilesUnder, FindsSourcesAndSkipsWhatIsNotOurs) {
  const auto files = files_under("");
  EXPECT_THAT(files, ::testing::Contains("tests/meta/source_tree_test.cpp"));
  EXPECT_THAT(files, ::testing::Contains(".ci/run"));
  EXPECT_THAT(files, ::testing::Contains("findings/README.md"));
  for (const auto& file : files) {
    EXPECT_FALSE(file.starts_with("build/") || file.starts_with(".deps/") || file.starts_with(".git/"))
        << file;
  }
}

}  // namespace
}  // namespace pixart::testing

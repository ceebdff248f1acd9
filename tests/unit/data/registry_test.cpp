#include "folder.h"

namespace pixart::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> problems_of(const SourceConfig& config) {
  std::vector<std::string> problems;
  config.validate(problems);
  return problems;
}

SourceConfig source(const std::string& type, const std::string& path) {
  SourceConfig config;
  config.name = "s";
  config.type = type;
  config.path = path;
  return config;
}

TEST(Registry, UnknownTypeListsTheKnownOnes) {
  EXPECT_THAT(refusal(source("image_folders", "x")),
              AllOf(HasSubstr("source s"), HasSubstr("image_folder, class_folder, idx, table, "),
                    HasSubstr("Did you mean 'image_folder'?")));
}

TEST(Registry, PathIsNeededByAllButScenes) {
  for (const char* type : {"image_folder", "class_folder", "idx"}) {
    EXPECT_THAT(problems_of(source(type, "somewhere")), IsEmpty()) << type;
    EXPECT_THAT(problems_of(source(type, "")), ElementsAre(HasSubstr("path is missing"))) << type;
  }
  EXPECT_THAT(problems_of(source("scenes", "")), IsEmpty());
  EXPECT_THAT(problems_of(source("scenes", "somewhere")), ElementsAre(HasSubstr("path has no effect")));
}

TEST(Registry, KeysWithoutEffectAreProblems) {
  auto folder = source("image_folder", "x");
  folder.style = demo::SceneStyle::kShaded;
  folder.count = 5;
  folder.seed = 1;
  EXPECT_THAT(problems_of(folder), ElementsAre(HasSubstr("count"), HasSubstr("style"), HasSubstr("seed")));
  auto classes = source("class_folder", "x");
  classes.missing_caption = MissingCaption::kSkip;
  classes.include = {"a"};
  EXPECT_THAT(problems_of(classes), ElementsAre(HasSubstr("missing_caption"), HasSubstr("include")));
  auto digits = source("idx", "x");
  digits.damaged_images = formats::DamagedImages::kRead;
  EXPECT_THAT(problems_of(digits), ElementsAre(HasSubstr("damaged_images has no effect")));
  digits.type = "webdataset";
  EXPECT_THAT(problems_of(digits), IsEmpty());
}

TEST(Registry, OnlyShardsAreReadFromServers) {
  EXPECT_THAT(problems_of(source("webdataset", "https://host/a.tar")), IsEmpty());
  for (const char* type : {"image_folder", "table", "idx"})
    EXPECT_THAT(problems_of(source(type, "https://host/a")), ElementsAre(HasSubstr("by type: webdataset")));
  auto folder = source("image_folder", "x");
  folder.cache_gb = 5;
  EXPECT_THAT(problems_of(folder), ElementsAre(HasSubstr("cache_gb has no effect")));
}

TEST(Registry, IncludeStaysBelowThePath) {
  auto folder = source("image_folder", "x");
  folder.include = {"a", "a/b", "../c", "/etc", "", ".", "a/../../b"};
  EXPECT_THAT(problems_of(folder), ElementsAre(HasSubstr("'../c'"), HasSubstr("'/etc'"), HasSubstr("''"),
                                               HasSubstr("'.'"), HasSubstr("'a/../../b'")));
}

}  // namespace
}  // namespace pixart::data

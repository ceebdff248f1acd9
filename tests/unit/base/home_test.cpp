#include "pixart/base/home.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "pixart/base/env.h"

namespace pixart {
namespace {

class Home : public ::testing::Test {
 protected:
  ~Home() override { set_environment_variable("HOME", before_.c_str()); }
  const std::string before_ = environment_variable("HOME").value_or("");
};

TEST_F(Home, OnlyALeadingTildeIsTheHomeFolder) {
  set_environment_variable("HOME", "/ada");
  for (const auto& [path, wanted] :
       std::vector<std::pair<std::string, std::string>>{{"~", "/ada"},
                                                        {"~/", "/ada/"},
                                                        {"~/a", "/ada/a"},
                                                        {"~/a/~/b", "/ada/a/~/b"},
                                                        {"~/a/*.tar", "/ada/a/*.tar"},
                                                        {"~/s-{000..003}.tar", "/ada/s-{000..003}.tar"},
                                                        {"~/ä b", "/ada/ä b"},
                                                        {"~/.cache", "/ada/.cache"},
                                                        {"~//a", "/ada//a"},
                                                        {"~/../eve", "/ada/../eve"},
                                                        {"", ""},
                                                        {"a", "a"},
                                                        {"/a", "/a"},
                                                        {"./~", "./~"},
                                                        {"./~/a", "./~/a"},
                                                        {"a~", "a~"},
                                                        {"a/~", "a/~"},
                                                        {"~eve/a", "~eve/a"},
                                                        {"~~", "~~"},
                                                        {"~a", "~a"},
                                                        {" ~/a", " ~/a"},
                                                        {"-", "-"}})
    EXPECT_EQ(with_home(path), wanted);
}

TEST_F(Home, WithoutAHomeFolderThePathStays) {
  set_environment_variable("HOME", "");
  EXPECT_EQ(with_home("~/a"), "~/a");
}

}  // namespace
}  // namespace pixart

// The module graph of src/README.md is what the code does.
#include <gtest/gtest.h>

#include "source_tree.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;

const ModuleGraph& table() {
  static const ModuleGraph graph = read_module_table(read_text(source_dir() / "src" / "README.md"));
  return graph;
}

std::set<std::string> folders_in(const fs::path& parent) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(parent)) {
    if (entry.is_directory()) names.insert(entry.path().filename());
  }
  return names;
}

// Calls visit(file, module, include) for each #include of the modules and the command.
template <class Visit>
void for_each_include(Visit visit) {
  int64_t num_includes = 0;
  for (const char* folder : {"include", "src", "tools"}) {
    for (const auto& file : files_under(folder)) {
      const std::string module = module_of(file);
      if (!is_cpp_file(file) || module.empty()) continue;
      for (const auto& include : includes_of(read_text(source_dir() / file))) {
        visit(file, module, include);
        ++num_includes;
      }
    }
  }
  EXPECT_GT(num_includes, 100) << "the reader has found hardly any #include";
}

TEST(ModuleGraph, HasNoCycle) {
  ASSERT_GE(table().size(), 10u) << "the table of src/README.md was not read";
  std::string chain;
  for (const auto& module : find_cycle(table())) chain += module + " -> ";
  EXPECT_EQ(chain, "") << "src/README.md: these modules use one another in a circle";
}

TEST(ModuleGraph, UsesOnlyModulesOfTheTable) {
  for (const auto& [module, used] : table()) {
    for (const auto& name : used)
      EXPECT_EQ(table().count(name), 1u) << "src/README.md: " << module << " may use unknown " << name;
  }
}

TEST(ModuleGraph, EachFolderIsInTheTableAndEachRowHasAFolder) {
  std::set<std::string> folders = folders_in(source_dir() / "src"), rows;
  folders.merge(folders_in(source_dir() / "include" / "pixart"));
  for (const auto& [module, used] : table()) rows.insert(module);
  for (const auto& folder : folders) {
    EXPECT_EQ(rows.count(folder), 1u) << "src/README.md has no row for the module folder " << folder;
  }
  for (const auto& row : rows) {
    if (row == "tools") continue;
    EXPECT_TRUE(fs::is_directory(source_dir() / "src" / row))
        << "src/README.md lists " << row << ", which has no src/" << row;
    EXPECT_TRUE(fs::is_directory(source_dir() / "include" / "pixart" / row))
        << row << " has no include/pixart/" << row;
  }
  EXPECT_EQ(folders_in(source_dir() / "include"), std::set<std::string>{"pixart"});
}

TEST(ModuleGraph, EachIncludeIsAnEdgeOfTheTable) {
  for_each_include([](const std::string& file, const std::string& module, const Include& include) {
    if (!include.target.starts_with("pixart/")) return;
    const std::string used = module_of("include/" + include.target);
    if (used == module || table().count(module) == 0) return;
    EXPECT_EQ(table().at(module).count(used), 1u)
        << file << ":" << include.line << " includes " << include.target << ", but " << module
        << " may not use " << used;
  });
}

TEST(ModuleGraph, PrivateHeadersStayInTheirModule) {
  for_each_include([](const std::string& file, const std::string& module, const Include& include) {
    if (!include.quoted || include.target.starts_with("pixart/")) return;
    const fs::path beside = (fs::path(file).parent_path() / include.target).lexically_normal();
    EXPECT_EQ(module_of(beside.generic_string()), module)
        << file << ":" << include.line << " reaches into another module with " << include.target;
    EXPECT_TRUE(fs::exists(source_dir() / beside)) << file << ":" << include.line << ": no file " << beside;
    EXPECT_FALSE(file.starts_with("include/"))
        << file << ":" << include.line << ": a public header includes a private one";
  });
}

TEST(ModuleGraph, PublicHeadersThatAreIncludedExist) {
  for_each_include([](const std::string& file, const std::string&, const Include& include) {
    if (!include.target.starts_with("pixart/")) return;
    EXPECT_TRUE(fs::exists(source_dir() / "include" / include.target))
        << file << ":" << include.line << ": " << include.target;
  });
}

TEST(ModuleGraph, CmakeDependsAgree) {
  int64_t num_modules = 0;
  for (const auto& [module, may_use] : table()) {
    const fs::path cmake = source_dir() / "src" / module / "CMakeLists.txt";
    if (module == "tools") continue;
    ASSERT_TRUE(fs::exists(cmake)) << cmake;
    for (const auto& used : cmake_depends(read_text(cmake))) {
      EXPECT_EQ(may_use.count(used), 1u)
          << "src/" << module << "/CMakeLists.txt: DEPENDS " << used << " is not in src/README.md";
      ++num_modules;
    }
  }
  EXPECT_GT(num_modules, 10) << "the reader has found hardly any DEPENDS";
}

TEST(ModuleGraph, LinksWhatItIncludes) {
  std::map<std::string, std::set<std::string>> linked;
  for (const auto& [module, may_use] : table()) {
    const fs::path cmake = source_dir() / "src" / module / "CMakeLists.txt";
    if (fs::exists(cmake)) linked[module] = cmake_depends(read_text(cmake));
  }
  for_each_include([&](const std::string& file, const std::string& module, const Include& include) {
    const std::string used =
        include.target.starts_with("pixart/") ? module_of("include/" + include.target) : "";
    if (used.empty() || used == module || linked.count(module) == 0) return;
    EXPECT_EQ(linked[module].count(used), 1u) << file << ":" << include.line << " includes " << include.target
                                              << ", but DEPENDS of " << module << " lacks " << used;
  });
}

}  // namespace
}  // namespace pixart::testing

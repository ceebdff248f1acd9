// Rules that keep the tree readable: sizes, purposes, no leftovers, scripts that explain themselves.
#include <gtest/gtest.h>

#include <cstdio>
#include <regex>

#include "source_tree.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;

constexpr size_t kMaxLines = 500;

bool is_golden_data(const std::string& file) {
  return file.starts_with("tests/golden/") && fs::path(file).parent_path() != "tests/golden";
}

// Calls visit(file, line number, line) for each line of our text files, golden data aside.
template <class Visit>
void for_each_line(Visit visit) {
  int64_t num_files = 0;
  for (const auto& file : files_under("")) {
    if (is_golden_data(file) || !is_text_file(file)) continue;
    int number = 0;
    for (const auto& line : read_lines(source_dir() / file)) visit(file, ++number, line);
    ++num_files;
  }
  EXPECT_GT(num_files, 50) << "hardly any file was read";
}

struct CommandResult {
  int exit_code = -1;
  std::string output;
};

CommandResult run_shell(const std::string& command) {
  CommandResult result;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return result;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) result.output.append(buffer, n);
  result.exit_code = pclose(pipe);
  return result;
}

std::vector<fs::path> shell_scripts() {
  std::vector<fs::path> scripts;
  for (const auto& file : files_under("scripts")) {
    if (fs::path(file).extension() == ".sh") scripts.push_back(source_dir() / file);
  }
  return scripts;
}

TEST(Sizes, NoFileIsTooLong) {
  for (const char* folder : {"include", "src", "tools", "tests", "scripts", "cmake", "findings"}) {
    for (const auto& file : files_under(folder)) {
      const auto extension = fs::path(file).extension();
      const bool is_code = (is_cpp_file(file) && extension != ".inc") || extension == ".sh" ||
                           extension == ".py" || extension == ".cmake";
      if (!is_code || is_golden_data(file)) continue;
      EXPECT_LE(read_lines(source_dir() / file).size(), kMaxLines) << file << ": split it by purpose";
    }
  }
}

TEST(Leftovers, NoOpenEnds) {
  static const std::regex kOpenEnd(
      "\\b(TO"
      "DO|FIX"
      "ME|XX"
      "X)\\b");  // in halves, so as not to find itself
  for_each_line([](const std::string& file, int number, const std::string& line) {
    EXPECT_FALSE(std::regex_search(line, kOpenEnd)) << file << ":" << number << ": " << line;
  });
}

TEST(Leftovers, NoPathsOfSomebodysMachine) {
  static const std::regex kMachinePath(
      "(^|[^A-Za-z0-9_.})/-])/(wo"
      "rk|ro"
      "ot|ho"
      "me|tm"
      "p)(/|\\b)");
  for_each_line([](const std::string& file, int number, const std::string& line) {
    EXPECT_FALSE(std::regex_search(line, kMachinePath)) << file << ":" << number << ": " << line;
  });
}

// Users keep files of their own in the folders that they name: only one file decides what is deleted.
TEST(Deleting, HappensInOnePlace) {
  static const std::regex kDeleting(R"(\b(fs|filesystem|std)::remove(_all)?\(|\bunlink(at)?\(|\brmdir\()");
  static const std::regex kAlgorithm(R"(std::remove\([^()]*\bbegin\(\))");
  for (const char* folder : {"include", "src", "tools"}) {
    for (const auto& file : files_under(folder)) {
      if (!is_cpp_file(file) || file.starts_with("tools/bench/") || file == "src/base/deletion.cpp") continue;
      for (const auto& line : read_lines(source_dir() / file))
        EXPECT_TRUE(!std::regex_search(line, kDeleting) || std::regex_search(line, kAlgorithm))
            << file << ": base/deletion.h deletes: " << line;
    }
  }
}

// Names and captions of files may hold escape sequences.
TEST(Printing, HappensInOnePlace) {
  static const std::regex kPrinting(R"(\b(printf|puts|putchar)\(|\bstd::cout\b|, stdout\))");
  for (const char* folder : {"include", "src", "tools"}) {
    for (const auto& file : files_under(folder)) {
      if (!is_cpp_file(file) || file.starts_with("tools/bench/") || file == "src/base/print.cpp") continue;
      for (const auto& line : read_lines(source_dir() / file))
        EXPECT_FALSE(std::regex_search(line, kPrinting)) << file << ": base/print.h prints: " << line;
    }
  }
}

// A small file of others must not take hours (formats/bounded_json.h).
TEST(Json, WhoseKeysKeepTheirOrderIsReadInOnePlace) {
  static const std::regex kReading(R"(\bordered_json::(parse|sax_parse)\()");
  for (const char* folder : {"include", "src", "tools"}) {
    for (const auto& file : files_under(folder)) {
      if (!is_cpp_file(file) || file.starts_with("tools/bench/") || file == "src/formats/bounded_json.cpp")
        continue;
      for (const auto& line : read_lines(source_dir() / file))
        EXPECT_FALSE(std::regex_search(line, kReading)) << file << ": formats/bounded_json.h reads: " << line;
    }
  }
}

// So each page has the frame's Content-Security-Policy.
TEST(Pages, HaveTheFrameOfOneFile) {
  static const std::regex kFrame("<!doctype html>|<head>|<html[ >]", std::regex::icase);
  std::set<std::string> with_a_frame;
  for_each_line([&](const std::string& file, int, const std::string& line) {
    const bool is_ours =
        file.starts_with("src/") || file.starts_with("tools/") || file.starts_with("include/");
    if (is_ours && is_cpp_file(file) && std::regex_search(line, kFrame)) with_a_frame.insert(file);
  });
  EXPECT_EQ(with_a_frame, std::set<std::string>{"src/base/html.cpp"});
}

TEST(Folders, EachModuleHasAReadme) {
  for (const auto& [module, used] : read_module_table(read_text(source_dir() / "src" / "README.md"))) {
    const fs::path readme = source_dir() / (module == "tools" ? "tools" : "src/" + module) / "README.md";
    if (module == "tools") continue;
    ASSERT_TRUE(fs::exists(readme)) << readme.lexically_relative(source_dir())
                                    << ": what it is, what it may use";
    const size_t num_lines = read_lines(readme).size();
    EXPECT_GE(num_lines, 3u) << readme.lexically_relative(source_dir());
    EXPECT_LE(num_lines, 60u) << readme.lexically_relative(source_dir())
                              << ": about ten lines; the headers are the reference";
  }
}

// A folder inside a module is named, with a slash, in the README of the module.
TEST(Folders, EachSubfolderHasAPurpose) {
  for (const char* parent : {"src", "include/pixart"}) {
    for (auto it = fs::recursive_directory_iterator(source_dir() / parent);
         it != fs::recursive_directory_iterator(); ++it) {
      if (!it->is_directory() || it.depth() == 0) continue;
      const fs::path inside = it->path().lexically_relative(source_dir() / parent);
      const fs::path readme = source_dir() / "src" / *inside.begin() / "README.md";
      const std::string name = it->path().filename().string() + "/";
      EXPECT_TRUE(fs::exists(readme) && read_text(readme).find(name) != std::string::npos)
          << parent << "/" << inside.generic_string() << ": src/" << inside.begin()->string()
          << "/README.md does not say what " << name << " is";
    }
  }
}

TEST(Folders, HaveNoNamesThatSayNothing) {
  static const std::set<std::string> kEmptyNames = {"utils",   "util",        "misc",  "common",
                                                    "helpers", "third_party", "vendor"};
  for (const auto& file : files_under("")) {
    for (const auto& part : fs::path(file)) EXPECT_EQ(kEmptyNames.count(part.stem().string()), 0u) << file;
  }
}

TEST(Scripts, AreExecutableAndExplainThemselves) {
  ASSERT_FALSE(shell_scripts().empty());
  for (const auto& script : shell_scripts()) {
    const std::string name = script.lexically_relative(source_dir());
    EXPECT_NE(fs::status(script).permissions() & fs::perms::owner_exec, fs::perms::none)
        << name << " is not executable";
    const auto lines = read_lines(script);
    ASSERT_FALSE(lines.empty()) << name;
    EXPECT_EQ(lines.front(), "#!/usr/bin/env bash") << name;
    const auto help = run_shell("bash '" + script.string() + "' --help");
    EXPECT_EQ(help.exit_code, 0) << name << " --help: " << help.output;
    EXPECT_NE(help.output.find("Usage: " + name), std::string::npos) << name << " --help: " << help.output;
  }
}

TEST(Scripts, StopAtTheFirstError) {
  for (const auto& script : shell_scripts()) {
    EXPECT_NE(read_text(script).find("\nset -euo pipefail\n"), std::string::npos)
        << script.lexically_relative(source_dir());
  }
}

}  // namespace
}  // namespace pixart::testing

#include "source_tree.h"

#include <algorithm>
#include <fstream>
#include <regex>
#include <sstream>
#include <stdexcept>

namespace pixart::testing {
namespace fs = std::filesystem;

fs::path source_dir() { return PIXART_SOURCE_DIR; }

std::string read_text(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + path.string());
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<std::string> read_lines(const fs::path& path) {
  std::istringstream stream(read_text(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

namespace {

// The top level is fixed; whatever else lies there (builds, downloads, runs, data) is not ours.
bool is_ours(const fs::path& path, bool at_top) {
  static const std::set<std::string> kTopLevel = {
      ".ci",     ".clang-format", ".gitignore", "CMakeLists.txt", "LICENSE", "README.md", "cmake",
      "configs", "findings",      "include",    "scripts",        "src",     "tests",     "tools"};
  const std::string name = path.filename();
  return at_top ? kTopLevel.count(name) != 0 : name != "__pycache__" && !name.starts_with(".");
}

}  // namespace

std::vector<std::string> files_under(const std::string& folder) {
  std::vector<std::string> files;
  const fs::path root = source_dir() / folder;
  if (!fs::is_directory(root)) throw std::runtime_error("no folder " + root.string());
  for (auto it = fs::recursive_directory_iterator(root); it != fs::recursive_directory_iterator(); ++it) {
    if (!is_ours(it->path(), folder.empty() && it.depth() == 0)) {
      it.disable_recursion_pending();
    } else if (it->is_regular_file()) {
      files.push_back(it->path().lexically_relative(source_dir()).generic_string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool is_cpp_file(const std::string& path) {
  static const std::set<std::string> kExtensions = {".h", ".cpp", ".cu", ".cuh", ".inc"};
  return kExtensions.count(fs::path(path).extension()) != 0;
}

bool is_text_file(const std::string& path) {
  std::ifstream stream(source_dir() / path, std::ios::binary);
  std::string start(8192, ' ');
  stream.read(start.data(), std::streamsize(start.size()));
  start.resize(size_t(stream.gcount()));
  return start.find('\0') == std::string::npos;
}

ModuleGraph read_module_table(const std::string& readme_text) {
  static const std::regex kRow(R"(^\| `(\w+)` \| .+ \| ([^|]+) \|\s*$)");
  static const std::regex kName("`(\\w+)`");
  ModuleGraph graph;
  std::vector<std::string> order;
  std::istringstream stream(readme_text);
  for (std::string line; std::getline(stream, line);) {
    std::smatch row;
    if (!std::regex_match(line, row, kRow)) continue;
    const std::string name = row[1], may_use = row[2];
    std::set<std::string>& used = graph[name];
    // "all" is the command's: everything stands above it.
    if (may_use.starts_with("all")) used.insert(order.begin(), order.end());
    for (auto it = std::sregex_iterator(may_use.begin(), may_use.end(), kName); it != std::sregex_iterator();
         ++it) {
      used.insert((*it)[1]);
    }
    order.push_back(name);
  }
  return graph;
}

namespace {

// Depth first; `path` is the chain of modules that led here.
bool walk(const ModuleGraph& graph, const std::string& module, std::vector<std::string>& path,
          std::set<std::string>& done) {
  const auto seen = std::find(path.begin(), path.end(), module);
  if (seen != path.end()) {
    path.erase(path.begin(), seen);
    return true;
  }
  if (done.count(module) != 0 || graph.count(module) == 0) return false;
  path.push_back(module);
  for (const auto& next : graph.at(module)) {
    if (walk(graph, next, path, done)) return true;
  }
  path.pop_back();
  done.insert(module);
  return false;
}

}  // namespace

std::vector<std::string> find_cycle(const ModuleGraph& graph) {
  std::vector<std::string> path;
  std::set<std::string> done;
  for (const auto& [module, used] : graph) {
    if (walk(graph, module, path, done)) return path;
  }
  return {};
}

std::string module_of(const std::string& path) {
  static const std::regex kModule("^(?:include/pixart|src)/(\\w+)/.*");
  std::smatch match;
  if (std::regex_match(path, match, kModule)) return match[1];
  return path.starts_with("tools/") ? "tools" : "";
}

std::vector<Include> includes_of(const std::string& text) {
  static const std::regex kInclude(R"re(^\s*#\s*include\s*(["<])([^">]+)[">].*)re");
  std::vector<Include> includes;
  std::istringstream stream(text);
  int number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    std::smatch match;
    if (line.find("include") == std::string::npos || !std::regex_match(line, match, kInclude)) continue;
    includes.push_back({.target = match[2], .quoted = match[1] == "\"", .line = number});
  }
  return includes;
}

std::set<std::string> cmake_depends(const std::string& cmake_text) {
  static const std::regex kCall("pixart_module\\(([^)]*)\\)");
  static const std::set<std::string> kKeywords = {"SOURCES", "PLAIN", "DEPENDS", "LIBRARIES", "TORCH"};
  std::set<std::string> depends;
  const std::string text = std::regex_replace(cmake_text, std::regex("#[^\n]*"), "");
  for (auto it = std::sregex_iterator(text.begin(), text.end(), kCall); it != std::sregex_iterator(); ++it) {
    std::istringstream words((*it)[1]);
    std::string keyword;
    for (std::string word; words >> word;) {
      if (kKeywords.count(word) != 0)
        keyword = word;
      else if (keyword == "DEPENDS")
        depends.insert(word);
    }
  }
  return depends;
}

}  // namespace pixart::testing

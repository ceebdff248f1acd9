// Reading the source tree, for the tests of its rules.
#pragma once
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace pixart::testing {

std::filesystem::path source_dir();

std::string read_text(const std::filesystem::path& path);
std::vector<std::string> read_lines(const std::filesystem::path& path);

// Our own files under `folder` (relative to the source tree, "" for all of the fixed top level), as sorted
// relative paths: without build results, downloads and run folders.
std::vector<std::string> files_under(const std::string& folder);

bool is_cpp_file(const std::string& path);   // .h .cpp .cu .cuh .inc
bool is_text_file(const std::string& path);  // by its bytes: no NUL in the first kilobytes

// Module -> modules that it may use, from the table of src/README.md ("all above" and "all" resolved).
using ModuleGraph = std::map<std::string, std::set<std::string>>;
ModuleGraph read_module_table(const std::string& readme_text);

// The modules of a cycle, in order; empty if there is none.
std::vector<std::string> find_cycle(const ModuleGraph& graph);

// "nn" for include/pixart/nn/x.h and src/nn/x.cpp, "tools" for tools/..., otherwise empty.
std::string module_of(const std::string& path);

struct Include {
  std::string target;   // as written, without quotes
  bool quoted = false;  // "..." and not <...>
  int line = 0;
};
std::vector<Include> includes_of(const std::string& text);

// What the DEPENDS list of the pixart_module(<name> ...) call in a CMakeLists.txt names.
std::set<std::string> cmake_depends(const std::string& cmake_text);

}  // namespace pixart::testing

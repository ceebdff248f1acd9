// The commands and their options as plain data. Completion and the manual page use it, so they are always up
// to date.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace pixart::tools {

struct CommandNode {
  std::string path;                            // "data/check"; "" is pixart itself
  std::vector<std::string> commands, options;  // sub-commands; "--set", "-n"
  const CLI::App* app = nullptr;
};

std::vector<CommandNode> command_tree(const CLI::App& app);  // pixart first, depth first

std::vector<std::string> paths_of(const std::vector<CommandNode>& tree);
std::string quoted_path(const std::string& path);  // quoted for a pattern of the shell's case

}  // namespace pixart::tools

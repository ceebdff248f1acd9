// The commands and their options as plain data: for completion and the manual page, which therefore cannot go
// stale.
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
std::string quoted_path(const std::string& path);  // as a pattern of the shell's case

}  // namespace pixart::tools

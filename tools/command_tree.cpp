#include "command_tree.h"

namespace pixart::tools {

namespace {

void add_node(const CLI::App& app, const std::string& path, std::vector<CommandNode>& tree) {
  CommandNode node{.path = path, .commands = {}, .options = {}, .app = &app};
  for (const auto* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) node.options.push_back("--" + name);
    for (const auto& name : option->get_snames()) node.options.push_back("-" + name);
  }
  const auto children = app.get_subcommands([](const CLI::App*) { return true; });
  for (const auto* child : children) node.commands.push_back(child->get_name());
  tree.push_back(std::move(node));
  for (const auto* child : children)
    add_node(*child, path.empty() ? child->get_name() : path + "/" + child->get_name(), tree);
}

}  // namespace

std::vector<CommandNode> command_tree(const CLI::App& app) {
  std::vector<CommandNode> tree;
  add_node(app, "", tree);
  return tree;
}

std::vector<std::string> paths_of(const std::vector<CommandNode>& tree) {
  std::vector<std::string> paths;
  for (const auto& node : tree)
    if (!node.path.empty()) paths.push_back(node.path);
  return paths;
}

std::string quoted_path(const std::string& path) { return "'" + path + "'"; }

}  // namespace pixart::tools

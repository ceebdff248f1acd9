#include <memory>

#include "command_tree.h"
#include "commands.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/config/config.h"
#include "pixart/run/run_config.h"

namespace pixart::tools {

namespace {

// The words that may follow --set and explain.
std::vector<std::string> config_keys() {
  std::vector<std::string> keys;
  for (const auto& key : config::keys<run::RunConfig>())
    if (key.type != "section" && key.path.find("[]") == std::string::npos) keys.push_back(key.path);
  return keys;
}

// One case per command, with its sub-commands and options. In other positions it completes file names.
std::string bash_script(const std::vector<CommandNode>& tree) {
  std::string cases;
  for (const auto& node : tree)
    cases += fmt::format("    {}) words=\"{}\" ;;\n", quoted_path(node.path),
                         join(node.commands, " ") + " " + join(node.options, " "));
  return fmt::format(
      R"(# bash completion for pixart: pixart completion bash > ~/.local/share/bash-completion/completions/pixart
_pixart() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} path='' word words=''
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case $word in -*) ;; *) [[ " $(_pixart_paths) " == *" ${{path:+$path/}}$word "* ]] && path=${{path:+$path/}}$word ;; esac
  done
  case $path in
{0}  esac
  case $previous in
    --set | explain) words="{1}" ;;
  esac
  if [[ $current == -* || -n $words && -z $path ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$current") $(compgen -f -- "$current"))
  fi
}}
_pixart_paths() {{ echo "{2}"; }}
complete -o filenames -F _pixart pixart
)",
      cases, join(config_keys(), " "), join(paths_of(tree), " "));
}

std::string zsh_script(const std::vector<CommandNode>& tree) {
  return "#compdef pixart\n# zsh completion for pixart: put it as _pixart into a folder of $fpath\n"
         "autoload -U +X bashcompinit && bashcompinit\n" +
         bash_script(tree);
}

std::string fish_script(const std::vector<CommandNode>& tree) {
  std::string script =
      "# fish completion for pixart: pixart completion fish > ~/.config/fish/completions/pixart.fish\n";
  for (const auto& node : tree) {
    const std::string condition = node.path.empty() ? "__fish_use_subcommand"
                                                    : fmt::format("__fish_seen_subcommand_from {}",
                                                                  node.path.substr(node.path.rfind('/') + 1));
    for (const auto& command : node.commands)
      script += fmt::format("complete -c pixart -n '{}' -a {}\n", condition, command);
    for (const auto& option : node.options)
      if (option.starts_with("--"))
        script += fmt::format("complete -c pixart -n '{}' -l {}\n", condition, option.substr(2));
  }
  return script;
}

}  // namespace

void add_completion(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  auto* command = app.add_subcommand("completion", "Print a script that completes pixart's command lines.");
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer(
      "Examples:\n  source <(pixart completion bash)\n"
      "  pixart completion fish > ~/.config/fish/completions/pixart.fish");
  command->callback([shell, &app] {
    const auto tree = command_tree(app);
    const std::string script = *shell == "bash"  ? bash_script(tree)
                               : *shell == "zsh" ? zsh_script(tree)
                                                 : fish_script(tree);
    print_text(script);
  });
}

}  // namespace pixart::tools

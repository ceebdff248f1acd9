
#include "command_tree.h"
#include "commands.h"
#include "pixart/base/print.h"
#include "pixart/base/version.h"
#include "pixart/base/words.h"

namespace pixart::tools {

namespace {

// Escapes text for troff, so that no part of it is taken for a request or an escape.
std::string roff(const std::string& text) {
  std::string result;
  bool at_start = true;
  for (const char c : text) {
    if (at_start && (c == '.' || c == '\'')) result += "\\&";
    if (c == '\\')
      result += "\\e";
    else if (c == '-')
      result += "\\-";
    else
      result += c;
    at_start = c == '\n';
  }
  return result;
}

std::string option_lines(const CLI::App& app) {
  std::string lines;
  for (const auto* option : app.get_options()) {
    const std::string name = option->get_name(option->get_positional(), true);
    if (name.empty()) continue;
    lines += fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(name), roff(option->get_description()));
  }
  return lines;
}

std::string page(const CLI::App& app) {
  std::string text = fmt::format(".TH PIXART 1 \"\" \"{}\" \"User commands\"\n.SH NAME\npixart \\- {}\n",
                                 roff(producer()), roff(app.get_description()));
  text += ".SH SYNOPSIS\n.B pixart\nCOMMAND [OPTION ...]\n.SH COMMANDS\n";
  for (const auto& node : command_tree(app)) {
    if (node.path.empty()) continue;
    std::string name = node.path;
    for (char& c : name)
      if (c == '/') c = ' ';
    text += fmt::format(".SS pixart {}\n{}\n", roff(name), roff(node.app->get_description()));
    text += option_lines(*node.app);
    if (!node.app->get_footer().empty())
      text += fmt::format(".PP\n.nf\n{}\n.fi\n", roff(node.app->get_footer()));
  }
  return text + fmt::format(".SH NOTES\n.nf\n{}\n.fi\n", roff(app.get_footer()));
}

}  // namespace

void add_manual(CLI::App& app) {
  auto* command = app.add_subcommand("manual", "Print the manual page (troff).");
  command->footer("Example:\n  pixart manual > pixart.1 && man ./pixart.1");
  command->callback([&app] { print_text(page(app)); });
}

}  // namespace pixart::tools

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>

#include "commands.h"
#include "pixart/base/env.h"
#include "pixart/base/names.h"
#include "pixart/base/version.h"
#include "pixart/base/words.h"

namespace pixart::tools {

namespace {

// These end at a safe point when they are asked to stop. A signal ends all other commands at once.
const std::vector<std::string> kStoppable = {"train", "launch", "extract", "caption", "judge"};

void leave_signals_of_others(CLI::App& app) {
  for (auto* command : app.get_subcommands([](CLI::App*) { return true; }))
    if (!contains(kStoppable, command->get_name()))
      command->preparse_callback([](size_t) { leave_stop_signals(); });
}

// What CLI11 does not say of a number: it takes the largest one for a larger one, and 2^64 - 1 for -1.
std::string problem_of_number(const std::string& text, bool is_unsigned) {
  const size_t first = text.find_first_not_of(" \t\n\v\f\r");  // strtoull passes over these
  if (is_unsigned && first != std::string::npos && text[first] == '-') return text + " is negative";
  errno = 0;
  if (is_unsigned)
    (void)std::strtoull(text.c_str(), nullptr, 0);
  else
    (void)std::strtoll(text.c_str(), nullptr, 0);
  return errno == ERANGE ? text + " does not fit into 64 bits" : "";
}

// A range of CLI11 has "nan" in it.
std::string problem_of_fraction(const std::string& text) {
  return std::isfinite(std::strtod(text.c_str(), nullptr)) ? "" : text + " is not a finite number";
}

// For the numbers of all options of all commands, before a unit (4G) becomes a factor.
void refuse_wrong_numbers(CLI::App& app) {
  for (auto* option : app.get_options()) {
    const std::string type = option->get_type_name();
    const bool is_unsigned = type.starts_with("UINT");
    if (type.starts_with("FLOAT"))
      option->transform(CLI::Validator(problem_of_fraction, ""));
    else if (is_unsigned || type.starts_with("INT"))
      option->transform(
          CLI::Validator([=](const std::string& text) { return problem_of_number(text, is_unsigned); }, ""));
  }
  for (auto* command : app.get_subcommands([](CLI::App*) { return true; })) refuse_wrong_numbers(*command);
}

}  // namespace

void run_command(int argc, char** argv, CLI::App& app) {
  app.name("pixart");
  app.description("Trains PixArt-alpha: class-conditional DiT, re-parameterisation, text-to-image stages.");
  app.set_version_flag("--version", producer());
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  pixart train configs/demo/scenes.yaml\n"
      "  pixart sample runs/demo \"a red circle on a white background\"\n"
      "  pixart COMMAND --help\n\n"
      "Exit codes: 0 done, 70 internal error, 71 values not finite, 72 below a bar of the config, 73 run "
      "folder in use,\n"
      "74 storage error, 75 stopped on request after saving (the same command continues), 76 a device or\n"
      "another rank is lost, or there is too little memory, 78 error in the config or input.");
  for (auto* add : {add_train,  add_launch,  add_extract,          add_data,       add_caption,
                    add_sample, add_score,   add_compbench,        add_judge,      add_study,
                    add_demo,   add_report,  add_convert,          add_inspect,    add_doctor,
                    add_plan,   add_explain, add_config_reference, add_completion, add_manual})
    add(app);
  leave_signals_of_others(app);
  refuse_wrong_numbers(app);
  app.parse(argc, argv);
}

namespace {

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const auto* option : command.get_options())
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

}  // namespace

std::string explain_parse_error(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* at = &app;
  std::string path = "pixart";
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    path += " " + at->get_name();
  }
  const CLI::App& place = *at;
  const std::string help = path + " --help";
  const auto unknown = app.remaining(true), commands = command_names(place);
  if (unknown.empty()) {
    const std::string problem =
        commands.empty() ? error.what() : "a command is missing; known are " + join(commands, ", ");
    return problem + ". See " + help + ".";
  }
  const bool is_option = unknown.front().starts_with("-");
  const auto known = is_option ? option_names(place) : commands;
  const std::string kind = is_option ? "option" : (commands.empty() ? "argument" : "command");
  if (kind == "command" && unknown.front() == "evaluate")
    return "unknown command 'evaluate'. `pixart demo score RUN` does this. See pixart demo score --help.";
  return "unknown " + kind + " '" + unknown.front() + "'." + did_you_mean(unknown.front(), known) + " See " +
         help + ".";
}

}  // namespace pixart::tools

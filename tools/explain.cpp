#include <map>
#include <memory>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/base/print.h"
#include "pixart/config/config.h"
#include "pixart/run/run_config.h"

namespace pixart::tools {

namespace {

struct ExplainArguments {
  std::string key, file;
  std::vector<std::string> overrides;
};

std::string on_resume_text(const config::KeyInfo& key) {
  if (key.type.ends_with("section") || key.type.ends_with("sections"))  // "list of sections", too
    return "see its keys";
  const std::string permission =
      key.effect.empty() ? "" : fmt::format("; with --allow-change: {}", key.effect);
  switch (key.on_resume) {
    case OnResume::kFree:
      return "may change in a run that has begun";
    case OnResume::kByContent:
      return "may name another place with the same content" + permission;
    case OnResume::kNeedsPermission:
      return "may change in a run that has begun with --allow-change: " + key.effect;
    case OnResume::kFixed:
      return "cannot change once a stage has begun that uses it";
  }
  return "";
}

std::vector<config::KeyInfo> find_keys(const std::string& asked,
                                       const std::vector<config::KeyValue>& values) {
  const auto all = config::keys<run::RunConfig>();
  std::string wanted = asked;
  for (const auto& value : values)
    if (value.path == asked) wanted = value.key;
  auto found = config::find_keys(wanted, all);
  if (found.empty())
    throw UserError(fmt::format("unknown key '{}'.{} pixart config-reference lists all keys.", asked,
                                config::key_remedy(asked, all)));
  return found;
}

// The values with which the run would be trained, with their lines in the file.
std::vector<config::KeyValue> values_of(const ExplainArguments& arguments) {
  auto values = config::values(run::read_run_config(arguments.file, arguments.overrides));
  std::map<std::string, config::KeyValue> written;
  for (auto& value : config::values_of_file<run::RunConfig>(arguments.file, arguments.overrides))
    written.emplace(value.path, value);
  for (auto& value : values) {
    const auto found = written.find(value.path);
    if (found == written.end()) continue;
    value.line = found->second.line;
    value.override_index = found->second.override_index;
  }
  return values;
}

void print_key(const config::KeyInfo& key) {
  print_line("{}", key.path);
  print_line("  {}", key.meaning);
  print_line("  type      {}{}", key.type, key.required ? ", required" : "");
  if (!key.default_value.empty()) print_line("  default   {}", key.default_value);
  if (!key.rule.empty()) print_line("  allowed   {}", key.rule);
  print_line("  resumed   {}", on_resume_text(key));
}

std::string origin_of(const config::KeyValue& value, const std::string& file) {
  if (value.override_index >= 0) return "--set";
  return value.line > 0 ? fmt::format("{}:{}", file, value.line) : "the default";
}

void run_explain(const ExplainArguments& arguments) {
  std::vector<config::KeyValue> values;
  if (!arguments.file.empty()) values = values_of(arguments);
  for (const auto& key : find_keys(arguments.key, values)) {
    print_key(key);
    for (const auto& value : values)
      if (value.key == key.path && (arguments.key.find('.') == std::string::npos ||
                                    value.path == arguments.key || key.path == arguments.key))
        print_line("  {}: {}   ({})", value.path, value.value, origin_of(value, arguments.file));
  }
}

}  // namespace

void add_explain(CLI::App& app) {
  auto arguments = std::make_shared<ExplainArguments>();
  auto* command = app.add_subcommand(
      "explain", "Explain a config key: its meaning, the allowed values, and its value in a run file.");
  command->add_option("KEY", arguments->key, "path of the key, or its last word")->required();
  command->add_option("RUN", arguments->file, "run file (YAML)");
  command->add_option("--set", arguments->overrides, "as for train")->allow_extra_args(false);
  command->footer(
      "Examples:\n  pixart explain gradient_clip\n  pixart explain stages[].optimizer.lr\n"
      "  pixart explain stages.stage2.steps configs/demo/scenes.yaml --set stages.stage2.steps=10");
  command->callback([arguments] { run_explain(*arguments); });
}

}  // namespace pixart::tools

#include <cstdio>
#include <map>
#include <memory>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/config/config.h"
#include "pixart/run/run_config.h"

namespace pixart::tools {

namespace {

struct Arguments {
  std::string key, file;
  std::vector<std::string> overrides;
};

const char* words_of(OnResume on_resume) {
  switch (on_resume) {
    case OnResume::kFree:
      return "may change";
    case OnResume::kNeedsPermission:
      return "may change with --allow-change";
    case OnResume::kFixed:
      return "cannot change";
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
std::vector<config::KeyValue> values_of(const Arguments& arguments) {
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
  std::printf("%s\n  %s\n  type      %s%s\n", key.path.c_str(), key.meaning.c_str(), key.type.c_str(),
              key.required ? ", required" : "");
  if (!key.default_value.empty()) std::printf("  default   %s\n", key.default_value.c_str());
  if (!key.rule.empty()) std::printf("  allowed   %s\n", key.rule.c_str());
  std::printf("  resumed   %s in a run that has begun\n", words_of(key.on_resume));
}

std::string origin_of(const config::KeyValue& value, const std::string& file) {
  if (value.override_index >= 0) return "--set";
  return value.line > 0 ? fmt::format("{}:{}", file, value.line) : "the default";
}

void run(const Arguments& arguments) {
  std::vector<config::KeyValue> values;
  if (!arguments.file.empty()) values = values_of(arguments);
  for (const auto& key : find_keys(arguments.key, values)) {
    print_key(key);
    for (const auto& value : values)
      if (value.key == key.path && (arguments.key.find('.') == std::string::npos ||
                                    value.path == arguments.key || key.path == arguments.key))
        std::printf("  %s: %s   (%s)\n", value.path.c_str(), value.value.c_str(),
                    origin_of(value, arguments.file).c_str());
  }
}

}  // namespace

void add_explain(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand(
      "explain", "Explain a config key: its meaning, the allowed values, and its value in a run file.");
  command->add_option("KEY", arguments->key, "path of the key, or its last word")->required();
  command->add_option("RUN", arguments->file, "run file (YAML)");
  command->add_option("--set", arguments->overrides, "as for train")->allow_extra_args(false);
  command->footer(
      "Examples:\n  pixart explain gradient_clip\n  pixart explain stages[].optimizer.lr\n"
      "  pixart explain stages.stage2.steps configs/demo/scenes.yaml --set stages.stage2.steps=10");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace pixart::tools

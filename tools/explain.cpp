#include <cstdio>
#include <memory>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/config/config.h"
#include "pixart/train/run_config.h"

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

// "stages.text.steps" and "stages.0.steps" are written as "stages[].steps"; "steps" finds every key of that
// name.
std::vector<config::KeyInfo> find_keys(const std::string& asked,
                                       const std::vector<config::KeyValue>& values) {
  const auto all = config::keys<train::RunConfig>();
  std::string wanted = asked;
  for (const auto& value : values)
    if (value.path == asked) wanted = value.key;
  std::vector<config::KeyInfo> found;
  for (const auto& key : all)
    if (key.path == wanted) found.push_back(key);
  if (!found.empty()) return found;
  for (const auto& key : all)
    if (key.path.ends_with("." + wanted)) found.push_back(key);
  if (!found.empty()) return found;
  std::vector<std::string> known;
  for (const auto& key : all) {
    known.push_back(key.path);
    known.push_back(key.path.substr(key.path.rfind('.') + 1));
  }
  throw UserError(fmt::format("no key is called '{}'.{} pixart config-reference lists all.", asked,
                              did_you_mean(asked, known)));
}

void print_key(const config::KeyInfo& key) {
  std::printf("%s\n  %s\n  type      %s%s\n", key.path.c_str(), key.meaning.c_str(), key.type.c_str(),
              key.required ? ", required" : "");
  if (!key.default_value.empty()) std::printf("  default   %s\n", key.default_value.c_str());
  if (!key.rule.empty()) std::printf("  allowed   %s\n", key.rule.c_str());
  std::printf("  resumed   %s in a run that has begun\n", words_of(key.on_resume));
}

// Where the value of a key comes from.
std::string origin_of(const config::KeyValue& value, const Arguments& arguments) {
  for (const auto& text : arguments.overrides)
    if (text.starts_with(value.path + "=")) return "--set";
  return value.is_default ? "the default" : arguments.file;
}

void run(const Arguments& arguments) {
  std::vector<config::KeyValue> values;
  if (!arguments.file.empty())
    values = config::values(train::read_run_config(arguments.file, arguments.overrides));
  for (const auto& key : find_keys(arguments.key, values)) {
    print_key(key);
    for (const auto& value : values)
      if (value.key == key.path && (arguments.key.find('.') == std::string::npos ||
                                    value.path == arguments.key || key.path == arguments.key))
        std::printf("  %s: %s   (%s)\n", value.path.c_str(), value.value.c_str(),
                    origin_of(value, arguments).c_str());
  }
}

}  // namespace

void add_explain(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand(
      "explain",
      "What a config key means, what is allowed, and with a run file its value and where that comes from.");
  command->add_option("KEY", arguments->key, "its path, or its last word")->required();
  command->add_option("RUN", arguments->file, "run file (YAML)");
  command->add_option("--set", arguments->overrides, "as for train")->allow_extra_args(false);
  command->footer(
      "Examples:\n  pixart explain gradient_clip\n  pixart explain stages[].optimizer.lr\n"
      "  pixart explain stages.stage2.steps configs/demo/scenes.yaml --set stages.stage2.steps=10");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace pixart::tools

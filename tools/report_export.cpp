#include "report_export.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/config/config.h"
#include "pixart/formats/bounded_json.h"
#include "pixart/report/export.h"
#include "pixart/run/run_config.h"

namespace pixart::tools {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

// Numbers, booleans, null and lists of numbers are the same in YAML and JSON; other values stay text.
ordered_json json_of(const std::string& yaml) {
  if (yaml.size() > 1 && yaml.front() == '\'' && yaml.back() == '\'') {  // '' in it is one of them
    std::string text;
    for (size_t i = 1; i + 1 < yaml.size(); ++i) {
      text += yaml[i];
      if (yaml[i] == '\'') ++i;
    }
    return text;
  }
  auto json = formats::parse_ordered_or_discard(yaml);
  return json.is_discarded() ? ordered_json(yaml) : json;
}

// Puts a value at its path: "stages.text.steps" is steps in text in stages.
void place(ordered_json& config, const std::string& path, const ordered_json& value) {
  ordered_json* at = &config;
  size_t begin = 0;
  for (size_t dot = path.find('.'); dot != std::string::npos && (at->is_object() || at->is_null());
       begin = dot + 1, dot = path.find('.', begin))
    at = &(*at)[path.substr(begin, dot - begin)];
  if (at->is_null()) *at = ordered_json::object();
  if (at->is_object())
    (*at)[path.substr(begin)] = value;
  else
    config[path] = value;
}

// The resolved run file; without one that this version can read, nothing.
std::vector<std::pair<std::string, std::string>> config_of(const fs::path& run) {
  std::vector<std::pair<std::string, std::string>> result;
  if (!fs::exists(run / "run.yaml")) return result;
  try {
    ordered_json config = ordered_json::object();
    for (const auto& value : config::values(run::read_run_config(run / "run.yaml")))
      place(config, value.path, json_of(value.value));
    for (const auto& [key, value] : config.items())
      result.emplace_back(key, value.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
  } catch (const UserError& error) {
    log::warning("{}: the export has no config, because run.yaml cannot be read: {}", run.string(),
                 error.what());
  }
  return result;
}

std::string export_name_of(const std::string& run) { return fs::weakly_canonical(run).filename().string(); }

report::Exported export_one(const ExportRequest& request, const std::string& run, const fs::path& out,
                            bool is_only) {
  if (*request.format == ExportFormat::kWandbOffline)
    return report::export_wandb(run, out, {.project = request.project, .config = config_of(run)});
  return report::export_csv(run, is_only ? out : out / export_name_of(run));
}

void require_different_names(const std::vector<std::string>& runs) {
  std::set<std::string> names;
  for (const auto& run : runs)
    if (!names.insert(export_name_of(run)).second)
      throw UserError(fmt::format("two runs are called {}: export them one by one.", export_name_of(run)));
}

}  // namespace

void add_export_options(CLI::App& command, ExportRequest& request) {
  const auto group = "Export (in place of a page)";
  auto* format = command
                     .add_option_function<std::string>(
                         "--export",
                         [&request](const std::string& word) {
                           request.format = enum_of_word<ExportFormat>(word, "format of an export");
                         },
                         "csv: a table for each stage; wandb-offline: a folder for `wandb sync`")
                     ->check(CLI::IsMember(words_of_enum<ExportFormat>()))
                     ->needs(command.get_option("--out"))
                     ->excludes(command.get_option("--preset"))
                     ->group(group);
  command.add_option("--project", request.project, "wandb-offline: the project on W&B")
      ->capture_default_str()
      ->needs(format)
      ->group(group);
}

void export_runs(const ExportRequest& request, const std::vector<std::string>& runs, const std::string& out) {
  if (out.empty()) throw UserError("--out is empty: give a folder for the export.");
  std::error_code error;
  if (fs::exists(out, error) && !fs::is_directory(out, error))
    throw UserError(fmt::format("--out {} is a file: give a folder for the export.", out));
  if (*request.format == ExportFormat::kCsv) require_different_names(runs);
  for (const auto& run : runs) {
    const auto exported = export_one(request, run, out, runs.size() == 1);
    for (const auto& remark : exported.remarks) log::warning("{}: {}", run, remark);
    for (const auto& file : exported.files) log::info("wrote {}", file.string());
  }
}

}  // namespace pixart::tools

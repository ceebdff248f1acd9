#include "data_source.h"

#include <algorithm>
#include <filesystem>

#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/config/config.h"
#include "pixart/run/run_config.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

bool has_ending(const std::string& name, std::initializer_list<const char*> endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](const char* ending) { return name.ends_with(ending); });
}

std::string type_of_file(const std::string& name) {
  if (has_ending(name, {".tar"})) return "webdataset";
  if (has_ending(name, {".jsonl", ".ndjson", ".csv", ".tsv"})) return "table";
  return {};
}

// Whether one of the first few thousand files below `folder` is a caption file (.txt).
bool has_captions(const fs::path& folder) {
  constexpr int kMost = 5000;
  int seen = 0;
  const auto options =
      fs::directory_options::follow_directory_symlink | fs::directory_options::skip_permission_denied;
  std::error_code error;  // e.g. a folder that links to itself; the source reports it
  for (fs::recursive_directory_iterator at(folder, options, error), end; !error && at != end && seen < kMost;
       at.increment(error), ++seen)
    if (at->path().extension() == ".txt") return true;
  return false;
}

std::string type_of_folder(const fs::path& folder) {
  bool has_folders = false, has_files = false;
  std::error_code unreadable;
  fs::directory_iterator entries(folder, unreadable);
  if (unreadable) throw UserError(fmt::format("cannot list {}: {}.", folder.string(), unreadable.message()));
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.')) continue;
    if (name.find("-images-idx3-ubyte") != std::string::npos) return "idx";
    if (name == "partition" || name == "partition_filter") return "pixart";
    if (name == "quarantine.jsonl") continue;  // pixart data pack writes it next to its shards
    if (const std::string type = type_of_file(name); !type.empty()) return type;
    std::error_code error;
    (entry.is_directory(error) ? has_folders : has_files) = true;
  }
  return has_folders && !has_files && !has_captions(folder) ? "class_folder" : "image_folder";
}

std::string recognised_type(const std::string& where) {
  if (where == "scenes") return "scenes";
  if (const std::string type = type_of_file(where); !type.empty()) return type;  // also of a glob
  std::error_code error;
  if (fs::is_directory(where, error)) return type_of_folder(where);
  throw UserError(
      fmt::format("{} {}: give a run file (.yaml), a folder of images, tables or shards, or 'scenes'.", where,
                  fs::exists(where, error) ? "is not a data source" : "does not exist"));
}

std::string name_of(const std::string& where) {
  fs::path path = fs::path(where).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  std::string name;
  for (const char c : path.stem().string())
    name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name.empty() ? "data" : name;
}

}  // namespace

void add_source_options(CLI::App& command, const std::shared_ptr<SourceArguments>& arguments) {
  command
      .add_option("WHERE", arguments->where,
                  "run file (.yaml), or a folder, file or glob of images, tables or shards")
      ->required();
  command.add_option("--source", arguments->source, "only this source of a run file");
  command.add_option("--type", arguments->type,
                     "type of a folder or file, as in a run file (default: recognised)");
  command
      .add_option("--set", arguments->settings,
                  "override a key of the source, e.g. --set missing_caption=skip; for a run file any key, as "
                  "for train")
      ->allow_extra_args(false);
}

std::vector<data::SourceConfig> chosen_sources(const SourceArguments& arguments) {
  if (has_ending(arguments.where, {".yaml", ".yml"})) {
    if (!arguments.type.empty())
      throw UserError("--type is only for folders and files; a run file contains the type.");
    const auto run = run::read_run_config(arguments.where, arguments.settings);
    return arguments.source.empty() ? run.sources : std::vector{run.source(arguments.source)};
  }
  if (!arguments.source.empty())
    throw UserError("--source is only for run files (.yaml): it chooses one of their sources.");
  const std::string type = arguments.type.empty() ? recognised_type(arguments.where) : arguments.type;
  std::vector<std::string> settings = {"name=" + name_of(arguments.where), "type=" + type};
  if (type != "scenes") settings.push_back("path=" + arguments.where);
  settings.insert(settings.end(), arguments.settings.begin(), arguments.settings.end());
  return {config::read_text<data::SourceConfig>("{}", arguments.where, settings)};
}

data::SourceConfig chosen_source(const SourceArguments& arguments) {
  auto sources = chosen_sources(arguments);
  if (sources.size() == 1) return std::move(sources.front());
  throw UserError(fmt::format("{} has {} sources; choose one with --source: {}.", arguments.where,
                              sources.size(), join(names_of(sources), ", ")));
}

}  // namespace pixart::tools

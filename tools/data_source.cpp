#include "data_source.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "pixart/base/cache_folder.h"
#include "pixart/base/error.h"
#include "pixart/base/home.h"
#include "pixart/base/names.h"
#include "pixart/config/config.h"
#include "pixart/data/recognise.h"
#include "pixart/data/web_address.h"
#include "pixart/features/extract.h"
#include "pixart/formats/hash.h"
#include "pixart/run/run_config.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

bool is_run_file(const std::string& where) {
  const std::string name = ascii_lower(where);
  return name.ends_with(".yaml") || name.ends_with(".yml");
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
      .add_option(
          "WHERE", arguments->where,
          "run file (.yaml), or a folder, file, glob or address (https://, s3://) of images, tables or shards")
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
  if (is_run_file(arguments.where)) {
    if (!arguments.type.empty())
      throw UserError("--type is only for folders and files; a run file contains the type.");
    const auto run = run::read_run_config(with_home(arguments.where), arguments.settings);
    return arguments.source.empty() ? run.sources : std::vector{run.source(arguments.source)};
  }
  if (!arguments.source.empty())
    throw UserError("--source is only for run files (.yaml): it chooses one of their sources.");
  const std::string where = with_home(arguments.where);
  const std::string type = arguments.type.empty() ? data::recognised_type(where) : arguments.type;
  std::vector<std::string> settings = {"name=" + name_of(data::shown_address(where)), "type=" + type};
  if (type != "scenes") settings.push_back("path=" + where);
  settings.insert(settings.end(), arguments.settings.begin(), arguments.settings.end());
  return {config::read_text<data::SourceConfig>("{}", data::shown_address(arguments.where), settings)};
}

data::SourceConfig chosen_source(const SourceArguments& arguments) {
  auto sources = chosen_sources(arguments);
  if (sources.size() == 1) return std::move(sources.front());
  throw UserError(fmt::format("{} has {} sources; choose one with --source: {}.", arguments.where,
                              sources.size(), join(names_of(sources), ", ")));
}

data::IndexPlace index_place(const SourceArguments& arguments) {
  std::error_code error;
  data::IndexPlace place;
  if (is_run_file(arguments.where)) {
    place = features::index_place(run::read_run_config(with_home(arguments.where), arguments.settings));
    if (fs::is_directory(place.folder.parent_path(), error)) return place;
  }
  const fs::path where = fs::absolute(with_home(arguments.where), error).lexically_normal();
  const fs::path cache = user_cache_folder();
  if (!cache.empty()) place.folder = cache / "index" / formats::sha256(where.string()).substr(0, 16);
  return place;
}

int64_t most_tokens(const SourceArguments& arguments) {
  if (!is_run_file(arguments.where)) return run::TextEncoderConfig{}.max_tokens;
  return run::read_run_config(with_home(arguments.where), arguments.settings).text_encoder.max_tokens;
}

std::vector<data::CheckShape> stage_shapes(const SourceArguments& arguments, const std::string& source) {
  if (!is_run_file(arguments.where)) return {};
  std::vector<data::CheckShape> shapes;
  for (const auto& stage : run::read_run_config(with_home(arguments.where), arguments.settings).stages)
    for (const auto& part : stage.parts())
      if (part.source == source)
        shapes.push_back({.stage = stage.name, .shapes = stage.at(part.resolution).shapes()});
  return shapes;
}

nlohmann::ordered_json json_of_openings(const std::vector<data::Opening>& openings) {
  auto result = nlohmann::ordered_json::array();
  for (const auto& opening : openings)
    result.push_back({{"opening", opening.text},
                      {"captions", opening.captions},
                      {"share", opening.share()},
                      {"example", opening.example},
                      {"lead_in", opening.is_lead_in},
                      {"warning", opening.is_warning()}});
  return result;
}

}  // namespace pixart::tools

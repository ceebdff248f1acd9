#include "table_files.h"

#include <glob.h>

#include <algorithm>
#include <fstream>

#include "file_ending.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/data/table_rows.h"
#include "sources.h"
#include "splits.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr int kRowsAtStart = 1000;
constexpr int kDeepestSplit = 3;  // below the source's folder

void add_tables(const fs::path& folder, int deepest, std::vector<fs::path>& tables) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code no_status;
    const bool is_folder = at->is_directory(no_status);
    if (is_folder && !at->path().filename().string().starts_with('.')) folders.push_back(at->path());
    if (!is_folder && is_table_name(at->path())) tables.push_back(at->path());
  }
  if (error) throw UserError(fmt::format("cannot list {}: {}.", folder.string(), error.message()));
  if (!tables.empty() || deepest == 0) return;
  std::sort(folders.begin(), folders.end());
  std::vector<fs::path> below;
  for (const auto& inner : folders) {
    std::vector<fs::path> some;
    add_tables(inner, deepest - 1, some);
    below.insert(below.end(), some.begin(), some.end());
  }
  tables = std::move(below);
}

bool is_image_path(const nlohmann::json& value) {
  return value.is_string() && has_image_ending(value.get<std::string>());
}

std::vector<fs::path> matching(const std::string& pattern) {
  glob_t found{};
  std::vector<fs::path> tables;
  if (::glob(pattern.c_str(), GLOB_BRACE | GLOB_TILDE, nullptr, &found) == 0)
    tables.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  std::sort(tables.begin(), tables.end());
  return tables;
}

// What to do with a file of JSON of which no line is an object; "" if its beginning does not tell.
std::string remedy_of_json(const fs::path& table) {
  std::string start(4096, '\0');
  std::ifstream file(table, std::ios::binary);
  file.read(start.data(), std::streamsize(start.size()));
  start = trimmed(start.substr(0, size_t(file.gcount())), "\xEF\xBB\xBF \t\r\n");
  const size_t second = start.find_first_not_of(kBlanks, 1);
  if (start.starts_with('[') && second != std::string::npos && start[second] == '{')
    return fmt::format(
        "{0} is one JSON list. Write each of its objects in a line: jq -c '.[]' {0} > rows.jsonl",
        table.string());
  if (start.starts_with('{') && trimmed(start.substr(0, start.find('\n'))) == "{")
    return fmt::format(
        "the objects of {0} take several lines. Write each in one line: jq -c . {0} > rows.jsonl",
        table.string());
  return "";
}

// Leaves out files such as scores or logs, unless nothing would be left.
std::vector<fs::path> with_images(const std::vector<fs::path>& tables, const SourceConfig& config) {
  std::vector<fs::path> kept;
  std::vector<std::string> others;
  for (const auto& table : tables) {
    if (start_of(table).lists_no_images(config.image_column))
      others.push_back(table.lexically_relative(config.path).string());
    else
      kept.push_back(table);
  }
  if (kept.empty()) return tables;
  if (!others.empty())
    log::warning("{}: {} of {} tables name no images and are not read: {}", subject_of(config), others.size(),
                 tables.size(), name_some(others));
  return kept;
}

}  // namespace

bool is_table_name(const fs::path& path) {
  static const std::set<std::string> kEndings = {".jsonl", ".ndjson", ".csv", ".tsv"};
  return kEndings.count(file_ending(path)) > 0 && !path.filename().string().starts_with('.');
}

bool TableStart::lists_no_images(const std::string& image_column) const {
  if (rows == 0 || bad > 0) return false;
  return image_column.empty() ? first_of(kImageColumns, columns).empty() : columns.count(image_column) == 0;
}

TableStart start_of(const fs::path& table) {
  TableStart start;
  read_rows(table, [&](TableRow& row) {
    for (const auto& [name, value] : row.fields.items()) {
      start.columns.insert(name);
      start.names_images = start.names_images || is_image_path(value);
    }
    if (!row.fault.empty() && ++start.bad == 1)
      start.first_fault = fmt::format("{} line {}: {}", table.filename().string(), row.line, row.fault);
    return ++start.rows < kRowsAtStart;
  });
  if (start.rows > 0 && start.bad == start.rows && has_json_lines(table))
    start.remedy = remedy_of_json(table);
  return start;
}

std::vector<fs::path> tables_of(const fs::path& folder) {
  std::vector<fs::path> tables;
  add_tables(folder, kDeepestSplit, tables);
  std::sort(tables.begin(), tables.end());
  return tables;
}

std::vector<fs::path> find_tables(const SourceConfig& config) {
  std::error_code error;
  std::vector<fs::path> tables;
  if (fs::is_directory(config.path, error))
    tables = tables_of(config.path);
  else if (fs::exists(config.path, error))
    return {config.path};
  else
    tables = matching(config.path.string());
  if (tables.empty())
    throw UserError(
        fmt::format("{}: found no .jsonl, .ndjson, .csv or .tsv file of that name or in that folder.",
                    subject_of(config)));
  if (!fs::is_directory(config.path, error)) return tables;
  if (tables.size() > 1) tables = with_images(tables, config);
  require_one_whole_split(subject_of(config), config.path, tables);
  return tables;
}

}  // namespace pixart::data

#include <algorithm>
#include <fstream>

#include "event_rows.h"
#include "export_parts.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/print.h"
#include "pixart/report/export.h"

namespace pixart::report {
namespace fs = std::filesystem;

namespace {

constexpr std::string_view kFirstColumn = "step";

// As RFC 4180 says; and no spreadsheet takes a name for a formula.
std::string cell(std::string text) {
  if (!text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos)
    text.insert(text.begin(), '\'');
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

// A line of the table. Its values are few where the columns are many.
std::string table_line(const EventStage& stage, int64_t step, const EventRow& row) {
  std::vector<std::pair<size_t, const nlohmann::json*>> cells;
  for (const auto& [key, value] : row) cells.emplace_back(stage.columns.at(key), &value);
  std::sort(cells.begin(), cells.end());
  std::string line = std::to_string(step);
  size_t num_columns = 0;
  for (const auto& [column, value] : cells) {
    line.append(column + 1 - num_columns, ',');
    line += value->is_null() ? "nan" : value->dump();
    num_columns = column + 1;
  }
  return line.append(stage.keys.size() - num_columns, ',') + "\n";
}

std::string header_of(const EventStage& stage) {
  std::string header(kFirstColumn);
  for (const auto& key : stage.keys) header += "," + cell(key);
  return header;
}

// An earlier table of the stage has its first columns; new ones come after them.
bool is_table_of(const EventStage& stage, const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(fs::symlink_status(file, error))) return false;
  std::string head;
  std::ifstream stream(file, std::ios::binary);
  return std::getline(stream, head) && !stream.eof() && (header_of(stage) + ",").starts_with(head + ",");
}

void write_table(const fs::path& path, const EventIndex& index, const EventStage& stage) {
  AtomicFile file(path);
  std::string waiting = header_of(stage) + "\n";
  for_each_row(index, stage, [&](int64_t step, const EventRow& row) {
    waiting += table_line(stage, step, row);
    constexpr size_t kMostWaiting = size_t{1} << 20;
    if (waiting.size() < kMostWaiting) return;
    file.write(waiting);
    waiting.clear();
  });
  file.write(waiting);
  file.commit();
}

}  // namespace

Exported export_csv(const fs::path& run, const fs::path& out) {
  const EventIndex index = events_to_export(run);
  Exported exported{.remarks = remarks_on(index)};
  Problems problems;
  for (const auto& name : file_names(index)) {
    const EventStage& stage = index.stages[exported.files.size()];
    const fs::path& file = exported.files.emplace_back(out / (name + ".csv"));
    std::error_code error;
    if (fs::exists(fs::symlink_status(file, error)) && !is_table_of(stage, file))
      problems.add(fmt::format("{} exists and is not a table of the stage {}: it has other columns",
                               file.string(), printable(stage.name)));
  }
  problems.throw_if_any("these files are not replaced; choose another --out, or move them away");
  create_folders(out);
  for (size_t i = 0; i < index.stages.size(); ++i) write_table(exported.files[i], index, index.stages[i]);
  return exported;
}

}  // namespace pixart::report

// A source of images that rows of .jsonl, .csv or .tsv files name, with captions and labels in columns. A
// sample's key is the path of its image relative to `images`. Files are sorted by path; rows keep their
// order.
#include <glob.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "pixart/base/words.h"
#include "row_fields.h"
#include "sources.h"
#include "table_rows.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr std::array<const char*, 5> kImageColumns = {"image", "path", "file_name", "filename", "img_path"};
constexpr std::array<const char*, 3> kCaptionColumns = {"caption", "text", "prompt"};
constexpr int64_t kMostClasses = 1'000'000;

bool is_table(const fs::path& path) {
  static const std::set<std::string> kEndings = {".jsonl", ".ndjson", ".csv", ".tsv"};
  return kEndings.count(path.extension().string()) > 0 && !path.filename().string().starts_with('.');
}

std::vector<fs::path> find_tables(const SourceConfig& config) {
  std::error_code error;
  std::vector<fs::path> tables;
  if (fs::is_directory(config.path, error)) {
    for (fs::directory_iterator at(config.path, error), end; !error && at != end; at.increment(error))
      if (is_table(at->path())) tables.push_back(at->path());
    if (error) throw UserError(fmt::format("cannot list {}: {}.", config.path.string(), error.message()));
  } else if (fs::exists(config.path, error)) {
    tables = {config.path};
  } else {
    glob_t found{};
    if (::glob(config.path.c_str(), GLOB_BRACE | GLOB_TILDE, nullptr, &found) == 0)
      tables.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    ::globfree(&found);
  }
  if (tables.empty())
    throw UserError(
        fmt::format("{}: found no .jsonl, .ndjson, .csv or .tsv file of that name or in that folder.",
                    subject_of(config)));
  std::sort(tables.begin(), tables.end());
  return tables;
}

// Names of the columns, from the first rows of each file.
std::set<std::string> first_columns(const std::vector<fs::path>& tables) {
  constexpr int kRows = 1000;
  std::set<std::string> columns;
  for (const auto& table : tables) {
    int rows = 0;
    read_rows(table, [&](TableRow& row) {
      for (const auto& [name, value] : row.fields.items()) columns.insert(name);
      return ++rows < kRows;
    });
  }
  return columns;
}

struct Columns {
  std::string image, label;
  std::vector<CaptionField> captions;
};

Columns choose_columns(const SourceConfig& config, const std::set<std::string>& known) {
  Columns columns{
      .image = config.image_column, .label = config.label_column, .captions = configured_captions(config)};
  for (const char* name : kImageColumns)
    if (columns.image.empty() && known.count(name) > 0) columns.image = name;
  if (columns.image.empty())
    throw UserError(fmt::format("{}: no column is called {}. Set image_column to one of: {}.",
                                subject_of(config), join({kImageColumns.begin(), kImageColumns.end()}, ", "),
                                name_some({known.begin(), known.end()})));
  for (const char* name : kCaptionColumns)
    if (config.captions.empty() && columns.captions.empty() && known.count(name) > 0)
      columns.captions = {{"caption", name}};
  return columns;
}

// Every requested column must occur in some row.
void check_columns(const SourceConfig& config, const Columns& columns, const std::set<std::string>& known) {
  Problems problems;
  const std::vector<std::string> names(known.begin(), known.end());
  const auto check = [&](const std::string& key, const std::string& column) {
    if (column.empty() || known.count(column) > 0) return;
    problems.add(fmt::format("{}: there is no column '{}'; the columns are {}.{}", key, column,
                             name_some(names), did_you_mean(column, names)));
  };
  check("image_column", columns.image);
  check("label_column", columns.label);
  for (const auto& caption : columns.captions) check("captions: " + caption.kind, caption.field);
  problems.throw_if_any(subject_of(config));
}

// The value of the label column: the digits of a number, or a name.
std::optional<ReadFault> label_in(const nlohmann::json& row, const std::string& column, std::string& label) {
  const auto found = row.find(column);
  if (found == row.end() || found->is_null() || *found == "")
    return ReadFault{Reason::kMissingField, fmt::format("'{}', the label, is missing", column)};
  if (!found->is_string() && !found->is_number_integer())
    return ReadFault{Reason::kBadLabel, fmt::format("'{}': expected a name or a whole number, got {}", column,
                                                    found->type_name())};
  label = found->is_string() ? found->get<std::string>() : std::to_string(found->get<int64_t>());
  return std::nullopt;
}

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Labels are numbers if most of them are; otherwise names, numbered in sorted order. `texts` is empty for
// rows without a label.
void set_labels(Listing& listing, const std::vector<std::string>& texts,
                const std::vector<uint64_t>& offsets) {
  int64_t num_numbers = 0, num_labels = 0, largest = -1;
  std::set<std::string> names;
  for (const auto& text : texts) {
    num_labels += text.empty() ? 0 : 1;
    num_numbers += whole_number(text) ? 1 : 0;
    if (!text.empty()) names.insert(text);
  }
  const bool are_numbers = 2 * num_numbers > num_labels;
  if (!are_numbers) listing.class_names.assign(names.begin(), names.end());
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].empty()) continue;
    auto& row = listing.records[i].row;
    if (!are_numbers) {
      row.label =
          std::distance(listing.class_names.begin(),
                        std::lower_bound(listing.class_names.begin(), listing.class_names.end(), texts[i]));
      continue;
    }
    const auto number = whole_number(texts[i]);
    if (number && *number >= 0 && *number < kMostClasses) {
      row.label = *number;
      largest = std::max(largest, *number);
      continue;
    }
    listing.rejected.push_back(
        {.row = int64_t(i),
         .key = row.key,
         .offset = offsets[i],
         .reason = Reason::kBadLabel,
         .detail = fmt::format("label {} is not a number from 0 to {}, as most labels are", texts[i],
                               kMostClasses - 1)});
  }
  for (int64_t i = 0; are_numbers && i <= largest; ++i) listing.class_names.push_back(std::to_string(i));
}

struct TableListing {
  Listing listing{.type = "table"};
  std::vector<uint64_t> offsets = {};    // of the rows
  std::vector<std::string> labels = {};  // as written in the table
  std::set<std::string> known = {};      // names of columns

  void add(TableRow& row, const fs::path& table, const fs::path& images, const Columns& columns) {
    auto& record = listing.records.emplace_back();
    offsets.push_back(row.offset);
    labels.emplace_back();
    for (const auto& [name, value] : row.fields.items())
      if (known.count(name) == 0) known.insert(name);
    record.row.key = fmt::format("{} line {}", table.filename().string(), row.line);
    std::optional<ReadFault> fault;
    if (!row.fault.empty()) fault = {Reason::kBadRow, row.fault};
    if (!fault) fault = path_in(row.fields, columns.image, images, record.row.key);
    if (!fault) record.file = images / record.row.key;
    if (!fault) fault = add_captions(row.fields, columns.captions, record.row.captions);
    if (!fault && !columns.label.empty()) fault = label_in(row.fields, columns.label, labels.back());
    if (fault) listing.reject(fault->reason, fault->detail, row.offset);
  }
};

void first_samples(Listing& listing, int64_t most) {
  if (most == 0 || int64_t(listing.records.size()) <= most) return;
  listing.records.resize(size_t(most));
  std::erase_if(listing.rejected, [&](const auto& rejection) { return rejection.row >= most; });
}

}  // namespace

std::unique_ptr<Dataset> open_table(const SourceConfig& config) {
  const auto tables = find_tables(config);
  TableListing rows{.known = first_columns(tables)};
  const Columns columns = choose_columns(config, rows.known);
  // The classes are those of all rows, even if few rows are used.
  const auto is_enough = [&] {
    return columns.label.empty() && config.max_samples > 0 &&
           int64_t(rows.listing.records.size()) >= config.max_samples;
  };
  for (const auto& table : tables) {
    const fs::path images = config.images.empty() ? table.parent_path() : config.images;
    read_rows(table, [&](TableRow& row) {
      rows.add(row, table, images, columns);
      return !is_enough();
    });
    if (is_enough()) break;
  }
  check_columns(config, columns, rows.known);
  if (!columns.label.empty()) set_labels(rows.listing, rows.labels, rows.offsets);
  first_samples(rows.listing, config.max_samples);
  find_files(rows.listing, rows.offsets, [](const Record&) { return false; });
  return make_dataset(config, std::move(rows.listing));
}

}  // namespace pixart::data

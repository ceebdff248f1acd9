// A source of images that rows of .jsonl, .csv or .tsv files name, with captions and labels in columns. A
// sample's key is the path of its image relative to `images`; see name_by_folder(). Files are sorted by path;
// rows keep their order. Rows of one image are one sample, at the place of the first of them.
#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "pixart/base/log.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/words.h"
#include "pixart/data/table_rows.h"
#include "row_fields.h"
#include "sources.h"
#include "table_files.h"
#include "table_listing.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kMostTableClasses = 1'000'000;

// The first rows of all files. Throws one UserError that names each file that is not a table.
TableStart start_of_all(const SourceConfig& config, const std::vector<fs::path>& tables) {
  TableStart all;
  Problems problems;
  for (const auto& table : tables) {
    try {
      TableStart one = start_of(table);
      all.columns.merge(one.columns);
      all.rows += one.rows;
      all.bad += one.bad;
      if (all.first_fault.empty()) all.first_fault = one.first_fault;
      if (!one.remedy.empty()) problems.add(one.remedy);
    } catch (const MachineFault&) {
      throw;
    } catch (const UserError& error) {
      problems.add(error.what());
    }
  }
  problems.throw_if_any(subject_of(config));
  return all;
}

std::string no_image_column(const TableStart& start) {
  if (start.rows == 0) return "it has no rows.";
  std::string what;
  if (start.bad > 0)
    what = fmt::format("{} of {} rows cannot be read; the first is {}. ", start.bad, start.rows,
                       start.first_fault);
  if (start.columns.empty()) return what + "No row names an image.";
  return what + fmt::format("no column is called {}. Set image_column to one of: {}.",
                            join({kImageColumns.begin(), kImageColumns.end()}, ", "),
                            name_some({start.columns.begin(), start.columns.end()}));
}

TableColumns choose_columns(const SourceConfig& config, const TableStart& start) {
  TableColumns columns{
      .image = config.image_column, .label = config.label_column, .captions = configured_captions(config)};
  if (columns.image.empty()) columns.image = first_of(kImageColumns, start.columns);
  if (columns.image.empty())
    throw UserError(fmt::format("{}: {}", subject_of(config), no_image_column(start)));
  const std::string caption = first_of(kCaptionColumns, start.columns);
  if (config.captions.empty() && !caption.empty()) columns.captions = {{"caption", caption}};
  return columns;
}

// Every requested column must occur in some row.
void check_columns(const SourceConfig& config, const TableColumns& columns,
                   const std::set<std::string>& known) {
  Problems problems;
  const std::vector<std::string> names(known.begin(), known.end());
  const auto check = [&](const std::string& key, const std::string& column) {
    if (column.empty() || known.empty() || known.count(column) > 0) return;
    problems.add(no_such_column(key, column, names, names));
  };
  check("image_column", columns.image);
  check("label_column", columns.label);
  for (const auto& caption : columns.captions) check("captions: " + caption.kind, caption.field);
  problems.throw_if_any(subject_of(config));
}

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Labels are numbers if most of them are; otherwise names, numbered in sorted order. `numbers`: of the text of each
// row; kNone for rows without a label.
void set_labels(Listing& listing, const std::vector<std::string>& texts,
                const SpilledVector<uint32_t>& numbers, const SpilledVector<uint64_t>& offsets) {
  int64_t num_numbers = 0, num_labels = 0, largest = -1;
  std::vector<std::optional<int64_t>> values;
  for (const auto& text : texts) values.push_back(whole_number(text));
  for (const uint32_t number : numbers) {
    num_labels += number == LabelTexts::kNone ? 0 : 1;
    num_numbers += values[number] ? 1 : 0;
  }
  const bool are_numbers = 2 * num_numbers > num_labels;
  auto& names = listing.class_names;
  if (!are_numbers) {
    names.assign(texts.begin() + 1, texts.end());
    std::sort(names.begin(), names.end());
    for (size_t i = 1; i < texts.size(); ++i)
      values[i] = std::lower_bound(names.begin(), names.end(), texts[i]) - names.begin();
  }
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] == LabelTexts::kNone) continue;
    const auto value = values[numbers[i]];
    if (!are_numbers || (value && *value >= 0 && *value < kMostTableClasses)) {
      listing.row(int64_t(i)).label = int32_t(*value);
      largest = std::max(largest, *value);
      continue;
    }
    listing.rejected.push_back(
        {.row = int64_t(i),
         .key = std::string(listing.key(int64_t(i))),
         .offset = offsets[i],
         .reason = Reason::kBadLabel,
         .detail = fmt::format("label {} is not a number from 0 to {}, as most labels are",
                               shortened(texts[numbers[i]]), kMostTableClasses - 1)});
  }
  for (int64_t i = 0; are_numbers && i <= largest; ++i) names.push_back(std::to_string(i));
}

void first_samples(TableListing& rows, int64_t most) {
  if (most == 0) return;
  SampleCount count(most);
  std::vector<bool> is_kept;
  for (int64_t row = 0; row < rows.listing.size(); ++row) is_kept.push_back(count.takes(rows, row));
  rows.keep(is_kept);
}

// Whether a path of two tables in different folders names two images.
bool same_path_of_two(const TableListing& rows) {
  std::vector<bool> lacks_path = rows.has_path;
  lacks_path.flip();
  const auto sorted = rows.listing.by_key(lacks_path);
  for (size_t i = 1; i < sorted.size(); ++i) {
    const int64_t row = sorted[i].row, before = sorted[i - 1].row;
    if (rows.listing.key(row) == rows.listing.key(before) &&
        rows.listing.row(row).file != rows.listing.row(before).file)
      return true;
  }
  return false;
}

// The folder that holds all of them.
fs::path folder_of_all(const std::vector<fs::path>& folders) {
  fs::path common = folders.front();
  for (const auto& folder : folders) {
    const auto end = std::mismatch(common.begin(), common.end(), folder.begin(), folder.end()).first;
    fs::path shared;
    for (auto part = common.begin(); part != end; ++part) shared /= *part;
    common = shared;
  }
  return common;
}

fs::path as_folder(const fs::path& path) { return (path / "").lexically_normal(); }

// Keys begin with the table's folder where the tables of a source are in its sub-folders, or where two tables
// name different images by one path.
void name_by_folder(const SourceConfig& config, TableListing& rows) {
  std::error_code error;
  const bool is_folder = fs::is_directory(config.path, error);
  if (!config.images.empty() || (!is_folder && !same_path_of_two(rows))) return;
  std::vector<fs::path> folders;
  for (const uint32_t file : rows.images) folders.push_back(as_folder(rows.listing.pattern(file).path));
  const fs::path base = as_folder(is_folder ? config.path : folder_of_all(folders));
  std::map<uint32_t, std::string> prefixes;  // by pattern
  for (size_t i = 0; i < folders.size(); ++i) {
    const std::string prefix = folders[i] == base ? "" : folders[i].lexically_relative(base).generic_string();
    prefixes[rows.images[i]] = prefix;
    rows.listing.pattern(rows.images[i]).skip = prefix.size();
  }
  rows.listing.prefix_keys([&](const IndexedRow& row) { return prefixes[row.file]; });
}

// A table that the config names may be a link; one in its folder may not lead out of it.
std::vector<fs::path> roots_of(const SourceConfig& config, const std::vector<fs::path>& tables) {
  std::vector<fs::path> roots = {config.path};
  std::error_code error;
  if (!fs::is_directory(config.path, error))
    for (const auto& table : tables) roots.insert(roots.end(), {table, table.parent_path()});
  if (!config.images.empty()) roots.push_back(config.images);
  return roots;
}

}  // namespace

Listing list_table(const SourceConfig& config, ListingWatch& watch) {
  watch.reads(config.path);
  const auto tables = find_tables(config);
  Links links(config, roots_of(config, tables));
  for (const auto& table : tables) {
    links.admit(table);
    watch.reads(table);
    watch.reads(table.parent_path());
  }
  links.throw_if_any();
  const TableStart start = start_of_all(config, tables);
  const TableColumns columns = choose_columns(config, start);
  TableListing rows{.known = start.columns};
  rows.listing.type = "table";
  read_tables(config, tables, columns, watch, rows);
  check_columns(config, columns, rows.known);
  rows.listing.hint = hint_of_columns(config, columns.captions, {rows.known.begin(), rows.known.end()});
  if (!columns.label.empty()) set_labels(rows.listing, rows.texts.texts(), rows.labels, rows.offsets);
  first_samples(rows, config.max_samples);
  find_files(config, rows.listing, rows.offsets, links, watch);
  links.throw_if_any();
  rows.offsets = {}, rows.labels = {};
  name_by_folder(config, rows);
  if (const int64_t merged = rows.listing.merge_rows(); merged > 0)
    log::info("{}: {} rows name an image of an earlier row; their captions are drawn like that row's",
              subject_of(config), merged);
  return std::move(rows.listing);
}

}  // namespace pixart::data

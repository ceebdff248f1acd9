// A source of images that rows of .jsonl, .csv or .tsv files name, with captions and labels in columns. A
// sample's key is the path of its image relative to `images`; see name_by_folder(). Files are sorted by path;
// rows keep their order. Rows of one image are one sample, at the place of the first of them.
#include <algorithm>
#include <charconv>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/data/table_rows.h"
#include "row_fields.h"
#include "sources.h"
#include "table_files.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kMostClasses = 1'000'000;

// The first rows of all files.
TableStart start_of_all(const std::vector<fs::path>& tables) {
  TableStart all;
  for (const auto& table : tables) {
    TableStart one = start_of(table);
    all.columns.merge(one.columns);
    all.rows += one.rows;
    all.bad += one.bad;
    if (all.first_fault.empty()) all.first_fault = one.first_fault;
  }
  return all;
}

struct Columns {
  std::string image, label;
  std::vector<CaptionField> captions;
};

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

Columns choose_columns(const SourceConfig& config, const TableStart& start) {
  Columns columns{
      .image = config.image_column, .label = config.label_column, .captions = configured_captions(config)};
  if (columns.image.empty()) columns.image = first_of(kImageColumns, start.columns);
  if (columns.image.empty())
    throw UserError(fmt::format("{}: {}", subject_of(config), no_image_column(start)));
  const std::string caption = first_of(kCaptionColumns, start.columns);
  if (config.captions.empty() && !caption.empty()) columns.captions = {{"caption", caption}};
  return columns;
}

// Every requested column must occur in some row.
void check_columns(const SourceConfig& config, const Columns& columns, const std::set<std::string>& known) {
  Problems problems;
  const std::vector<std::string> names(known.begin(), known.end());
  const auto check = [&](const std::string& key, const std::string& column) {
    if (column.empty() || known.empty() || known.count(column) > 0) return;
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

// Rows as they are in the tables: record i of the listing is row i of the lists.
struct TableListing {
  Listing listing{.type = "table"};
  std::vector<uint64_t> offsets = {};    // of the rows
  std::vector<std::string> labels = {};  // as written in the table
  std::vector<size_t> roots = {};        // the folder, of `folders`, that the row's path is relative to
  std::vector<fs::path> folders = {};
  std::set<std::string> known = {};  // names of columns

  void add(TableRow& row, const fs::path& table, const Columns& columns) {
    auto& record = listing.records.emplace_back();
    const fs::path& images = folders.back();
    offsets.push_back(row.offset);
    labels.emplace_back();
    roots.push_back(folders.size() - 1);
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
  void remove_last() {
    listing.records.pop_back();
    if (!listing.rejected.empty() && listing.rejected.back().row == int64_t(listing.records.size()))
      listing.rejected.pop_back();
    offsets.pop_back(), labels.pop_back(), roots.pop_back();
  }
};

// Counts samples: rows of one image are one.
class SampleCount {
 public:
  explicit SampleCount(int64_t most) : most_(most) {}
  // Whether the record is of the first `most` samples.
  bool takes(const Record& record) {
    if (most_ == 0) return true;
    if (record.file.empty()) return num_bad_ + int64_t(files_.size()) < most_ && ++num_bad_ > 0;
    if (num_bad_ + int64_t(files_.size()) < most_) files_.insert(record.file.string());
    return files_.count(record.file.string()) > 0;
  }

 private:
  int64_t most_, num_bad_ = 0;
  std::unordered_set<std::string> files_;
};

// Keeps the rows for which `is_kept` is true.
void keep_rows(TableListing& rows, const std::vector<bool>& is_kept) {
  auto& records = rows.listing.records;
  std::vector<int64_t> place(records.size());
  size_t count = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    place[i] = int64_t(count);
    if (!is_kept[i]) continue;
    if (count != i) {
      records[count] = std::move(records[i]);
      rows.offsets[count] = rows.offsets[i];
      rows.roots[count] = rows.roots[i];
    }
    ++count;
  }
  records.resize(count);
  std::erase_if(rows.listing.rejected, [&](const auto& one) { return !is_kept[size_t(one.row)]; });
  for (auto& rejection : rows.listing.rejected) rejection.row = place[size_t(rejection.row)];
}

void first_samples(TableListing& rows, int64_t most) {
  if (most == 0) return;
  SampleCount count(most);
  std::vector<bool> is_kept;
  for (const auto& record : rows.listing.records) is_kept.push_back(count.takes(record));
  keep_rows(rows, is_kept);
}

// Whether a path of two tables in different folders names two images.
bool same_path_of_two(const TableListing& rows) {
  std::unordered_map<std::string_view, size_t> root_of;
  for (size_t i = 0; i < rows.roots.size(); ++i) {
    const auto& record = rows.listing.records[i];
    if (record.file.empty()) continue;
    if (root_of.try_emplace(record.row.key, rows.roots[i]).first->second != rows.roots[i]) return true;
  }
  return false;
}

// The folder that holds all of them.
fs::path common_folder(const std::vector<fs::path>& folders) {
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
  for (const auto& folder : rows.folders) folders.push_back(as_folder(folder));
  const fs::path base = as_folder(is_folder ? config.path : common_folder(folders));
  std::vector<std::string> prefixes;
  for (const auto& folder : folders)
    prefixes.push_back(folder == base ? "" : folder.lexically_relative(base).generic_string());
  for (size_t i = 0; i < rows.roots.size(); ++i)
    rows.listing.records[i].row.key.insert(0, prefixes[rows.roots[i]]);
  for (auto& rejection : rows.listing.rejected)
    rejection.key = rows.listing.records[size_t(rejection.row)].row.key;
}

// Appends the captions of `from` that `to` does not have.
void add_new_captions(std::vector<Caption>& to, std::vector<Caption>& from) {
  for (auto& caption : from) {
    const auto same = [&](const Caption& other) {
      return other.name == caption.name && other.text == caption.text;
    };
    if (std::none_of(to.begin(), to.end(), same)) to.push_back(std::move(caption));
  }
}

// Rows with captions that name one image, with one label, become one sample, as in COCO, which has five
// captions for each image.
void merge_rows(const SourceConfig& config, TableListing& rows) {
  auto& records = rows.listing.records;
  std::vector<bool> is_kept(records.size(), true), is_rejected(records.size());
  for (const auto& rejection : rows.listing.rejected) is_rejected[size_t(rejection.row)] = true;
  std::unordered_map<std::string_view, size_t> first;
  int64_t num_merged = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    if (is_rejected[i]) continue;
    const size_t other = first.try_emplace(records[i].row.key, i).first->second;
    if (other == i || records[i].row.captions.empty() || records[i].row.label != records[other].row.label)
      continue;
    add_new_captions(records[other].row.captions, records[i].row.captions);
    is_kept[i] = false;
    ++num_merged;
  }
  if (num_merged == 0) return;
  log::info("{}: {} rows name an image of an earlier row; their captions are drawn like that row's",
            subject_of(config), num_merged);
  keep_rows(rows, is_kept);
}

void read_table(const SourceConfig& config, const fs::path& table, const Columns& columns, SampleCount& count,
                TableListing& rows) {
  rows.folders.push_back(config.images.empty() ? table.parent_path() : config.images);
  const bool needs_all = !columns.label.empty();  // the classes are those of all rows
  read_rows(table, [&](TableRow& row) {
    rows.add(row, table, columns);
    if (!needs_all && !count.takes(rows.listing.records.back())) rows.remove_last();
    return true;
  });
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

std::unique_ptr<Dataset> open_table(const SourceConfig& config) {
  const auto tables = find_tables(config);
  Links links(config, roots_of(config, tables));
  for (const auto& table : tables) links.admit(table);
  links.throw_if_any();
  const TableStart start = start_of_all(tables);
  const Columns columns = choose_columns(config, start);
  TableListing rows{.known = start.columns};
  SampleCount count(config.max_samples);
  for (const auto& table : tables) read_table(config, table, columns, count, rows);
  check_columns(config, columns, rows.known);
  if (!columns.label.empty()) set_labels(rows.listing, rows.labels, rows.offsets);
  first_samples(rows, config.max_samples);
  find_files(rows.listing, rows.offsets, links, [](const Record&) { return false; });
  links.throw_if_any();
  name_by_folder(config, rows);
  merge_rows(config, rows);
  return make_dataset(config, std::move(rows.listing));
}

}  // namespace pixart::data

// A source of images that rows of .jsonl, .csv or .tsv files name, with captions and labels in columns. A
// sample's key is the path of its image relative to `images`; see name_by_folder(). Files are sorted by path;
// rows keep their order. Rows of one image are one sample, at the place of the first of them.
#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/data/table_rows.h"
#include "row_fields.h"
#include "slow_progress.h"
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
    problems.add(no_such_column(key, column, names, names));
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

// The labels of rows, each text once.
class LabelTexts {
 public:
  static constexpr uint32_t kNone = 0;
  uint32_t number(const std::string& text) {
    return text.empty() ? kNone : numbers_.try_emplace(text, uint32_t(numbers_.size()) + 1).first->second;
  }
  // By number; the first is empty.
  std::vector<std::string> texts() const {
    std::vector<std::string> all(numbers_.size() + 1);
    for (const auto& [text, number] : numbers_) all[number] = text;
    return all;
  }

 private:
  std::unordered_map<std::string, uint32_t> numbers_;
};

// Labels are numbers if most of them are; otherwise names, numbered in sorted order. `numbers`: of the text of each
// row; kNone for rows without a label.
void set_labels(Listing& listing, const std::vector<std::string>& texts, const std::vector<uint32_t>& numbers,
                const std::vector<uint64_t>& offsets) {
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
    if (!are_numbers || (value && *value >= 0 && *value < kMostClasses)) {
      listing.row(int64_t(i)).label = int32_t(*value);
      largest = std::max(largest, *value);
      continue;
    }
    listing.rejected.push_back(
        {.row = int64_t(i),
         .key = std::string(listing.key(int64_t(i))),
         .offset = offsets[i],
         .reason = Reason::kBadLabel,
         .detail = fmt::format("label {} is not a number from 0 to {}, as most labels are", texts[numbers[i]],
                               kMostClasses - 1)});
  }
  for (int64_t i = 0; are_numbers && i <= largest; ++i) names.push_back(std::to_string(i));
}

// Rows as they are in the tables: record i of the listing is row i of the lists.
struct TableListing {
  Listing listing = {};
  std::vector<uint64_t> offsets = {};  // of the rows
  std::vector<uint32_t> labels = {};   // as written in the table
  std::vector<bool> has_path = {};     // the row names an image below its folder
  LabelTexts texts = {};
  std::vector<uint32_t> images = {};  // of each table, the pattern of the images that it names
  std::set<std::string> known = {};   // names of columns

  // `file`: the pattern of the table, which is the last one.
  void add(TableRow& row, const fs::path& table, const Columns& columns, uint32_t file) {
    Record record{.key = fmt::format("{} line {}", table.filename().string(), row.line),
                  .file = images.back()};
    for (const auto& [name, value] : row.fields.items())
      if (known.count(name) == 0) known.insert(name);
    std::optional<ReadFault> fault;
    std::string label;
    if (!row.fault.empty()) fault = {Reason::kBadRow, row.fault};
    if (!fault) fault = path_in(row.fields, columns.image, listing.pattern(images.back()).path, record.key);
    has_path.push_back(!fault);
    if (!fault) fault = add_captions(row, columns.captions, file, record.captions);
    if (!fault && !columns.label.empty()) fault = label_in(row.fields, columns.label, label);
    offsets.push_back(row.offset);
    labels.push_back(texts.number(label));
    listing.add(std::move(record));
    if (fault) listing.reject(fault->reason, fault->detail, row.offset);
  }
  void remove_last() {
    listing.remove_last();
    offsets.pop_back(), labels.pop_back(), has_path.pop_back();
  }
  void keep(const std::vector<bool>& is_kept) {
    size_t count = 0;
    for (size_t i = 0; i < is_kept.size(); ++i) {
      if (!is_kept[i]) continue;
      offsets[count] = offsets[i], labels[count] = labels[i], has_path[count] = has_path[i];
      ++count;
    }
    offsets.resize(count), labels.resize(count), has_path.resize(count);
    listing.keep(is_kept);
  }
};

// Counts samples: rows of one image are one.
class SampleCount {
 public:
  explicit SampleCount(int64_t most) : most_(most) {}
  // Whether row `row` is of the first `most` samples.
  bool takes(const TableListing& rows, int64_t row) {
    if (most_ == 0) return true;
    const bool has_place = num_bad_ + int64_t(files_.size()) < most_;
    if (!rows.has_path[size_t(row)]) return has_place && ++num_bad_ > 0;
    const auto file = rows.listing.image_file(row).string();
    if (has_place) files_.insert(file);
    return files_.count(file) > 0;
  }

 private:
  int64_t most_, num_bad_ = 0;
  std::unordered_set<std::string> files_;
};

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
  for (const uint32_t file : rows.images) folders.push_back(as_folder(rows.listing.pattern(file).path));
  const fs::path base = as_folder(is_folder ? config.path : common_folder(folders));
  std::map<uint32_t, std::string> prefixes;  // by pattern
  for (size_t i = 0; i < folders.size(); ++i) {
    const std::string prefix = folders[i] == base ? "" : folders[i].lexically_relative(base).generic_string();
    prefixes[rows.images[i]] = prefix;
    rows.listing.pattern(rows.images[i]).skip = prefix.size();
  }
  rows.listing.prefix_keys([&](const IndexedRow& row) { return prefixes[row.file]; });
}

// Rows with captions that name one image, with one label, become one sample, as in COCO, which has five
// captions for each image.
void merge_rows(const SourceConfig& config, Listing& listing) {
  std::vector<std::pair<int64_t, int64_t>> merged;  // a row, and the one that gets its captions
  const auto sorted = listing.by_key(listing.rejected_rows());
  for (size_t first = 0, i = 1; i < sorted.size(); ++i) {
    const int64_t row = sorted[i].row, other = sorted[first].row;
    if (listing.key(row) != listing.key(other))
      first = i;
    else if (listing.has_texts(row) && listing.row(row).label == listing.row(other).label)
      merged.emplace_back(row, other);
  }
  if (merged.empty()) return;
  std::vector<bool> is_kept(size_t(listing.size()), true);
  std::vector<int64_t> owner(size_t(listing.size()));
  std::iota(owner.begin(), owner.end(), 0);
  for (const auto& [row, other] : merged) owner[size_t(row)] = other, is_kept[size_t(row)] = false;
  log::info("{}: {} rows name an image of an earlier row; their captions are drawn like that row's",
            subject_of(config), merged.size());
  listing.move_captions(owner);
  listing.keep(is_kept);
}

constexpr uint64_t kMegabyte = 1'000'000;

int64_t megabytes_of(const std::vector<fs::path>& tables) {
  uint64_t bytes = 0;
  std::error_code error;
  for (const auto& table : tables)
    if (const uint64_t size = fs::file_size(table, error); !error) bytes += size;
  return int64_t(bytes / kMegabyte);
}

void read_table(const SourceConfig& config, const fs::path& table, const Columns& columns, SampleCount& count,
                ListingWatch& watch, SlowProgress& progress, TableListing& rows) {
  const auto folder = config.images.empty() ? table.parent_path() : config.images;
  rows.images.push_back(rows.listing.new_file({.path = folder, .form = FilePattern::kByKey}));
  const uint32_t file = rows.listing.file({.path = table});
  const bool needs_all = !columns.label.empty();  // the classes are those of all rows
  uint64_t end = 0;
  read_rows(table, [&](TableRow& row) {
    progress.advance(int64_t(row.offset / kMegabyte - end / kMegabyte));
    end = row.offset;
    rows.add(row, table, columns, file);
    if (!needs_all && !count.takes(rows, rows.listing.size() - 1)) rows.remove_last();
    watch.found();
    return true;
  });
}

void read_tables(const SourceConfig& config, const std::vector<fs::path>& tables, const Columns& columns,
                 ListingWatch& watch, TableListing& rows) {
  SampleCount count(config.max_samples);
  SlowProgress progress("read the rows of " + config.name, megabytes_of(tables), "megabyte");
  for (const auto& table : tables) read_table(config, table, columns, count, watch, progress, rows);
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
  const TableStart start = start_of_all(tables);
  const Columns columns = choose_columns(config, start);
  TableListing rows{.known = start.columns};
  rows.listing.type = "table";
  read_tables(config, tables, columns, watch, rows);
  check_columns(config, columns, rows.known);
  if (!columns.label.empty()) set_labels(rows.listing, rows.texts.texts(), rows.labels, rows.offsets);
  first_samples(rows, config.max_samples);
  find_files(config, rows.listing, rows.offsets, links, watch);
  links.throw_if_any();
  rows.offsets = {}, rows.labels = {};
  name_by_folder(config, rows);
  merge_rows(config, rows.listing);
  return std::move(rows.listing);
}

}  // namespace pixart::data

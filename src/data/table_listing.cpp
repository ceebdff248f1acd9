#include "table_listing.h"

#include <algorithm>

#include "slow_progress.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

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

std::string name_of_line(const fs::path& table, int64_t line) {
  return fmt::format("{} line {}", table.filename().string(), line);
}

}  // namespace

void TableListing::add(TableRow& row, const fs::path& table, const TableColumns& columns, uint32_t file) {
  Record record{.key = name_of_line(table, row.line), .file = images.back()};
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

void TableListing::remove_last() {
  listing.remove_last();
  offsets.resize(offsets.size() - 1), labels.resize(labels.size() - 1), has_path.pop_back();
}

void TableListing::keep(const std::vector<bool>& is_kept) {
  size_t count = 0;
  for (size_t i = 0; i < is_kept.size(); ++i) {
    if (!is_kept[i]) continue;
    offsets[count] = offsets[i], labels[count] = labels[i], has_path[count] = has_path[i];
    ++count;
  }
  offsets.resize(count), labels.resize(count), has_path.resize(count);
  listing.keep(is_kept);
}

bool SampleCount::takes(const TableListing& rows, int64_t row) {
  if (most_ == 0) return true;
  const bool has_place = num_bad_ + int64_t(files_.size()) < most_;
  if (!rows.has_path[size_t(row)]) return has_place && ++num_bad_ > 0;
  const auto file = rows.listing.image_file(row).string();
  if (has_place) files_.insert(file);
  return files_.count(file) > 0;
}

namespace {

constexpr uint64_t kMegabyte = 1'000'000;
constexpr uint64_t kPartBytes = uint64_t{4} << 20, kLargestPart = 16 * kPartBytes;

uint64_t bytes_of(const fs::path& table) {
  std::error_code error;
  const auto bytes = fs::file_size(table, error);
  return error ? 0 : uint64_t(bytes);
}

fs::path images_of(const SourceConfig& config, const fs::path& table) {
  return config.images.empty() ? table.parent_path() : config.images;
}

// --- in order

void read_table(const fs::path& table, const TableColumns& columns, SampleCount& count, ListingWatch& watch,
                SlowProgress& progress, TableListing& rows) {
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

void read_in_order(const SourceConfig& config, const std::vector<fs::path>& tables,
                   const TableColumns& columns, ListingWatch& watch, TableListing& rows) {
  uint64_t bytes = 0;
  for (const auto& table : tables) bytes += bytes_of(table);
  SampleCount count(config.max_samples);
  SlowProgress progress("read the rows of " + config.name, int64_t(bytes / kMegabyte), "megabyte");
  for (const auto& table : tables) {
    rows.images.push_back(
        rows.listing.new_file({.path = images_of(config, table), .form = FilePattern::kByKey}));
    read_table(table, columns, count, watch, progress, rows);
  }
}

// --- in parts

// A range of lines of a table, or the whole table.
struct TablePart {
  size_t table = 0;
  uint64_t begin = 0, end = UINT64_MAX;
};

// Nothing if the rows must be read in order.
std::vector<TablePart> parts_of(const SourceConfig& config, const std::vector<fs::path>& tables) {
  std::vector<TablePart> parts;
  for (size_t i = 0; i < tables.size(); ++i) {
    const uint64_t bytes = bytes_of(tables[i]);
    const bool has_lines = has_json_lines(tables[i]);
    if (config.max_samples > 0 || (!has_lines && bytes > kLargestPart)) return {};
    uint64_t begin = 0;
    for (; has_lines && begin + kPartBytes < bytes; begin += kPartBytes)
      parts.push_back({i, begin, begin + kPartBytes});
    parts.push_back({i, begin, UINT64_MAX});
  }
  return parts;
}

// The result of a part.
class PartRows {
 public:
  PartRows(const SourceConfig& config, const fs::path& table) : table_(table) {
    rows_.images = {rows_.listing.new_file({.path = images_of(config, table), .form = FilePattern::kByKey})};
    file_ = rows_.listing.file({.path = table});
  }

  std::string read(const TablePart& part, const TableColumns& columns, ListingWatch& watch) {
    const auto add = [&](TableRow& row) {
      rows_.add(row, table_, columns, file_);
      if (!rows_.has_path.back()) nameless_.push_back(uint64_t(row.line));
      watch.found();
    };
    int64_t line_ends = 0;
    if (has_json_lines(table_))
      line_ends = read_lines(table_, part.begin, part.end, add);
    else
      read_rows(table_, [&](TableRow& row) { return add(row), true; });
    return bytes(uint64_t(line_ends));
  }

 private:
  std::string bytes(uint64_t line_ends) const {
    PartWriter writer;
    writer.number(line_ends);
    writer.values(std::span<const uint64_t>(rows_.offsets));
    writer.values(std::span<const uint32_t>(rows_.labels));
    std::string flags;
    for (const bool has : rows_.has_path) flags += char(has);
    writer.text(flags);
    writer.values(std::span<const uint64_t>(nameless_));
    const auto texts = rows_.texts.texts();
    writer.number(texts.size());
    for (const auto& text : texts) writer.text(text);
    writer.number(rows_.known.size());
    for (const auto& name : rows_.known) writer.text(name);
    rows_.listing.write(writer);
    return writer.take();
  }

  const fs::path& table_;
  uint32_t file_ = 0;
  TableListing rows_;
  std::vector<uint64_t> nameless_;  // lines of rows that name no image
};

// Takes parts in their order.
class PartTaker {
 public:
  PartTaker(const SourceConfig& config, const std::vector<fs::path>& tables, TableListing& rows)
      : config_(config), tables_(tables), rows_(rows) {}

  void take(const TablePart& part, PartReader reader) {
    if (rows_.images.size() == part.table) begin_table();
    const uint64_t line_ends = reader.number();
    reader.values<uint64_t>(rows_.offsets);
    std::vector<uint32_t> labels;
    reader.values<uint32_t>(labels);
    const auto has_path = reader.text();
    std::vector<uint64_t> nameless;
    reader.values<uint64_t>(nameless);
    std::vector<uint32_t> numbers;
    for (size_t count = reader.count(sizeof(uint64_t)); count > 0; --count)
      numbers.push_back(rows_.texts.number(std::string(reader.text())));
    for (size_t count = reader.count(sizeof(uint64_t)); count > 0; --count)
      rows_.known.emplace(reader.text());
    for (const uint32_t label : labels) rows_.labels.push_back(numbers[label]);
    const int64_t first = rows_.listing.size();
    const size_t first_rejected = rows_.listing.rejected.size();
    rows_.listing.append(Listing::read(reader), {0, rows_.images.back(), file_});
    for (const char has : has_path) rows_.has_path.push_back(has != 0);
    name_lines(first, first_rejected, nameless);
    line_ += int64_t(line_ends);
  }

 private:
  void begin_table() {
    const fs::path& table = tables_[rows_.images.size()];
    line_ = 0;
    rows_.images.push_back(
        rows_.listing.new_file({.path = images_of(config_, table), .form = FilePattern::kByKey}));
    file_ = rows_.listing.file({.path = table});
  }

  // A part counts its lines from 1.
  void name_lines(int64_t first, size_t first_rejected, const std::vector<uint64_t>& nameless) {
    const fs::path& table = tables_[rows_.images.size() - 1];
    size_t next = 0;
    for (int64_t row = first; line_ > 0 && row < rows_.listing.size(); ++row)
      if (!rows_.has_path[size_t(row)])
        rows_.listing.set_key(row, name_of_line(table, line_ + int64_t(nameless[next++])));
    for (size_t i = first_rejected; line_ > 0 && i < rows_.listing.rejected.size(); ++i)
      rows_.listing.rejected[i].key = rows_.listing.key(rows_.listing.rejected[i].row);
  }

  const SourceConfig& config_;
  const std::vector<fs::path>& tables_;
  TableListing& rows_;
  uint32_t file_ = 0;
  int64_t line_ = 0;  // lines of the table before the part
};

}  // namespace

void read_tables(const SourceConfig& config, const std::vector<fs::path>& tables, const TableColumns& columns,
                 ListingWatch& watch, TableListing& rows) {
  const auto parts = parts_of(config, tables);
  if (parts.empty()) return read_in_order(config, tables, columns, watch, rows);
  PartTaker taker(config, tables, rows);
  run_step(
      {.name = "rows",
       .what = "read the rows of " + config.name,
       .unit = "part",
       .parts = int64_t(parts.size()),
       .make =
           [&](int64_t i, ListingWatch& own) {
             const TablePart& part = parts[size_t(i)];
             own.reads(tables[part.table]);
             return PartRows(config, tables[part.table]).read(part, columns, watch);
           },
       .take = [&](int64_t i, std::string_view result) { taker.take(parts[size_t(i)], PartReader(result)); }},
      watch);
}

}  // namespace pixart::data

#include "caption_table.h"

#include <algorithm>

#include "caption_text.h"
#include "parquet_table.h"
#include "pixart/base/error.h"
#include "row_fields.h"
#include "table_files.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr const char* kTableKey = "key";

std::vector<fs::path> caption_files(const fs::path& path) {
  auto files = find_parquet(path);
  if (files.empty())
    throw UserError(
        fmt::format("captions: found no .parquet file of the name {} or in that folder.", path.string()));
  return files;
}

}  // namespace

bool is_caption_table(const fs::path& path) {
  std::error_code error;
  return is_parquet_name(path) || (fs::is_directory(path, error) && !find_parquet(path).empty());
}

bool may_have_columns(const fs::path& path) {
  std::error_code error;
  return is_parquet_name(path) || !path.has_extension() || fs::is_directory(path, error);
}

CaptionTable::CaptionTable(const fs::path& path, const std::string& column)
    : table_(std::make_unique<ParquetTable>("captions " + path.string(), caption_files(path))),
      column_(column) {
  const auto columns = table_->columns();
  const std::vector<std::string> names(columns.begin(), columns.end());
  if (column_.empty()) column_ = first_of(kCaptionColumns, columns);
  Problems problems;
  if (column_.empty())
    problems.add(fmt::format("no column is called {}. Set column to one of: {}",
                             join({kCaptionColumns.begin(), kCaptionColumns.end()}, ", "), name_some(names)));
  const auto check = [&](const std::string& name, bool may_be_list, bool may_be_number) {
    const auto kind = table_->kind_of(name);
    const bool is_text = kind == ParquetKind::kBytes || (may_be_number && kind == ParquetKind::kInteger);
    if (columns.count(name) == 0)
      problems.add(no_such_column("captions", name, names, names));
    else if (!is_text || (table_->is_list(name) && !may_be_list))
      problems.add(fmt::format("the column '{}' holds {}; expected texts", name, table_->type_of(name)));
  };
  check(kTableKey, false, true);
  if (!column_.empty()) check(column_, true, false);
  problems.throw_if_any("captions " + path.string());
  keys_ = table_->choose(kTableKey);
  captions_ = table_->choose(column_);
  table_->forget_others();
}

CaptionTable::~CaptionTable() = default;

const std::vector<fs::path>& CaptionTable::files() const { return table_->files(); }
int64_t CaptionTable::rows() const { return table_->rows(); }

std::string CaptionTable::key(int64_t row) const {
  auto cell = table_->cell(row, keys_);
  if (!cell.numbers.empty()) return table_->number_text(keys_, cell.numbers.front());
  return cell.texts.empty() ? std::string() : std::move(cell.texts.front());
}

std::vector<std::string> CaptionTable::texts(int64_t row) const {
  std::vector<std::string> all;
  for (const auto& cell : table_->cell(row, captions_).texts) {
    auto texts = texts_in(nlohmann::json(cell));
    if (texts) std::move(texts->begin(), texts->end(), std::back_inserter(all));
  }
  return all;
}

}  // namespace pixart::data

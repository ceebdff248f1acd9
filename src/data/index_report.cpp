#include "pixart/data/index_report.h"

#include "index_file.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

std::string id_of(const fs::path& file) {
  std::string why;
  const auto found = map_index(file, why);
  return found ? found->id : std::string();
}

std::string compared(const SourceConfig& config, const ListedSource& source, const IndexFile& file,
                     const fs::path& path) {
  ListingWatch watch;
  auto found = difference(file.index, make_index(config, source.list(config, watch)));
  if (!found.empty()) IndexNotes{.index = path, .id = file.id}.mark_changed();
  return found;
}

}  // namespace

IndexReport index_source(SourceConfig config, IndexPlace place, bool verify) {
  const double begin = monotonic_seconds();
  place.least_rows = 1;
  config.scores = {};  // an index has all rows
  const auto source = listed_source(config);
  const fs::path path = source ? index_file(config, place) : fs::path();
  const std::string before = id_of(path);
  IndexReport report{.file = path, .rows = open_dataset(config, place)->size()};
  if (!source) return report;
  std::string why;
  const auto file = map_index(path, why);
  if (!file) throw UserError(fmt::format("{}: {}.", path.string(), why), ExitCode::kStorage);
  report.bytes = fs::file_size(path);
  report.row_bytes = double(report.bytes - file->index.keys.size()) / double(report.rows);
  report.is_new = file->id != before;
  if (verify && !report.is_new) report.difference = compared(config, *source, *file, path);
  report.seconds = monotonic_seconds() - begin;
  return report;
}

}  // namespace pixart::data

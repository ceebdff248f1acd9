#include "pixart/features/damaged_features.h"

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"

namespace pixart::features {

DamagedFeatures::DamagedFeatures(StageParts parts, std::vector<data::Ledger> ledgers,
                                 std::vector<std::filesystem::path> quarantine_files)
    : parts_(std::move(parts)),
      ledgers_(std::move(ledgers)),
      quarantine_files_(std::move(quarantine_files)),
      found_(parts_.size()) {
  PIXART_CHECK(ledgers_.size() == parts_.size() && quarantine_files_.size() == parts_.size());
}

bool DamagedFeatures::is_rejected(size_t part, int64_t row) const {
  const auto& rejected = ledgers_[part].rejected;
  const auto found = std::lower_bound(rejected.begin(), rejected.end(), row,
                                      [](const data::Rejection& r, int64_t value) { return r.row < value; });
  return found != rejected.end() && found->row == row;
}

void DamagedFeatures::add(size_t part, int64_t row, const data::DamagedRecord& record) {
  const auto& [source, dataset] = std::pair{parts_[part].source, parts_[part].dataset};
  const std::scoped_lock lock(mutex_);
  const data::Rejection rejection{.row = row,
                                  .key = dataset->row(row).key,
                                  .offset = record.offset(),
                                  .reason = data::Reason::kBadFeature,
                                  .detail = record.what()};
  if (!found_[part].emplace(row, rejection).second) return;
  log::error("source {}: row {} ({}) is left out: {}", source->name, row, rejection.key, rejection.detail);
  std::vector<data::Rejection> all = ledgers_[part].rejected;
  for (const auto& [number, one] : found_[part]) all.push_back(one);
  const auto ledger = data::make_ledger(source->name, *dataset, std::move(all));
  data::write_quarantine(quarantine_files_[part], ledger);
  if (data::is_within_budget(*source, ledger)) return;
  throw UserError(
      fmt::format(
          "source {}: {} samples cannot be used, {} of them because their features are damaged. This is more "
          "than quarantine_budget = {} of {} allows. The last one is row {} ({}): {}",
          source->name, ledger.rejected.size(), found_[part].size(), source->quarantine_budget, ledger.listed,
          row, rejection.key, rejection.detail),
      ExitCode::kStorage);
}

int64_t DamagedFeatures::stand_in(size_t part, int64_t row, int64_t position, uint64_t seed, int64_t attempt,
                                  const std::function<bool(int64_t)>& fits) const {
  const int64_t rows = parts_[part].dataset->size();
  const int64_t start = data::stand_in(seed, position, rows, 0);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t candidate = (start + i) % rows;
    if (candidate == row || is_rejected(part, candidate) || !fits(candidate)) continue;
    if (attempt-- == 0) return candidate;
  }
  throw UserError(
      fmt::format("source {}: the features of row {} and of every other row of its shape are damaged. "
                  "`pixart extract RUN.yaml --mend` makes them again.",
                  parts_[part].source->name, row),
      ExitCode::kStorage);
}

int64_t DamagedFeatures::size() const {
  const std::scoped_lock lock(mutex_);
  int64_t count = 0;
  for (const auto& found : found_) count += int64_t(found.size());
  return count;
}

}  // namespace pixart::features

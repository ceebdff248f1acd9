#include "pixart/features/damaged_features.h"

#include <algorithm>
#include <utility>

#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/print.h"

namespace pixart::features {

DamagedFeatures::DamagedFeatures(StageParts parts, std::vector<data::Ledger> ledgers,
                                 std::vector<std::shared_ptr<data::QuarantineFile>> quarantine_files)
    : parts_(std::move(parts)),
      ledgers_(std::move(ledgers)),
      quarantine_files_(std::move(quarantine_files)),
      found_(parts_.size()) {
  PIXART_CHECK(ledgers_.size() == parts_.size() && quarantine_files_.size() == parts_.size());
  for (const auto& ledger : ledgers_) counts_.push_back(data::count_of(ledger));
}

bool DamagedFeatures::is_rejected(size_t part, int64_t row) const {
  const auto& rejected = ledgers_[part].rejected;
  const auto found = std::lower_bound(rejected.begin(), rejected.end(), row,
                                      [](const data::Rejection& r, int64_t value) { return r.row < value; });
  return found != rejected.end() && found->row == row;
}

// Takes the same time however many rows were added before.
void DamagedFeatures::add(size_t part, int64_t row, const data::DamagedRecord& record) {
  const auto& [source, dataset] = std::pair{parts_[part].source, parts_[part].dataset};
  const std::scoped_lock lock(mutex_);
  const data::Rejection rejection{.row = row,
                                  .key = dataset->row(row).key,
                                  .offset = record.offset(),
                                  .reason = data::Reason::kBadFeature,
                                  .detail = record.what()};
  if (!found_[part].insert(row).second) return;
  log::error("source {}: row {} ({}) is left out: {}", source->name, row, printable(rejection.key),
             rejection.detail);
  auto& count = counts_[part];
  if (!is_rejected(part, row)) {
    count.add(rejection);
    quarantine_files_[part]->append(source->name, rejection);
  }
  if (count.is_within_budget(*source)) return;
  throw UserError(
      fmt::format(
          "source {}: {} samples cannot be used, {} of them because their features are damaged. This is more "
          "than quarantine_budget = {} of {} allows. The last one is row {} ({}): {}",
          source->name, count.rejected, found_[part].size(), source->quarantine_budget, count.listed, row,
          printable(rejection.key), rejection.detail),
      ExitCode::kStorage);
}

void DamagedFeatures::write_waiting() const {
  for (const auto& file : quarantine_files_) file->write_waiting();
}

bool DamagedFeatures::is_known(size_t part, int64_t row) const {
  const std::scoped_lock lock(mutex_);
  return found_[part].count(row) > 0;
}

int64_t DamagedFeatures::stand_in(size_t part, int64_t row, int64_t position, uint64_t seed, int64_t& passed,
                                  const std::function<bool(int64_t)>& fits) const {
  const int64_t rows = parts_[part].dataset->size();
  const int64_t start = data::stand_in(seed, position, rows, 0);
  while (passed < rows) {
    const int64_t candidate = (start + passed++) % rows;
    if (candidate != row && uses_row(parts_[part], candidate) && !is_rejected(part, candidate) &&
        !is_known(part, candidate) && fits(candidate))
      return candidate;
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

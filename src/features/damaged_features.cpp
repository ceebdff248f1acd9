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

void DamagedFeatures::add(size_t part, int64_t row, const data::DamagedRecord& record) {
  const std::scoped_lock lock(mutex_);
  const data::Rejection rejection{.row = row,
                                  .key = parts_[part].dataset->key(row),
                                  .offset = record.offset(),
                                  .reason = data::Reason::kBadFeature,
                                  .detail = record.what()};
  if (is_new(part, rejection))
    check_budget(part, rejection, "because their features are damaged", ExitCode::kStorage);
}

void DamagedFeatures::add(size_t part, const data::Rejection& rejection) {
  const std::scoped_lock lock(mutex_);
  if (is_new(part, rejection))
    check_budget(part, rejection, "which were found while they were read", ExitCode::kBadInput);
}

// Notes the row; false if it was noted before. Takes the same time however many rows were added before.
bool DamagedFeatures::is_new(size_t part, const data::Rejection& rejection) {
  const auto& source = *parts_[part].source;
  if (!found_[part].insert(rejection.row).second) return false;
  log::error("source {}: row {} ({}) is left out: {}", source.name, rejection.row, printable(rejection.key),
             printable(rejection.detail));
  if (!is_rejected(part, rejection.row)) {
    counts_[part].add(rejection);
    quarantine_files_[part]->append(source.name, rejection);
  }
  return true;
}

void DamagedFeatures::check_budget(size_t part, const data::Rejection& last, const char* what,
                                   ExitCode code) const {
  const auto& source = *parts_[part].source;
  const auto& count = counts_[part];
  if (count.is_within_budget(source)) return;
  throw UserError(
      fmt::format("source {}: {} samples cannot be used, {} of them {}. This is more than "
                  "quarantine_budget = {} of {} allows. The last one is row {} ({}): {}",
                  source.name, count.rejected, found_[part].size(), what, source.quarantine_budget,
                  count.listed, last.row, printable(last.key), printable(last.detail)),
      code);
}

void DamagedFeatures::write_waiting() const {
  for (const auto& file : quarantine_files_) file->write_waiting();
}

bool DamagedFeatures::is_known(size_t part, int64_t row) const {
  const std::scoped_lock lock(mutex_);
  return found_[part].count(row) > 0;
}

namespace {

constexpr int64_t kMostDraws = 64;

// As an order draws the row that replaces a rejected one (data::SampleOrder), so that an image that is found bad on the
// way is mostly replaced by the same row as one that was found before.
int64_t drawn_row(const StagePart& part, int64_t position, uint64_t seed, int64_t attempt) {
  const auto& selection = part.dataset->selection();
  return data::stand_in(seed, position, part.dataset->size(), selection ? &selection->drawn : nullptr,
                        uint64_t(attempt));
}

// Draws, then the rows after the last one.
int64_t candidate_image(const StagePart& part, int64_t position, uint64_t seed, int64_t number) {
  const int64_t draw = std::min(number, kMostDraws - 1);
  return (drawn_row(part, position, seed, draw) + number - draw) % part.dataset->size();
}

}  // namespace

int64_t DamagedFeatures::stand_in(size_t part, int64_t row, int64_t position, uint64_t seed, int64_t& passed,
                                  const std::function<bool(int64_t)>& fits) const {
  const StagePart& own = parts_[part];
  const int64_t rows = own.dataset->size();
  const int64_t start = drawn_row(own, position, seed, 0);
  const int64_t most = own.latents ? rows : rows + kMostDraws;
  while (passed < most) {
    const int64_t number = passed++;
    const int64_t candidate =
        own.latents ? (start + number) % rows : candidate_image(own, position, seed, number);
    if (candidate != row && uses_row(own, candidate) && !is_rejected(part, candidate) &&
        !is_known(part, candidate) && fits(candidate))
      return candidate;
  }
  if (!parts_[part].latents)
    throw UserError(fmt::format("source {}: row {} and every other row of its shape cannot be used.",
                                parts_[part].source->name, row));
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

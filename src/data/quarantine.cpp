#include "pixart/data/quarantine.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/data/quarantine_file.h"

namespace pixart::data {

std::map<std::string, int64_t> Ledger::by_reason() const {
  std::map<std::string, int64_t> counts;
  size_t next = 0;
  for (int64_t row = 0; left_out > 0 && row < listed; ++row) {
    if (next < rejected.size() && rejected[next].row == row)
      ++next;
    else if (const Verdict* verdict = scored->selection()->verdict(row))
      ++counts[std::string(to_string(verdict->reason))];
  }
  for (const auto& rejection : rejected) ++counts[std::string(to_string(rejection.reason))];
  return counts;
}

void Ledger::for_each(const std::function<void(const Rejection&)>& use) const {
  size_t next = 0;
  for (int64_t row = 0; left_out > 0 && row < listed; ++row) {
    if (next < rejected.size() && rejected[next].row == row)
      use(rejected[next++]);
    else if (const auto other = scored->left_out(row))
      use(*other);
  }
  for (; next < rejected.size(); ++next) use(rejected[next]);
}

std::vector<int64_t> Ledger::unused_rows() const {
  std::vector<int64_t> rows;
  size_t next = 0;
  for (int64_t row = 0; scored != nullptr && row < listed; ++row) {
    const bool is_rejected = next < rejected.size() && rejected[next].row == row;
    next += is_rejected ? 1 : 0;
    if (is_rejected || !scored->selection()->drawn.has(row)) rows.push_back(row);
  }
  for (; next < rejected.size(); ++next) rows.push_back(rejected[next].row);
  return rows;
}

namespace {

// Nothing that is found about rows which the scores leave out counts, as nobody wants them.
void add_scores(const Dataset& dataset, Ledger& ledger) {
  if (!dataset.selection()) return;
  ledger.scored = &dataset;
  std::vector<bool> is_listed(size_t(ledger.listed));
  for (const auto& rejection : dataset.rejected()) is_listed[size_t(rejection.row)] = true;
  std::erase_if(ledger.rejected, [&](const Rejection& rejection) {
    return dataset.is_left_out(rejection.row) && !is_listed[size_t(rejection.row)];
  });
  for (int64_t row = 0; row < ledger.listed; ++row)
    ledger.left_out += dataset.is_left_out(row) && !is_listed[size_t(row)] ? 1 : 0;
}

}  // namespace

Ledger make_ledger(const std::string& source, const Dataset& dataset, std::vector<Rejection> found) {
  Ledger ledger{.source = source, .listed = dataset.size(), .rejected = dataset.rejected()};
  ledger.rejected.insert(ledger.rejected.end(), found.begin(), found.end());
  auto& rejected = ledger.rejected;
  std::stable_sort(rejected.begin(), rejected.end(),
                   [](const auto& a, const auto& b) { return a.row < b.row; });
  rejected.erase(std::unique(rejected.begin(), rejected.end(),
                             [](const auto& a, const auto& b) { return a.row == b.row; }),
                 rejected.end());
  for (const auto& rejection : rejected)
    PIXART_CHECK(rejection.row >= 0 && rejection.row < ledger.listed, "row {} of {}", rejection.row,
                 ledger.listed);
  add_scores(dataset, ledger);
  PIXART_CHECK(ledger.accepted() >= 0, "{} of {} rows", ledger.accepted(), ledger.listed);
  return ledger;
}

std::string quarantine_line(const std::string& source, const Rejection& rejection) {
  const nlohmann::ordered_json line = {{"source", source},
                                       {"row", rejection.row},
                                       {"key", rejection.key},
                                       {"offset", rejection.offset},
                                       {"reason", to_string(rejection.reason)},
                                       {"detail", rejection.detail}};
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string quarantine_text(const Ledger& ledger) {
  std::string lines;
  ledger.for_each([&](const Rejection& rejection) { lines += quarantine_line(ledger.source, rejection); });
  return lines;
}

namespace {

double unusable_share(const RejectionCount& count) {
  return double(count.unusable) / double(std::max<int64_t>(1, count.listed));
}

std::filesystem::path own_place(const std::filesystem::path& path) {
  require_own_quarantine(path);
  return link_target(path);
}

}  // namespace

QuarantineWriter::QuarantineWriter(const std::filesystem::path& path, std::string source)
    : file_(own_place(path)), source_(std::move(source)) {}

void QuarantineWriter::add(const Rejection& rejection) {
  constexpr size_t kPiece = size_t{1} << 20;
  lines_ += quarantine_line(source_, rejection);
  if (lines_.size() < kPiece) return;
  file_.write(lines_);
  lines_.clear();
}

void QuarantineWriter::commit() {
  file_.write(lines_);
  file_.commit();
}

void write_quarantine(const std::filesystem::path& path, const Ledger& ledger) {
  QuarantineWriter writer(path, ledger.source);
  ledger.for_each([&](const Rejection& rejection) { writer.add(rejection); });
  writer.commit();
}

void RejectionCount::add(const Rejection& rejection) {
  ++rejected;
  if (rejection.reason != Reason::kMissingCaption) ++unusable;
}

bool RejectionCount::is_within_budget(const SourceConfig& config) const {
  return unusable_share(*this) <= config.quarantine_budget && (listed == 0 || rejected < listed);
}

RejectionCount count_of(const Ledger& ledger) {
  RejectionCount count{.listed = ledger.listed - ledger.left_out};
  for (const auto& rejection : ledger.rejected) count.add(rejection);
  return count;
}

LedgerSummary::LedgerSummary(std::string source_name, int64_t num_listed)
    : source(std::move(source_name)), listed(num_listed), count{.listed = num_listed} {}

void LedgerSummary::add(const Rejection& rejection) {
  ++reasons[std::string(to_string(rejection.reason))];
  if (concerns_scores(rejection.reason)) {
    --count.listed;
    return;
  }
  count.add(rejection);
  if (first.size() < kMostKept) first.push_back(rejection);
  if (rejection.reason != Reason::kMissingCaption && first_unusable.size() < kMostKept)
    first_unusable.push_back(fmt::format("{} ({})", rejection.key, to_string(rejection.reason)));
}

int64_t LedgerSummary::accepted() const { return count.listed - count.rejected; }

LedgerSummary summary_of(const Ledger& ledger) {
  LedgerSummary summary(ledger.source, ledger.listed);
  for (const auto& rejection : ledger.rejected) summary.add(rejection);
  summary.reasons = ledger.by_reason();
  summary.count.listed -= ledger.left_out;
  return summary;
}

namespace {

// As name_some() of all would be.
std::string unusable_names(const LedgerSummary& ledger) {
  const int64_t more = ledger.count.unusable - int64_t(ledger.first_unusable.size());
  return name_some(ledger.first_unusable) + (more > 0 ? fmt::format(" and {} more", more) : "");
}

}  // namespace

void check_budget(const SourceConfig& config, const LedgerSummary& ledger) {
  const RejectionCount& count = ledger.count;
  if (count.is_within_budget(config)) return;
  if (ledger.listed > 0 && ledger.accepted() == 0)
    throw UserError(fmt::format("source {}: none of {} samples can be used: {}.", config.name, ledger.listed,
                                unusable_names(ledger)));
  throw UserError(
      fmt::format("source {}: {} of {} samples cannot be used ({:.2f} %), more than quarantine_budget = {} "
                  "allows: {}. Repair or remove them (pixart data check lists all), or raise the budget.",
                  config.name, count.unusable, count.listed, 100 * unusable_share(count),
                  config.quarantine_budget, unusable_names(ledger)));
}

void check_budget(const SourceConfig& config, const Ledger& ledger) {
  if (!count_of(ledger).is_within_budget(config)) check_budget(config, summary_of(ledger));
}

std::string describe(const LedgerSummary& ledger) {
  std::vector<std::string> parts;
  for (const auto& [reason, count] : ledger.reasons) parts.push_back(with_thousands(count) + " " + reason);
  return fmt::format("{} of {} samples accepted{}{}", with_thousands(ledger.accepted()),
                     with_thousands(ledger.listed), parts.empty() ? "" : "; rejected: ", join(parts, ", "));
}

std::string describe(const Ledger& ledger) { return describe(summary_of(ledger)); }

Quarantine::Quarantine(const SourceConfig& config, const Dataset& dataset)
    : config_(config), dataset_(dataset) {
  const auto listed = ledger();
  check_budget(config_, listed);
  count_ = count_of(listed);
  for (const auto& rejection : listed.rejected) listed_.insert(rejection.row);
}

// Takes the same time however many rows were added before.
void Quarantine::add(const Rejection& rejection) {
  bool is_within = true;
  {
    const std::scoped_lock lock(mutex_);
    if (!found_.emplace(rejection.row, rejection).second) return;
    if (listed_.count(rejection.row) == 0 && !dataset_.is_left_out(rejection.row)) count_.add(rejection);
    is_within = count_.is_within_budget(config_);
  }
  log::warning("source {}: {} is left out: {}", config_.name, printable(rejection.key),
               printable(rejection.detail));
  if (!is_within) check_budget(config_, ledger());
}

bool Quarantine::has(int64_t row) const {
  const std::scoped_lock lock(mutex_);
  return found_.count(row) > 0;
}

Ledger Quarantine::ledger() const {
  const std::scoped_lock lock(mutex_);
  std::vector<Rejection> found;
  for (const auto& [row, rejection] : found_) found.push_back(rejection);
  return make_ledger(config_.name, dataset_, std::move(found));
}

int64_t Quarantine::size() const {
  const std::scoped_lock lock(mutex_);
  return count_.rejected;
}

}  // namespace pixart::data

#include "pixart/data/quarantine.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"

namespace pixart::data {

std::map<std::string, int64_t> Ledger::by_reason() const {
  std::map<std::string, int64_t> counts;
  for (const auto& rejection : rejected) ++counts[std::string(to_string(rejection.reason))];
  return counts;
}

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
  PIXART_CHECK(ledger.accepted() + int64_t(rejected.size()) == ledger.listed && ledger.accepted() >= 0);
  return ledger;
}

void write_quarantine(const std::filesystem::path& path, const Ledger& ledger) {
  std::string lines;
  for (const auto& rejection : ledger.rejected) {
    const nlohmann::ordered_json line = {{"source", ledger.source},
                                         {"row", rejection.row},
                                         {"key", rejection.key},
                                         {"offset", rejection.offset},
                                         {"reason", to_string(rejection.reason)},
                                         {"detail", rejection.detail}};
    lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  write_file_atomically(path, lines);
}

namespace {

int64_t num_unusable(const Ledger& ledger) {
  return std::count_if(ledger.rejected.begin(), ledger.rejected.end(),
                       [](const auto& rejection) { return rejection.reason != Reason::kMissingCaption; });
}

double unusable_share(const Ledger& ledger) {
  return double(num_unusable(ledger)) / double(std::max<int64_t>(1, ledger.listed));
}

}  // namespace

bool is_within_budget(const SourceConfig& config, const Ledger& ledger) {
  return unusable_share(ledger) <= config.quarantine_budget && (ledger.listed == 0 || ledger.accepted() > 0);
}

void check_budget(const SourceConfig& config, const Ledger& ledger) {
  if (is_within_budget(config, ledger)) return;
  std::vector<std::string> unusable;
  for (const auto& rejection : ledger.rejected)
    if (rejection.reason != Reason::kMissingCaption)
      unusable.push_back(fmt::format("{} ({})", rejection.key, to_string(rejection.reason)));
  if (ledger.listed > 0 && ledger.accepted() == 0)
    throw UserError(fmt::format("source {}: none of {} samples can be used: {}.", config.name, ledger.listed,
                                name_some(unusable)));
  throw UserError(
      fmt::format("source {}: {} of {} samples cannot be used ({:.2f} %), more than quarantine_budget = {} "
                  "allows: {}. Repair or remove them (pixart data check lists all), or raise the budget.",
                  config.name, unusable.size(), ledger.listed, 100 * unusable_share(ledger),
                  config.quarantine_budget, name_some(unusable)));
}

std::string describe(const Ledger& ledger) {
  std::vector<std::string> parts;
  for (const auto& [reason, count] : ledger.by_reason())
    parts.push_back(with_thousands(count) + " " + reason);
  return fmt::format("{} of {} samples accepted{}{}", with_thousands(ledger.accepted()),
                     with_thousands(ledger.listed), parts.empty() ? "" : "; rejected: ", join(parts, ", "));
}

Quarantine::Quarantine(const SourceConfig& config, const Dataset& dataset)
    : config_(config), dataset_(dataset) {
  check_budget(config_, ledger());
}

void Quarantine::add(const Rejection& rejection) {
  {
    const std::scoped_lock lock(mutex_);
    if (!found_.emplace(rejection.row, rejection).second) return;
  }
  log::warning("source {}: {} is left out: {}", config_.name, rejection.key, rejection.detail);
  check_budget(config_, ledger());
}

Ledger Quarantine::ledger() const {
  const std::scoped_lock lock(mutex_);
  std::vector<Rejection> found;
  for (const auto& [row, rejection] : found_) found.push_back(rejection);
  return make_ledger(config_.name, dataset_, std::move(found));
}

int64_t Quarantine::size() const { return int64_t(ledger().rejected.size()); }

}  // namespace pixart::data

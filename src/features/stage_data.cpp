#include "pixart/features/stage_data.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "pixart/base/error.h"

namespace pixart::features {

std::pair<size_t, int64_t> part_of(const StageParts& parts, int64_t row) {
  const auto after =
      std::upper_bound(parts.begin(), parts.end(), row,
                       [](int64_t value, const StagePart& part) { return value < part.first_row; });
  PIXART_CHECK(after != parts.begin(), "row {}", row);
  const auto part = std::prev(after);
  return {size_t(part - parts.begin()), row - part->first_row};
}

uint8_t bucket_of(const StagePart& part, int64_t row) {
  if (part.latents) return uint8_t(part.first_bucket + part.latents->item(row).bucket);
  return uint8_t(part.first_bucket + (part.shapes ? part.shapes->buckets.at(size_t(row)) : 0));
}

bool is_repeated(const StageParts& parts, size_t part) {
  return std::any_of(parts.begin(), parts.begin() + int64_t(part),
                     [&](const StagePart& earlier) { return earlier.source == parts[part].source; });
}

bool uses_row(const StagePart& part, int64_t row) {
  const auto& selection = part.dataset->selection();
  return !selection || selection->drawn.has(row);
}

namespace {

// The buckets of the images whose shape is known, also of those that are rejected for another reason.
void add_buckets(const StagePart& part, std::vector<uint8_t>& buckets) {
  static const std::vector<data::Rejection> none;  // a part whose images have one shape
  const auto& rejected = part.latents ? part.latents->rejected() : part.shapes ? part.shapes->rejected : none;
  auto next = rejected.begin();
  for (int64_t row = 0; row < part.dataset->size(); ++row) {
    const bool is_known = next == rejected.end() || next->row != row;
    buckets.push_back(is_known ? bucket_of(part, row) : data::kUnknownBucket);
    if (!is_known) ++next;
  }
}

}  // namespace

std::shared_ptr<const data::SampleOrder> make_order(const StageParts& parts,
                                                    const std::vector<data::Ledger>& ledgers,
                                                    const run::StageConfig& stage, uint64_t seed,
                                                    std::shared_ptr<const data::ExcludedRows> excluded,
                                                    data::OrderVersion version) {
  std::vector<data::OrderPart> result;
  data::OrderBuckets buckets{.bucket_of = {}, .run = stage.batch_size};
  for (size_t i = 0; i < parts.size(); ++i) {
    data::OrderPart part{.rows = parts[i].dataset->size(), .passes = parts[i].passes};
    for (const auto& rejection : ledgers[i].rejected) part.rejected.push_back(rejection.row);
    const auto& selection = parts[i].dataset->selection();
    if (selection) part.drawn = {selection, &selection->drawn};
    if (stage.has_buckets()) add_buckets(parts[i], buckets.bucket_of);
    result.push_back(std::move(part));
  }
  return std::make_shared<data::SampleOrder>(seed, std::move(result), std::move(buckets), std::move(excluded),
                                             version);
}

std::vector<double> loss_weights(const StageParts& parts, const run::StageConfig& stage) {
  const auto mix = stage.parts();
  double own = 0, prior = 0;
  const auto samples = [&](size_t i) {
    const auto& selection = parts[i].dataset->selection();
    return std::round(parts[i].passes *
                      double(selection ? selection->drawn.per_pass : parts[i].dataset->size()));
  };
  for (size_t i = 0; i < parts.size(); ++i) (mix[i].prior_weight ? prior : own) += samples(i);
  if (prior == 0) return {};
  std::vector<double> result;
  for (const auto& part : mix)
    result.push_back(part.prior_weight ? *part.prior_weight * (own + prior) / prior : (own + prior) / own);
  return result;
}

std::map<std::string, std::string> data_fingerprints(const StageParts& parts,
                                                     const std::vector<data::Ledger>& ledgers) {
  std::map<std::string, std::string> result;
  for (size_t i = 0; i < parts.size(); ++i)
    result[parts[i].source->name] = fmt::format("{}, {} rows, {} rejected", parts[i].dataset->fingerprint(),
                                                parts[i].dataset->size(), ledgers[i].rejected.size());
  return result;
}

std::map<std::string, std::string> score_fingerprints(const StageParts& parts) {
  std::map<std::string, std::string> result;
  for (const auto& part : parts)
    if (const auto& selection = part.dataset->selection())
      result["scores of " + part.source->name] = selection->sha256;
  return result;
}

data::Ledger ledger_of(const StagePart& part, data::QuarantineFile* quarantine_file) {
  auto found = part.latents  ? part.latents->rejected()
               : part.shapes ? part.shapes->rejected
                             : std::vector<data::Rejection>();
  if (part.teacher)
    found.insert(found.end(), part.teacher->rejected().begin(), part.teacher->rejected().end());
  auto ledger = data::make_ledger(part.source->name, *part.dataset, found);
  if (quarantine_file != nullptr) quarantine_file->replace(ledger);
  data::check_budget(*part.source, ledger);
  return ledger;
}

void append_new(const StageParts& parts, const std::vector<data::Ledger>& ledgers,
                data::QuarantineFile& quarantine_file) {
  const size_t last = ledgers.size() - 1;
  std::set<int64_t> known;
  for (size_t i = 0; i < last; ++i)
    if (parts[i].source == parts[last].source)
      for (const auto& rejection : ledgers[i].rejected) known.insert(rejection.row);
  for (const auto& rejection : ledgers[last].rejected)
    if (!known.contains(rejection.row)) quarantine_file.append(parts[last].source->name, rejection);
}

}  // namespace pixart::features

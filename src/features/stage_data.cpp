#include "pixart/features/stage_data.h"

#include <algorithm>

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

bool uses_row(const StagePart& part, int64_t row) {
  const auto& selection = part.dataset->selection();
  return !selection || selection->drawn.has(row);
}

std::shared_ptr<const data::SampleOrder> make_order(const StageParts& parts,
                                                    const std::vector<data::Ledger>& ledgers,
                                                    const run::StageConfig& stage, uint64_t seed,
                                                    std::shared_ptr<const data::ExcludedRows> excluded) {
  std::vector<data::OrderPart> result;
  data::OrderBuckets buckets{.bucket_of = {}, .run = stage.batch_size};
  for (size_t i = 0; i < parts.size(); ++i) {
    const int64_t rows = parts[i].dataset->size();
    data::OrderPart part{.rows = rows, .passes = parts[i].passes};
    for (const auto& rejection : ledgers[i].rejected) part.rejected.push_back(rejection.row);
    const auto& selection = parts[i].dataset->selection();
    if (selection) part.drawn = {selection, &selection->drawn};
    if (stage.aspect_buckets) {
      std::vector<uint8_t> own(static_cast<size_t>(rows));
      for (int64_t row = 0; row < rows; ++row)
        if (uses_row(parts[i], row) && !std::binary_search(part.rejected.begin(), part.rejected.end(), row))
          own[size_t(row)] = parts[i].latents->item(row).bucket;
      buckets.bucket_of.insert(buckets.bucket_of.end(), own.begin(), own.end());
    }
    result.push_back(std::move(part));
  }
  return std::make_shared<data::SampleOrder>(seed, std::move(result), std::move(buckets),
                                             std::move(excluded));
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

data::Ledger ledger_of(const StagePart& part, data::QuarantineFile& quarantine_file) {
  const auto found = part.latents ? part.latents->rejected() : std::vector<data::Rejection>();
  auto ledger = data::make_ledger(part.source->name, *part.dataset, found);
  quarantine_file.replace(ledger);
  data::check_budget(*part.source, ledger);
  return ledger;
}

}  // namespace pixart::features

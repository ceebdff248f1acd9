// Records rows whose features turn out damaged while a stage reads them, and chooses their replacements.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "pixart/data/feature_set.h"
#include "pixart/features/stage_data.h"

namespace pixart::features {

class DamagedFeatures {
 public:
  // A ledger and a quarantine file for each part.
  DamagedFeatures(StageParts parts, std::vector<data::Ledger> ledgers,
                  std::vector<std::filesystem::path> quarantine_files);

  // Logs the row once, and writes it to the quarantine file. Throws UserError(kStorage) if more rows of the
  // source are unusable than its budget allows. Several threads may call it.
  void add(size_t part, int64_t row, const data::DamagedRecord& record);

  // The row of the part that replaces the damaged row of a position: starting at a row drawn from seed and
  // position, the first that `fits` and was not rejected. A damaged row is damaged at every reading, so the
  // choice is the same on every rank and after a restart. `attempt` is the number of rows tried before.
  // Throws UserError(kStorage) if no row is left.
  int64_t stand_in(size_t part, int64_t row, int64_t position, uint64_t seed, int64_t attempt,
                   const std::function<bool(int64_t)>& fits) const;

  int64_t size() const;  // number of damaged rows so far

 private:
  bool is_rejected(size_t part, int64_t row) const;

  StageParts parts_;
  std::vector<data::Ledger> ledgers_;
  std::vector<std::filesystem::path> quarantine_files_;
  mutable std::mutex mutex_;
  std::vector<std::map<int64_t, data::Rejection>> found_;  // of each part
};

}  // namespace pixart::features

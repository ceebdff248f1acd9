// Rows whose features were found damaged while a stage reads them, and which row is taken in the place of
// one.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "pixart/data/feature_set.h"
#include "pixart/train/stage_data.h"

namespace pixart::train {

class DamagedFeatures {
 public:
  // A ledger and a quarantine file for each part.
  DamagedFeatures(StageParts parts, std::vector<data::Ledger> ledgers,
                  std::vector<std::filesystem::path> quarantine_files);

  // Logs the row, once, and writes it to the quarantine file. Throws UserError(kStorage) where more rows of
  // the source are unusable than its budget allows. From several threads.
  void add(size_t part, int64_t row, const data::DamagedRecord& record);

  // The row of the part that is read at a place whose own row is damaged: the first, from one that is drawn
  // by seed and place, that `fits` and was not rejected. What is damaged is damaged again at each reading, so
  // it is the same on every rank and after a restart. `attempt` counts the rows that were tried before.
  // Throws UserError(kStorage) where none is left.
  int64_t stand_in(size_t part, int64_t row, int64_t position, uint64_t seed, int64_t attempt,
                   const std::function<bool(int64_t)>& fits) const;

  int64_t size() const;  // rows, so far

 private:
  bool is_rejected(size_t part, int64_t row) const;

  StageParts parts_;
  std::vector<data::Ledger> ledgers_;
  std::vector<std::filesystem::path> quarantine_files_;
  mutable std::mutex mutex_;
  std::vector<std::map<int64_t, data::Rejection>> found_;  // of each part
};

}  // namespace pixart::train

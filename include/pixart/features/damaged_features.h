// Records rows whose features, or images in their place, turn out damaged while a stage reads them, and chooses
// their replacements.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_set>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/data/feature_set.h"
#include "pixart/data/quarantine.h"
#include "pixart/data/quarantine_file.h"
#include "pixart/features/stage_data.h"

namespace pixart::features {

class DamagedFeatures {
 public:
  // A ledger and a quarantine file for each part.
  DamagedFeatures(StageParts parts, std::vector<data::Ledger> ledgers,
                  std::vector<std::shared_ptr<data::QuarantineFile>> quarantine_files);

  // Logs the row once, and appends it to the quarantine file; other ranks that read the row do so, too. Throws
  // UserError(kStorage) if more rows of the source are unusable than its budget allows. Several threads may
  // call it.
  void add(size_t part, int64_t row, const data::DamagedRecord& record);
  void add(size_t part, const data::Rejection& rejection);  // of an image; the error is UserError(kBadInput)

  // The row of the part that replaces the damaged row of a position: starting at a row drawn from seed and
  // position (for images: in a sequence that begins with drawn ones), the first that `fits` and was not rejected. A damaged row is damaged at every reading, so the
  // choice is the same on every rank and after a restart. `passed`, first 0, is the number of rows that
  // were looked at; the next call goes on from there. Throws UserError(kStorage) if no row is left.
  int64_t stand_in(size_t part, int64_t row, int64_t position, uint64_t seed, int64_t& passed,
                   const std::function<bool(int64_t)>& fits) const;

  int64_t size() const;  // number of damaged rows so far

  void write_waiting() const;  // to the quarantine files

 private:
  bool is_new(size_t part, const data::Rejection& rejection);
  void check_budget(size_t part, const data::Rejection& last, const char* what, ExitCode code) const;
  bool is_rejected(size_t part, int64_t row) const;  // at the start
  bool is_known(size_t part, int64_t row) const;     // as damaged

  StageParts parts_;
  std::vector<data::Ledger> ledgers_;
  std::vector<std::shared_ptr<data::QuarantineFile>> quarantine_files_;
  mutable std::mutex mutex_;
  std::vector<std::unordered_set<int64_t>> found_;  // the damaged rows of each part
  std::vector<data::RejectionCount> counts_;
};

}  // namespace pixart::features

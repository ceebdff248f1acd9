// The samples that a stage leaves out although they can be read: those that its key `exclude` names, and those of
// bad steps after which it was rolled back. Each is left out from a position of the stage's order on, so a run
// that knows it from the start computes the same as one that finds it on the way.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/data/order.h"
#include "pixart/features/stage_data.h"

namespace pixart::features {

struct ExcludedSample {
  std::string source, key;
  int64_t row = -1;           // of the source; -1: not said
  int64_t from_position = 0;  // it is left out from there on
  // Of the bad step, for samples that a roll-back left out:
  int64_t step = -1;      // counted from 0
  int64_t roll_back = 0;  // number within the stage, from 1; 0: named by the user
  std::string reason = {};
};

// One JSON object per line: {"source", "key", "row", "from_position", "step", "roll_back", "reason"}.
std::string lines_of(const std::vector<ExcludedSample>& samples);
// The reverse. Lines need "source" and "key"; other keys than these seven are passed over. Throws UserError with
// each wrong line; `name` is that of the file.
std::vector<ExcludedSample> parse_excluded(const std::string& lines, const std::string& name);

class ExcludedSamples {
 public:
  // Reads `file`, the stage's key ("": none). Throws UserError if it names a sample that the parts do not
  // have, or all samples of a part from the start.
  ExcludedSamples(StageParts parts, const std::filesystem::path& file);

  // Leaves out samples that roll-backs found; a known one only where it is left out from an earlier position on
  // (after a roll-back to a checkpoint before it). Not while batches are read.
  void add(const std::vector<ExcludedSample>& found);
  const std::vector<ExcludedSample>& found() const {
    return found_;
  }  // in the order in which they were found

  ExcludedSample sample(int64_t row) const;  // source, key and row of a row of all parts
  std::shared_ptr<const data::ExcludedRows> rows() const { return rows_; }

 private:
  void leave_out(const ExcludedSample& sample, Problems& problems);
  int64_t row_of(size_t part, const ExcludedSample& sample);  // -1: no row has the key

  StageParts parts_;
  std::shared_ptr<data::ExcludedRows> rows_ = std::make_shared<data::ExcludedRows>();
  std::vector<ExcludedSample> found_;
  std::unordered_map<std::string, size_t> found_places_;  // in found_; by source, row and key
  std::vector<std::unordered_map<std::string, int64_t>>
      rows_by_key_;  // of each part; filled when it is needed
};

// A hash of the file's content, for checkpoints; "none" without a file.
std::string exclude_fingerprint(const std::filesystem::path& file);

}  // namespace pixart::features

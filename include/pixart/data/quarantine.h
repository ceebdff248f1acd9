// The ledger of a source: accepted + rejected = listed.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "pixart/base/file.h"
#include "pixart/data/dataset.h"

namespace pixart::data {

struct Ledger {
  std::string source;
  int64_t listed = 0;
  std::vector<Rejection> rejected = {};  // ordered by row, one per row
  // Rejected by the scores of the source, and not in `rejected`. There may be millions, so they are made when they
  // are asked for, of the data set, which must still exist then.
  int64_t left_out = 0;
  const Dataset* scored = nullptr;  // null: the source has no scores

  int64_t accepted() const { return listed - int64_t(rejected.size()) - left_out; }
  std::map<std::string, int64_t> by_reason() const;
  void for_each(const std::function<void(const Rejection&)>& use) const;  // all of both, ordered by row
  std::vector<int64_t> unused_rows() const;  // of both, and those whose weight is 0; rising
};

// Joins the rejections of the listing with those found when images were opened, one per row: the first of the
// listing counts, then the scores. Checks that each rejection names a listed row.
Ledger make_ledger(const std::string& source, const Dataset& dataset, std::vector<Rejection> found);

// One {"source", "row", "key", "offset", "reason", "detail"}, with a line break at its end.
std::string quarantine_line(const std::string& source, const Rejection& rejection);
std::string quarantine_text(const Ledger& ledger);  // such lines, ordered by row

// Writes such lines as they come, atomically; add() in the order of the rows. Throws UserError(kStorage).
class QuarantineWriter {
 public:
  QuarantineWriter(const std::filesystem::path& path, std::string source);
  void add(const Rejection& rejection);
  void commit();  // also if there are no lines

 private:
  AtomicFile file_;
  std::string source_, lines_;
};
void write_quarantine(const std::filesystem::path& path, const Ledger& ledger);

// What the budget needs to know of a ledger; a rejection more is add().
struct RejectionCount {
  int64_t listed = 0, rejected = 0;  // without rows that scores leave out
  int64_t unusable = 0;  // rejected for another reason than a missing caption, which has a limit of its own
  void add(const Rejection& rejection);
  // Whether at most `quarantine_budget` of the samples are unusable and at least one sample is left.
  bool is_within_budget(const SourceConfig& config) const;
};
RejectionCount count_of(const Ledger& ledger);

// What there is to say about a ledger, however many samples it rejects.
struct LedgerSummary {
  std::string source;
  int64_t listed = 0;
  std::map<std::string, int64_t> reasons = {};  // rejected samples by reason
  RejectionCount count = {};
  std::vector<Rejection> first = {};             // rejections without those by scores
  std::vector<std::string> first_unusable = {};  // "key (reason)"

  static constexpr size_t kMostKept = 20;

  LedgerSummary() = default;
  LedgerSummary(std::string source_name, int64_t num_listed);
  void add(const Rejection& rejection);  // once for each row, in their order
  int64_t accepted() const;
  const std::map<std::string, int64_t>& by_reason() const { return reasons; }
};
LedgerSummary summary_of(const Ledger& ledger);

// Throws UserError, with counts by reason and the first keys, unless the ledger is within the budget.
void check_budget(const SourceConfig& config, const LedgerSummary& ledger);
void check_budget(const SourceConfig& config, const Ledger& ledger);

// "3,998 of 4,000 samples accepted; rejected: 1 damaged_picture, 1 empty_file".
std::string describe(const LedgerSummary& ledger);
std::string describe(const Ledger& ledger);

// Collects rejections while samples are read, from several threads. The budget is checked with each new one.
class Quarantine {
 public:
  Quarantine(const SourceConfig& config, const Dataset& dataset);
  void add(const Rejection& rejection);  // the same row may be added again
  bool has(int64_t row) const;           // whether the row was added
  Ledger ledger() const;
  int64_t size() const;

 private:
  const SourceConfig config_;
  const Dataset& dataset_;
  std::unordered_set<int64_t> listed_;  // rows that the listing rejects
  mutable std::mutex mutex_;
  std::unordered_map<int64_t, Rejection> found_;
  RejectionCount count_;
};

}  // namespace pixart::data

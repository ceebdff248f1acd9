// The ledger of a source: accepted + rejected = listed.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "pixart/data/dataset.h"

namespace pixart::data {

struct Ledger {
  std::string source;
  int64_t listed = 0;
  std::vector<Rejection> rejected = {};  // by rising row, one per row
  int64_t accepted() const { return listed - int64_t(rejected.size()); }
  std::map<std::string, int64_t> by_reason() const;
};

// Rejections from the listing and those found when pictures were opened, one per row: the first of the
// listing counts. Checks that each names a row that was listed.
Ledger make_ledger(const std::string& source, const Dataset& dataset, std::vector<Rejection> found);

// {"source", "row", "key", "offset", "reason", "detail"} a line, by rising row; written atomically, also when
// empty.
void write_quarantine(const std::filesystem::path& path, const Ledger& ledger);

// Whether no more samples are unusable than `quarantine_budget` allows, and one is left. Missing captions do
// not count: they have a limit of their own.
bool is_within_budget(const SourceConfig& config, const Ledger& ledger);

// Throws UserError when more samples are unusable than is_within_budget() allows, with counts by reason and
// the first keys.
void check_budget(const SourceConfig& config, const Ledger& ledger);

// "3,998 of 4,000 samples accepted; rejected: 1 damaged_picture, 1 empty_file".
std::string describe(const Ledger& ledger);

// Collects rejections while samples are read, from several threads. The budget is checked with each new one.
class Quarantine {
 public:
  Quarantine(const SourceConfig& config, const Dataset& dataset);
  void add(const Rejection& rejection);  // the same row may come again
  Ledger ledger() const;
  int64_t size() const;

 private:
  const SourceConfig config_;
  const Dataset& dataset_;
  mutable std::mutex mutex_;
  std::map<int64_t, Rejection> found_;
};

}  // namespace pixart::data

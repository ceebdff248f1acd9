// What the scores of a source say about its rows: which are left out, and how often the others are drawn. Nine
// bytes for each row.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pixart/data/drawn_rows.h"
#include "pixart/data/rejection.h"

namespace pixart::data {

// Why rows are left out. Many rows share one, so it says nothing about a single row.
struct Verdict {
  Reason reason{};
  std::string detail = {};  // a sentence
};

struct RowSelection {
  std::vector<uint8_t> verdict_of = {};  // of each row: 0 keeps it; n: verdicts[n - 1]
  std::vector<Verdict> verdicts = {};    // at most 254
  DrawnRows drawn = {};                  // rows that are left out have no weight
  std::string file = {}, sha256 = {};    // of the scores

  bool keeps(int64_t row) const { return verdict_of[size_t(row)] == 0; }
  // nullptr: the row is kept.
  const Verdict* verdict(int64_t row) const {
    return keeps(row) ? nullptr : &verdicts[size_t(verdict_of[size_t(row)]) - 1];
  }
};

}  // namespace pixart::data

// How often the rows of a source are drawn, where this is not once in each pass.
//
// A pass has a fixed number of samples N. A row with the weight w occurs N w / W times on average, W being the sum
// of the weights: that number rounded down, or one more. Which of both is drawn anew for each pass, by systematic
// sampling: the N samples are at equal distances on a line on which each row takes as much room as its weight, and
// only where the first one is differs. So a pass is a pure function of its key, and with equal weights every row
// occurs once.
#pragma once
#include <cstdint>
#include <vector>

#include "pixart/base/random.h"

namespace pixart::data {

// Eight bytes for each row.
struct DrawnRows {
  std::vector<uint64_t> up_to = {};  // the sum of the weights of the rows up to this one; never falls
  int64_t per_pass = 0;              // samples of a pass; at least 1

  // What is drawn: rows with a weight.
  bool has(int64_t row) const { return up_to[size_t(row)] > (row == 0 ? 0 : up_to[size_t(row) - 1]); }
  uint64_t total() const { return up_to.back(); }
  int64_t at(uint64_t place) const;  // the row at a place below total()
};

// Weights are finite and not negative, and one is above 0. A weight below 2^-33 of the largest counts as 0. A pass
// has as many samples as there are rows with a weight.
DrawnRows drawn_rows(const std::vector<double>& weights);

// The rows of one pass, in rising order, each as often as it occurs.
std::vector<int64_t> rows_of_pass(const DrawnRows& drawn, const RandomKey& key);

// Element `sample` of rows_of_pass(), without the list.
int64_t row_of_pass(const DrawnRows& drawn, const RandomKey& key, int64_t sample);

// How many samples of a pass are of rows before `row`, which may be the number of rows.
int64_t samples_before(const DrawnRows& drawn, const RandomKey& key, int64_t row);

}  // namespace pixart::data

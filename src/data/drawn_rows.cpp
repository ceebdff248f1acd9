#include "pixart/data/drawn_rows.h"

#include <algorithm>
#include <cmath>

#include "pixart/base/error.h"

namespace pixart::data {

int64_t DrawnRows::at(uint64_t place) const {
  PIXART_CHECK(place < total(), "place {} of {}", place, total());
  return std::upper_bound(up_to.begin(), up_to.end(), place) - up_to.begin();
}

// Whole numbers, so that sums are exact and the same on every machine; 2^31 rows of the largest weight fit.
DrawnRows drawn_rows(const std::vector<double>& weights) {
  constexpr double kLargest = 4294967296.0;
  const double most = weights.empty() ? 0 : *std::max_element(weights.begin(), weights.end());
  PIXART_CHECK(most > 0 && std::isfinite(most) && weights.size() < size_t{1} << 31, "largest weight {}",
               most);
  DrawnRows drawn;
  drawn.up_to.reserve(weights.size());
  uint64_t sum = 0;
  for (const double weight : weights) {
    PIXART_CHECK(weight >= 0, "weight {}", weight);
    const auto part = uint64_t(std::llround(weight / most * kLargest));
    drawn.per_pass += part > 0 ? 1 : 0;
    drawn.up_to.push_back(sum += part);
  }
  return drawn;
}

// Sample k is at (k * total + offset) / N; quotient and remainder are kept apart, as the product may not fit.
std::vector<int64_t> rows_of_pass(const DrawnRows& drawn, const RandomKey& key) {
  const uint64_t total = drawn.total(), count = uint64_t(drawn.per_pass), offset = uniform_below(key, total);
  uint64_t place = offset / count, remainder = offset % count;
  std::vector<int64_t> rows;
  rows.reserve(size_t(count));
  int64_t row = 0;
  for (uint64_t k = 0; k < count; ++k) {
    while (drawn.up_to[size_t(row)] <= place) ++row;
    rows.push_back(row);
    place += total / count;
    remainder += total % count;
    if (remainder >= count) remainder -= count, ++place;
  }
  return rows;
}

namespace {

using Wide = unsigned __int128;

// On a line where a row takes as much room as its weight times N, sample k is at offset + k * total.
Wide offset_of(const DrawnRows& drawn, const RandomKey& key) { return uniform_below(key, drawn.total()); }

}  // namespace

int64_t row_of_pass(const DrawnRows& drawn, const RandomKey& key, int64_t sample) {
  PIXART_CHECK(sample >= 0 && sample < drawn.per_pass, "sample {} of {}", sample, drawn.per_pass);
  const Wide place = offset_of(drawn, key) + Wide(sample) * drawn.total();
  return drawn.at(uint64_t(place / Wide(drawn.per_pass)));
}

int64_t samples_before(const DrawnRows& drawn, const RandomKey& key, int64_t row) {
  const Wide begin = row == 0 ? 0 : Wide(drawn.up_to[size_t(row) - 1]) * Wide(drawn.per_pass),
             offset = offset_of(drawn, key);
  return begin <= offset ? 0 : int64_t((begin - offset + drawn.total() - 1) / drawn.total());
}

}  // namespace pixart::data

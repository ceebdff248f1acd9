#include "order_parts.h"

#include <algorithm>
#include <cmath>

#include "pixart/base/error.h"

namespace pixart::data {

std::pair<size_t, int64_t> OrderContents::part_of(int64_t row) const {
  size_t part = 0;
  int64_t first_row = 0;
  for (; row >= first_row + parts[part].rows; ++part) first_row += parts[part].rows;
  return {part, first_row};
}

int64_t samples_per_epoch(const OrderPart& part) {
  return std::max<int64_t>(1, std::llround(part.passes * double(part.per_pass())));
}

int64_t nth_accepted(const int64_t* rejected, int64_t num_rejected, int64_t first, int64_t rank) {
  int64_t low = 0, high = num_rejected;  // how many rejected ones are before it
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    rejected[middle] - first - middle > rank ? high = middle : low = middle + 1;
  }
  return first + rank + low;
}

void throw_nothing_kept() {
  throw UserError(
      "none of the rows that the scores of a source keep can be used; pixart data check lists why.");
}

}  // namespace pixart::data

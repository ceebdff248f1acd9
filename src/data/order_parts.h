// What both versions of the order share.
#pragma once
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "pixart/data/order.h"

namespace pixart::data {

struct OrderContents {
  uint64_t seed = 0;
  std::vector<OrderPart> parts = {};
  OrderBuckets buckets = {};
  int64_t epoch_size = 0, num_rows = 0;

  uint8_t bucket(int64_t row) const { return buckets.bucket_of.empty() ? 0 : buckets.bucket_of[size_t(row)]; }
  // The part that holds a row, and the first row of that part.
  std::pair<size_t, int64_t> part_of(int64_t row) const;
};

int64_t samples_per_epoch(const OrderPart& part);

// Draws of a row that fits, before all are tried in turn.
inline constexpr uint64_t kMostDraws = 64;

// The number with the given rank among the numbers from `first` on that are not in `rejected`, which is rising and
// holds no number below `first`. Takes the time of a binary search.
int64_t nth_accepted(const int64_t* rejected, int64_t num_rejected, int64_t first, int64_t rank);

// The first number after `from` that fits, among `count` ones from `first` on, which form a ring; `from` is the last.
template <class Fits>
std::optional<int64_t> next_in_ring(int64_t first, int64_t count, int64_t from, const Fits& fits) {
  for (int64_t i = 1; i <= count; ++i)
    if (const int64_t next = first + (from - first + i) % count; fits(next)) return next;
  return std::nullopt;
}

// None of the rows that scores keep can be used.
[[noreturn]] void throw_nothing_kept();

}  // namespace pixart::data

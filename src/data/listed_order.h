// Version 1 of the order of samples: the rows of an epoch are listed in memory. Each source gives its part of an
// endless stream of permutations, a permutation of the epoch mixes the sources, and rows of a bucket wait in a queue
// until they are as many as a batch. It never changes: runs and recorded files depend on it.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "order_parts.h"
#include "recent.h"

namespace pixart::data {

class ListedOrder {
 public:
  explicit ListedOrder(const OrderContents& contents) : contents_(contents) {}

  int64_t row(int64_t position) const;
  // The row that takes the place of an excluded one; nothing if none is left.
  std::optional<int64_t> substitute(int64_t row, int64_t position,
                                    const std::function<bool(int64_t row)>& is_excluded) const;

 private:
  std::vector<int64_t> make_epoch(int64_t number) const;
  std::vector<int64_t> pass_of(size_t part, int64_t number) const;
  int64_t draw(const OrderPart& part, int64_t position, uint64_t attempt) const;
  int64_t accepted_row(const OrderPart& part, int64_t row, int64_t position) const;

  const OrderContents& contents_;
  mutable Recent<std::vector<int64_t>> epochs_;
};

}  // namespace pixart::data

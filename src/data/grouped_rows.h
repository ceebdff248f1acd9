// The rows of one source in the order of their buckets. The index of a row in this order is its slot, so that the
// rows of a bucket have the slots from one number to another. Without buckets the slot is the row, and nothing is
// kept for a row; with buckets 4 bytes, and 8 more where rows have weights.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "order_parts.h"

namespace pixart::data {

class GroupedRows {
 public:
  // `bucket_of`: of the part's rows; empty: no buckets. A rejected row counts to its bucket, so that the places of the
  // other rows do not depend on the rejection. Where that is not known, or has no row to take its place, it counts to
  // the bucket of the last used row before it.
  GroupedRows(const OrderPart& part, std::span<const uint8_t> bucket_of);

  int64_t row(int64_t slot) const { return row_at_.empty() ? slot : int64_t(row_at_[size_t(slot)]); }

  // The samples of each bucket in a pass. The key, without weights unused, is that of the pass.
  std::vector<int64_t> samples_of_pass(const RandomKey& pass) const;
  int64_t first_sample(size_t bucket, const RandomKey& pass) const;  // the buckets' samples follow each other
  int64_t slot_of_sample(int64_t sample, const RandomKey& pass) const;

  // The slot, or the one that takes its place if its row is rejected.
  int64_t accepted(size_t bucket, int64_t slot, uint64_t seed, int64_t position) const;
  // A slot of the bucket to take the place of an excluded one; nothing if none is left.
  std::optional<int64_t> substitute(size_t bucket, uint64_t seed, int64_t position,
                                    const std::function<bool(int64_t slot)>& is_excluded) const;

 private:
  bool is_rejected(int64_t slot) const;
  bool is_used(int64_t slot) const;
  int64_t draw(size_t bucket, uint64_t seed, int64_t position, uint64_t attempt) const;
  void group(const OrderPart& part, std::span<const uint8_t> bucket_of);

  std::vector<uint32_t> row_at_;
  std::vector<int64_t> begin_;              // the first slot of each bucket, and the number of slots
  std::vector<int64_t> rejected_;           // slots, rising
  std::shared_ptr<const DrawnRows> drawn_;  // of slots
};

}  // namespace pixart::data

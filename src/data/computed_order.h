// Version 2 of the order of samples: each row is computed alone from seed and position, in the same time for every
// position, without a list of an epoch.
//
// Each source is an endless stream of passes, of which an epoch takes round(passes * rows) samples. A pass holds every
// row once (weighted rows as often as drawn_rows.h says), so it has as many samples of a bucket as there are rows; a
// part of a pass has them in proportion. The samples of a bucket in an epoch come from all sources: a shuffle mixes
// these. Which bucket is at which place of the epoch follows from these numbers (bucket_runs.h). A sample of a pass
// and bucket is the row of a shuffle of the bucket's rows. What is kept of an epoch are some numbers for each pass and
// bucket in it.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "bucket_runs.h"
#include "grouped_rows.h"
#include "order_parts.h"
#include "recent.h"

namespace pixart::data {

class ComputedOrder {
 public:
  explicit ComputedOrder(const OrderContents& contents);

  int64_t row(int64_t position) const;
  // The row that takes the place of an excluded one; nothing if none is left.
  std::optional<int64_t> substitute(int64_t row, int64_t position,
                                    const std::function<bool(int64_t row)>& is_excluded) const;

 private:
  // Samples of one bucket in an epoch that come from one pass of a part.
  struct Stretch {
    size_t part = 0;
    int64_t pass = 0;
    int64_t skipped = 0;  // samples of the bucket in the pass that epochs before have taken
    int64_t before = 0;   // samples of the bucket in the epoch before these
  };
  struct Epoch {
    std::vector<std::vector<Stretch>> stretches;  // of each bucket
    std::vector<int64_t> samples;                 // of each bucket
    std::optional<BucketRuns> runs;               // with buckets
  };
  Epoch make_epoch(int64_t number) const;
  void add_part(size_t part, int64_t number, Epoch& epoch) const;
  uint64_t seed_of(size_t part) const { return contents_.seed ^ uint64_t(part) << 48; }
  RandomKey pass_key(size_t part, int64_t pass) const;
  int64_t slot_at(const Stretch& stretch, size_t bucket, int64_t index) const;

  const OrderContents& contents_;
  std::vector<GroupedRows> groups_;  // of each part
  std::vector<int64_t> first_row_;   // of each part
  mutable Recent<Epoch> epochs_;
};

}  // namespace pixart::data

// Which sample is at which position of the training order: a pure function of the seed and the position. The
// position of a sample in the whole run is its global sample id. Random numbers, ranks, workers and restarts
// depend on nothing else.
//
// An epoch holds every listed row of a source once (passes = 1), in an order that is drawn anew each time. A
// rejected row keeps its position, where another row of the same source replaces it, so the rest of the order
// is the same with and without the rejection. A row that was found bad during training is excluded from a
// position on: each place where it would have been used gets a substitute, and the rest stays.
//
// Where a source is filtered or weighted by scores (drawn_rows.h), its passes hold the rows that are kept, each as
// often as its weight says. All rows that take the place of others are drawn by weight, too.
//
// There are two versions of the order, each for ever. The first lists the rows of an epoch in memory, the second
// computes each row alone. Both give what is said here; the sequences differ.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "pixart/data/drawn_rows.h"

namespace pixart::data {

// How positions become rows. The values are part of the run format (key sample_order): only append.
enum class OrderVersion {
  kListed = 1,    // 8 bytes for each sample of an epoch, of two epochs; as many again while one is made
  kComputed = 2,  // nothing for a row; in aspect buckets 4 bytes, 12 with weights
};
inline constexpr OrderVersion kNewestOrder = OrderVersion::kComputed;

// One of the sources that a stage mixes. Its row numbers follow those of the parts before it.
struct OrderPart {
  int64_t rows = 0;
  double passes = 1;  // how often a row occurs in an epoch, on average; an epoch takes round(passes * rows)
                      // of an endless stream of permutations
  std::vector<int64_t> rejected = {};           // rising; fewer than `rows`
  std::shared_ptr<const DrawnRows> drawn = {};  // null: each row once in a pass

  int64_t per_pass() const { return drawn ? drawn->per_pass : rows; }
};

// The bucket of a rejected row whose shape nobody knows.
inline constexpr uint8_t kUnknownBucket = 255;

// The bucket of each row (of all parts), which is the number of its image's shape, and how many consecutive samples
// should share a bucket.
struct OrderBuckets {
  std::vector<uint8_t> bucket_of = {};  // empty: no buckets
  int64_t run = 1;                      // the global batch
};

// Rows (of all parts) that are left out although they can be read. Several threads may use it.
class ExcludedRows {
 public:
  // The row is left out from this position of the order on. Of several positions the first counts.
  void add(int64_t row, int64_t from_position);
  bool has(int64_t row, int64_t position) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<int64_t, int64_t> from_;
};

// The row that replaces a rejected row at a position, for attempt 0, 1, ... If this row is rejected too, the
// next attempt counts.
int64_t stand_in(uint64_t seed, int64_t position, int64_t rows, uint64_t attempt);
// The same, drawn by weight where there are weights (not null).
int64_t stand_in(uint64_t seed, int64_t position, int64_t rows, const DrawnRows* drawn, uint64_t attempt);

class SampleOrder {
 public:
  // `excluded` may grow while no other thread reads the order; null: no row is excluded.
  SampleOrder(uint64_t seed, std::vector<OrderPart> parts, OrderBuckets buckets = {},
              std::shared_ptr<const ExcludedRows> excluded = nullptr,
              OrderVersion version = OrderVersion::kListed);
  ~SampleOrder();

  int64_t epoch_size() const;
  int64_t num_rows() const;

  // The row at a position >= 0; may be called from several threads. A row of the same part and bucket, drawn by
  // seed and position, replaces an excluded one; throws UserError(kNumerics) if none is left.
  int64_t row(int64_t position) const;
  uint8_t bucket(int64_t row) const;

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

// The samples of one forward and backward pass of one process; all are of one bucket.
struct MicroBatch {
  int64_t step = 0, micro_step = 0;
  double share = 1;  // share of the step's samples; the weight of the loss
  std::vector<int64_t> positions = {}, rows = {};
  uint8_t bucket = 0;
  bool is_last = false;  // the last of the step on this rank
};

// How the samples of a step are distributed.
struct BatchPlan {
  int64_t batch_size = 1;                       // samples of an optimizer step, over all ranks
  int64_t micro_batch_size = 0;                 // largest number of samples of a micro-batch; 0: no limit
  std::vector<int64_t> micro_batch_sizes = {};  // the same for each bucket; empty: one for all
  int64_t rank = 0, world_size = 1;
  // Each sample is a micro-batch of its own, and each rank gets an equal share of the positions, so that
  // results do not depend on the number of ranks or the micro-batch size. The batch size must be a multiple
  // of the number of ranks.
  bool one_by_one = false;

  // The largest number of samples of a micro-batch of the bucket; 0: no limit.
  int64_t most_of(uint8_t bucket) const {
    return micro_batch_sizes.empty() ? micro_batch_size : micro_batch_sizes.at(bucket);
  }
};

// The micro-batches of one step on one rank. The micro-batches of all ranks together hold each sample of the
// step once, in order: every run of one bucket is cut into one piece per rank, as equal as possible. A rank
// may get none.
std::vector<MicroBatch> plan_step(const SampleOrder& order, const BatchPlan& plan, int64_t step);

}  // namespace pixart::data

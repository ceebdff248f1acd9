// Which sample stands at which place: a pure function of seed and place. The place of a sample in the whole
// run is its global sample id; random numbers, ranks, workers and restarts know nothing else.
//
// An epoch holds every listed row of a source once (passes = 1), in an order drawn anew each time. A row that
// was rejected keeps its place, where another one of the same source stands in for it, so the rest of the
// order is the same with and without it.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace pixart::data {

// One source among those that a stage mixes. Its rows are numbered behind those of the parts before it.
struct OrderPart {
  int64_t rows = 0;
  double passes = 1;  // how often a row stands in an epoch, on average; an epoch takes round(passes * rows)
                      // of an endless stream of permutations
  std::vector<int64_t> rejected = {};  // rising; not all
};

// Aspect buckets: of each row (all parts), and how many samples should lie beside each other.
struct OrderBuckets {
  std::vector<uint8_t> bucket_of = {};  // empty: no buckets
  int64_t run = 1;                      // the global batch
};

// Accepted row that stands in for a rejected one at a place; attempt 0, 1, ... The row may be a rejected one
// again: then the next attempt counts.
int64_t stand_in(uint64_t seed, int64_t position, int64_t rows, uint64_t attempt);

class SampleOrder {
 public:
  SampleOrder(uint64_t seed, std::vector<OrderPart> parts, OrderBuckets buckets = {});

  int64_t epoch_size() const { return epoch_size_; }
  int64_t num_rows() const { return num_rows_; }

  // Row at a place >= 0. Keeps the last two epochs; may be called from several threads.
  int64_t row(int64_t position) const;
  uint8_t bucket(int64_t row) const {
    return buckets_.bucket_of.empty() ? 0 : buckets_.bucket_of[size_t(row)];
  }

 private:
  using Epoch = std::shared_ptr<const std::vector<int64_t>>;
  Epoch epoch(int64_t number) const;
  std::vector<int64_t> make_epoch(int64_t number) const;
  int64_t accepted_row(const OrderPart& part, int64_t row, int64_t position) const;

  uint64_t seed_;
  std::vector<OrderPart> parts_;
  OrderBuckets buckets_;
  int64_t epoch_size_ = 0, num_rows_ = 0;
  mutable std::mutex mutex_;
  mutable std::pair<int64_t, Epoch> recent_[2] = {{-1, nullptr}, {-1, nullptr}};
};

// What one process computes in one forward and backward pass: samples of one bucket.
struct MicroBatch {
  int64_t step = 0, micro_step = 0;
  double share = 1;  // of the step's samples; the losses' weights
  std::vector<int64_t> positions = {}, rows = {};
  uint8_t bucket = 0;
  bool is_last = false;  // of the step, on this rank
};

// How a step's samples are dealt.
struct BatchPlan {
  int64_t batch_size = 1;        // samples of an optimizer step, over all ranks
  int64_t micro_batch_size = 0;  // most samples of a micro-batch; 0: no limit
  int64_t rank = 0, world_size = 1;
  // Each sample alone, and each rank its share of the places: what is computed does not depend on the number
  // of ranks and the size of micro-batches. The batch must be a multiple of the number of ranks.
  bool one_by_one = false;
};

// The micro-batches of a step, of one rank. All ranks' together are the step's samples, each once, in order:
// every run of one bucket is cut into one piece per rank, as equal as possible. A rank may get none.
std::vector<MicroBatch> plan_step(const SampleOrder& order, const BatchPlan& plan, int64_t step);

}  // namespace pixart::data

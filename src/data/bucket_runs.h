// Which bucket is at which place of an epoch, computed from the numbers of samples of the buckets alone.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace pixart::data {

// How many of the first `taken` samples of a pass are of each bucket, if the pass has `samples` of each: in proportion,
// as far as whole numbers allow. Adds up to `taken`, and never falls when `taken` grows.
std::vector<int64_t> evenly_taken(const std::vector<int64_t>& samples, int64_t taken);

// An epoch consists of runs of one bucket. The first one fills up the batch in which the epoch before ended. Then
// come all full runs, shuffled, and at the end what is left over of each bucket, bucket by bucket.
class BucketRuns {
 public:
  struct Config {
    std::vector<int64_t> samples;  // of each bucket, in the epoch
    int64_t run = 1;               // length of a full run: the batch
    int64_t begun = 0;             // samples of the epoch before in the batch that both share; less than run
    uint64_t seed = 0;
    int64_t epoch = 0;
  };
  explicit BucketRuns(Config config);

  struct Place {
    size_t bucket = 0;
    int64_t index = 0;  // among the bucket's samples of the epoch
  };
  Place at(int64_t offset) const;  // of a place in the epoch, counted from 0

 private:
  Config config_;
  int64_t first_run_ = 0;  // its length; 0: no batch is begun, or no bucket has enough samples to fill it up
  size_t first_bucket_ = 0;
  std::vector<int64_t> runs_, left_;  // full runs, and samples after them, of all buckets up to each
};

}  // namespace pixart::data

#include "bucket_runs.h"

#include <algorithm>
#include <numeric>

#include "pixart/base/bijection.h"
#include "pixart/base/error.h"
#include "pixart/base/random.h"

namespace pixart::data {

namespace {

constexpr int kClockBits = 62;

// A bucket's samples come at equal distances in time: after the share t of all time, t n of n, rounded.
int64_t taken_at(uint64_t time, int64_t samples) {
  using Wide = unsigned __int128;
  constexpr Wide kHalf = Wide(1) << (kClockBits - 1);
  return int64_t((Wide(time) * Wide(samples) + kHalf) >> kClockBits);
}

int64_t all_taken_at(uint64_t time, const std::vector<int64_t>& samples) {
  int64_t sum = 0;
  for (const int64_t count : samples) sum += taken_at(time, count);
  return sum;
}

// The bucket that holds element `index`, if `up_to` has the sums over the buckets up to each.
size_t bucket_with(const std::vector<int64_t>& up_to, int64_t index) {
  return size_t(std::upper_bound(up_to.begin(), up_to.end(), index) - up_to.begin());
}

int64_t before(const std::vector<int64_t>& up_to, size_t bucket) {
  return bucket == 0 ? 0 : up_to[bucket - 1];
}

// Draws a bucket that has as many samples as the run; each of these samples is as likely as another. `none` if no
// bucket has.
size_t draw_bucket(const BucketRuns::Config& config, int64_t run, size_t none) {
  std::vector<int64_t> up_to;
  int64_t sum = 0;
  for (const int64_t count : config.samples) up_to.push_back(sum += count >= run ? count : 0);
  if (sum == 0) return none;
  const RandomKey key{config.seed, uint64_t(config.epoch), Purpose::kFirstRun};
  return bucket_with(up_to, int64_t(uniform_below(key, uint64_t(sum))));
}

}  // namespace

// Where several buckets come at the same time, the first one is first.
std::vector<int64_t> evenly_taken(const std::vector<int64_t>& samples, int64_t taken) {
  const int64_t all = std::accumulate(samples.begin(), samples.end(), int64_t{0});
  PIXART_CHECK(taken >= 0 && taken <= all, "{} of {} samples", taken, all);
  if (taken == all) return samples;
  if (taken == 0) return std::vector<int64_t>(samples.size());
  uint64_t time = 0, later = uint64_t{1} << kClockBits;  // at `later` more than `taken` are taken
  while (later - time > 1) {
    const uint64_t middle = time + (later - time) / 2;
    (all_taken_at(middle, samples) <= taken ? time : later) = middle;
  }
  std::vector<int64_t> result;
  int64_t rest = taken - all_taken_at(time, samples);
  for (const int64_t count : samples) {
    const int64_t now = taken_at(time, count), more = std::min(rest, taken_at(later, count) - now);
    result.push_back(now + more);
    rest -= more;
  }
  return result;
}

BucketRuns::BucketRuns(Config config) : config_(std::move(config)), first_bucket_(config_.samples.size()) {
  if (config_.begun > 0) {
    first_run_ = config_.run - config_.begun;
    first_bucket_ = draw_bucket(config_, first_run_, config_.samples.size());
    if (first_bucket_ == config_.samples.size()) first_run_ = 0;
  }
  int64_t runs = 0, left = 0;
  for (size_t bucket = 0; bucket < config_.samples.size(); ++bucket) {
    const int64_t samples = config_.samples[bucket] - (bucket == first_bucket_ ? first_run_ : 0);
    runs_.push_back(runs += samples / config_.run);
    left_.push_back(left += samples % config_.run);
  }
}

BucketRuns::Place BucketRuns::at(int64_t offset) const {
  const int64_t run = config_.run, runs = runs_.back();
  if (offset < first_run_) return {first_bucket_, offset};
  offset -= first_run_;
  if (offset < runs * run) {
    const int64_t number =
        shuffled({config_.seed, uint64_t(config_.epoch), Purpose::kRunOrder}, runs, offset / run);
    const size_t bucket = bucket_with(runs_, number);
    const int64_t index = (number - before(runs_, bucket)) * run + offset % run;
    return {bucket, index + (bucket == first_bucket_ ? first_run_ : 0)};
  }
  offset -= runs * run;
  const size_t bucket = bucket_with(left_, offset);
  return {bucket, config_.samples[bucket] - (left_[bucket] - offset)};
}

}  // namespace pixart::data

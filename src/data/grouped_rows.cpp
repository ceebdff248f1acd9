#include "grouped_rows.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "pixart/base/error.h"

namespace pixart::data {

namespace {

constexpr size_t kBuckets = 256;

// Which buckets have a row that is used, and that of the first such row.
struct UsedBuckets {
  std::array<bool, kBuckets> has = {};
  uint8_t first = 0;
};

// Calls visit(row, bucket, is_rejected, is_used) for each row, with the bucket to which it counts.
template <class Visit>
void each_row(const OrderPart& part, std::span<const uint8_t> bucket_of, const UsedBuckets& used,
              const Visit& visit) {
  auto rejected = part.rejected.begin();
  uint8_t last = used.first;
  for (int64_t row = 0; row < part.rows; ++row) {
    const bool is_rejected = rejected != part.rejected.end() && *rejected == row;
    if (is_rejected) ++rejected;
    const bool is_used = !is_rejected && (!part.drawn || part.drawn->has(row));
    const uint8_t own = bucket_of[size_t(row)];
    if (is_used) last = own;
    visit(row, is_used || used.has[own] ? own : last, is_rejected, is_used);
  }
}

UsedBuckets used_buckets(const OrderPart& part, std::span<const uint8_t> bucket_of) {
  UsedBuckets used;
  bool is_first = true;
  each_row(part, bucket_of, {}, [&](int64_t, uint8_t bucket, bool, bool is_used) {
    if (!is_used) return;
    if (std::exchange(is_first, false)) used.first = bucket;
    used.has[bucket] = true;
  });
  return used;
}

// The weights of rows in another order.
std::shared_ptr<const DrawnRows> in_order(const DrawnRows& drawn, const std::vector<uint32_t>& row_at) {
  auto result = std::make_shared<DrawnRows>();
  result->per_pass = drawn.per_pass;
  result->up_to.reserve(row_at.size());
  uint64_t sum = 0;
  for (const uint32_t row : row_at)
    result->up_to.push_back(sum += drawn.up_to[row] - (row == 0 ? 0 : drawn.up_to[row - 1]));
  return result;
}

}  // namespace

GroupedRows::GroupedRows(const OrderPart& part, std::span<const uint8_t> bucket_of)
    : begin_{0, part.rows}, rejected_(part.rejected), drawn_(part.drawn) {
  if (!bucket_of.empty()) group(part, bucket_of);
}

void GroupedRows::group(const OrderPart& part, std::span<const uint8_t> bucket_of) {
  if (part.rows > int64_t(std::numeric_limits<uint32_t>::max()))
    throw UserError(fmt::format(
        "a source has {} rows; with aspect buckets a source has at most 2^32. Split it, and mix the sources.",
        part.rows));
  const auto used = used_buckets(part, bucket_of);
  begin_.assign(kBuckets + 1, 0);
  each_row(part, bucket_of, used, [&](int64_t, uint8_t bucket, bool, bool) { ++begin_[bucket + size_t{1}]; });
  std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
  row_at_.resize(size_t(part.rows));
  rejected_.clear();
  auto next = begin_;
  each_row(part, bucket_of, used, [&](int64_t row, uint8_t bucket, bool is_rejected, bool) {
    const int64_t slot = next[bucket]++;
    row_at_[size_t(slot)] = uint32_t(row);
    if (is_rejected) rejected_.push_back(slot);
  });
  std::sort(rejected_.begin(), rejected_.end());
  if (part.drawn) drawn_ = in_order(*part.drawn, row_at_);
}

int64_t GroupedRows::first_sample(size_t bucket, const RandomKey& pass) const {
  return drawn_ ? samples_before(*drawn_, pass, begin_[bucket]) : begin_[bucket];
}

std::vector<int64_t> GroupedRows::samples_of_pass(const RandomKey& pass) const {
  std::vector<int64_t> result;
  for (size_t bucket = 0; bucket + 1 < begin_.size(); ++bucket)
    result.push_back(first_sample(bucket + 1, pass) - first_sample(bucket, pass));
  return result;
}

int64_t GroupedRows::slot_of_sample(int64_t sample, const RandomKey& pass) const {
  return drawn_ ? row_of_pass(*drawn_, pass, sample) : sample;
}

bool GroupedRows::is_rejected(int64_t slot) const {
  return std::binary_search(rejected_.begin(), rejected_.end(), slot);
}

bool GroupedRows::is_used(int64_t slot) const { return !is_rejected(slot) && (!drawn_ || drawn_->has(slot)); }

// The slot for attempt 0, 1, ... to take the place of another one. Weights are room on a line.
int64_t GroupedRows::draw(size_t bucket, uint64_t seed, int64_t position, uint64_t attempt) const {
  const auto place = [&](int64_t slot) {
    return drawn_ ? int64_t(slot == 0 ? 0 : drawn_->up_to[size_t(slot) - 1]) : slot;
  };
  const int64_t first = place(begin_[bucket]), room = place(begin_[bucket + 1]) - first;
  const int64_t drawn = first + stand_in(seed, position, room, attempt);
  return drawn_ ? drawn_->at(uint64_t(drawn)) : drawn;
}

// As in version 1: draws from all slots, so that further rejections leave most replacements as they are; the last draw
// is from the accepted ones.
int64_t GroupedRows::accepted(size_t bucket, int64_t slot, uint64_t seed, int64_t position) const {
  uint64_t attempt = 0;
  for (; is_rejected(slot) && attempt < kMostDraws; ++attempt) slot = draw(bucket, seed, position, attempt);
  if (!is_rejected(slot)) return slot;
  const int64_t first = begin_[bucket], count = begin_[bucket + 1] - first;
  if (drawn_) {
    const auto next = next_in_ring(first, count, slot, [this](int64_t other) { return is_used(other); });
    if (!next) throw_nothing_kept();
    return *next;
  }
  const auto at = [this](int64_t from_slot) {
    return std::lower_bound(rejected_.begin(), rejected_.end(), from_slot) - rejected_.begin();
  };
  const int64_t from = at(first), num_rejected = at(first + count) - from;
  return nth_accepted(rejected_.data() + from, num_rejected, first,
                      stand_in(seed, position, count - num_rejected, attempt));
}

// The first slot that fits in a fixed sequence: some draws, then the slots after the last one. So a further exclusion
// changes only the places where its row would have been used.
std::optional<int64_t> GroupedRows::substitute(size_t bucket, uint64_t seed, int64_t position,
                                               const std::function<bool(int64_t slot)>& is_excluded) const {
  const auto fits = [&](int64_t slot) { return is_used(slot) && !is_excluded(slot); };
  int64_t slot = begin_[bucket];
  for (uint64_t attempt = 0; attempt < kMostDraws; ++attempt)
    if (slot = draw(bucket, seed, position, attempt); fits(slot)) return slot;
  return next_in_ring(begin_[bucket], begin_[bucket + 1] - begin_[bucket], slot, fits);
}

}  // namespace pixart::data

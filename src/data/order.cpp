#include "pixart/data/order.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pixart/base/error.h"
#include "pixart/base/random.h"

namespace pixart::data {

namespace {

int64_t samples_per_epoch(const OrderPart& part) {
  return std::max<int64_t>(1, std::llround(part.passes * double(part.per_pass())));
}

// Forms runs of one bucket: the bucket whose queue is full first goes first. The first run fills up the batch
// in which the previous epoch ended; left-over rows are at the end, bucket by bucket.
std::vector<int64_t> gather_buckets(const std::vector<int64_t>& rows, const OrderBuckets& buckets,
                                    int64_t first_run) {
  std::vector<std::vector<int64_t>> queues(256);
  std::vector<int64_t> result;
  result.reserve(rows.size());
  int64_t run = first_run;
  for (const int64_t row : rows) {
    auto& queue = queues[buckets.bucket_of[size_t(row)]];
    queue.push_back(row);
    if (int64_t(queue.size()) < run) continue;
    // A queue may be longer than the first run, which is shorter.
    result.insert(result.end(), queue.begin(), queue.begin() + run);
    queue.erase(queue.begin(), queue.begin() + run);
    run = buckets.run;
  }
  for (const auto& queue : queues) result.insert(result.end(), queue.begin(), queue.end());
  return result;
}

}  // namespace

int64_t stand_in(uint64_t seed, int64_t position, int64_t rows, uint64_t attempt) {
  return int64_t(uniform_below({seed, uint64_t(position), Purpose::kStandIn}, uint64_t(rows), attempt));
}

void ExcludedRows::add(int64_t row, int64_t from_position) {
  const std::scoped_lock lock(mutex_);
  const auto [known, is_new] = from_.emplace(row, from_position);
  if (!is_new) known->second = std::min(known->second, from_position);
}

bool ExcludedRows::has(int64_t row, int64_t position) const {
  const std::scoped_lock lock(mutex_);
  const auto found = from_.find(row);
  return found != from_.end() && position >= found->second;
}

SampleOrder::SampleOrder(uint64_t seed, std::vector<OrderPart> parts, OrderBuckets buckets,
                         std::shared_ptr<const ExcludedRows> excluded)
    : seed_(seed), parts_(std::move(parts)), buckets_(std::move(buckets)), excluded_(std::move(excluded)) {
  for (const auto& part : parts_) {
    PIXART_CHECK(part.rows > int64_t(part.rejected.size()) && part.passes > 0,
                 "{} rows, {} rejected, {} passes", part.rows, part.rejected.size(), part.passes);
    PIXART_CHECK(!part.drawn || (int64_t(part.drawn->up_to.size()) == part.rows && part.per_pass() > 0),
                 "weights of other rows");
    num_rows_ += part.rows;
    epoch_size_ += samples_per_epoch(part);
  }
  PIXART_CHECK(epoch_size_ > 0 && buckets_.run > 0);
  PIXART_CHECK(buckets_.bucket_of.empty() || int64_t(buckets_.bucket_of.size()) == num_rows_,
               "{} buckets for {} rows", buckets_.bucket_of.size(), num_rows_);
}

int64_t SampleOrder::row(int64_t position) const {
  PIXART_CHECK(position >= 0, "position {}", position);
  const int64_t planned = (*epoch(position / epoch_size_))[size_t(position % epoch_size_)];
  return is_excluded(planned, position) ? substitute(planned, position) : planned;
}

bool SampleOrder::is_excluded(int64_t row, int64_t position) const {
  return excluded_ != nullptr && excluded_->has(row, position);
}

SampleOrder::Epoch SampleOrder::epoch(int64_t number) const {
  const std::scoped_lock lock(mutex_);
  for (const auto& [known, rows] : recent_)
    if (known == number) return rows;
  auto& oldest = recent_[recent_[0].first < recent_[1].first ? 0 : 1];
  oldest = {number, std::make_shared<const std::vector<int64_t>>(make_epoch(number))};
  return oldest.second;
}

namespace {

constexpr uint64_t kMostDraws = 64;

bool is_rejected(const OrderPart& part, int64_t row) {
  return std::binary_search(part.rejected.begin(), part.rejected.end(), row);
}

bool is_drawn(const OrderPart& part, int64_t row) { return !part.drawn || part.drawn->has(row); }

// The first accepted row with a weight, from `row` on.
int64_t next_accepted(const OrderPart& part, int64_t row) {
  for (int64_t i = 1; i <= part.rows; ++i)
    if (const int64_t next = (row + i) % part.rows; is_drawn(part, next) && !is_rejected(part, next))
      return next;
  throw UserError(
      "none of the rows that the scores of a source keep can be used; pixart data check lists why.");
}

// The accepted row with the given number among the accepted ones.
int64_t nth_accepted(const OrderPart& part, int64_t number) {
  const auto& rejected = part.rejected;
  int64_t low = 0, high = int64_t(rejected.size());  // how many rejected rows are before it
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    rejected[size_t(middle)] - middle > number ? high = middle : low = middle + 1;
  }
  return number + low;
}

}  // namespace

// Row for attempt 0, 1, ... to take the place of another one.
int64_t SampleOrder::draw(const OrderPart& part, int64_t position, uint64_t attempt) const {
  if (!part.drawn) return stand_in(seed_, position, part.rows, attempt);
  return part.drawn->at(uint64_t(stand_in(seed_, position, int64_t(part.drawn->total()), attempt)));
}

// Draws from all rows, so that further rejections leave most replacements as they are. If few rows are left,
// the last draw is from the accepted ones: the time does not grow with the rejected ones.
int64_t SampleOrder::accepted_row(const OrderPart& part, int64_t row, int64_t position) const {
  for (uint64_t attempt = 0; is_rejected(part, row); ++attempt) {
    if (attempt == kMostDraws && part.drawn) return next_accepted(part, row);
    if (attempt == kMostDraws)
      return nth_accepted(part,
                          stand_in(seed_, position, part.rows - int64_t(part.rejected.size()), attempt));
    row = draw(part, position, attempt);
  }
  return row;
}

// The first row that fits in a fixed sequence: some draws, then the rows after the last one. So a further
// exclusion changes only the places where its row would have been used.
int64_t SampleOrder::substitute(int64_t row, int64_t position) const {
  size_t k = 0;
  int64_t first_row = 0;
  for (; row >= first_row + parts_[k].rows; ++k) first_row += parts_[k].rows;
  const OrderPart& part = parts_[k];
  const auto fits = [&](int64_t own) {
    return is_drawn(part, own) && !is_rejected(part, own) && bucket(first_row + own) == bucket(row) &&
           !is_excluded(first_row + own, position);
  };
  int64_t own = 0;
  for (uint64_t attempt = 0; attempt < kMostDraws; ++attempt)
    if (own = draw(part, position, attempt); fits(own)) return first_row + own;
  for (int64_t i = 1; i < part.rows; ++i)
    if (const int64_t next = (own + i) % part.rows; fits(next)) return first_row + next;
  throw UserError(
      fmt::format("position {}: every sample that could be used here is left out, because its steps were bad "
                  "or the stage's `exclude` names it. Lower optimizer.lr, or look at the data.",
                  position),
      ExitCode::kNumerics);
}

// One of the endless stream of permutations of a part.
std::vector<int64_t> SampleOrder::pass_of(size_t k, int64_t number) const {
  const OrderPart& part = parts_[k];
  const uint64_t seed = seed_ ^ uint64_t(k) << 48;
  auto order = permutation({seed, uint64_t(number), Purpose::kOrder}, part.per_pass());
  if (!part.drawn) return order;
  const auto rows = rows_of_pass(*part.drawn, {seed, uint64_t(number), Purpose::kWeightedPass});
  for (auto& row : order) row = rows[size_t(row)];
  return order;
}

std::vector<int64_t> SampleOrder::make_epoch(int64_t number) const {
  std::vector<int64_t> rows;
  rows.reserve(size_t(epoch_size_));
  int64_t first_row = 0;
  for (size_t k = 0; k < parts_.size(); ++k) {
    const auto& part = parts_[k];
    // Sample i of the part's stream is element i % length of permutation i / length.
    const int64_t count = samples_per_epoch(part), length = part.per_pass();
    int64_t pass = -1;
    std::vector<int64_t> order;
    for (int64_t i = number * count; i < (number + 1) * count; ++i) {
      if (i / length != pass) {
        pass = i / length;
        order = pass_of(k, pass);
      }
      const int64_t position = number * epoch_size_ + int64_t(rows.size());
      rows.push_back(first_row + accepted_row(part, order[size_t(i % length)], position));
    }
    first_row += part.rows;
  }
  if (parts_.size() > 1) {
    const auto order = permutation({seed_, uint64_t(number), Purpose::kMixture}, epoch_size_);
    std::vector<int64_t> mixed;
    mixed.reserve(rows.size());
    for (const int64_t i : order) mixed.push_back(rows[size_t(i)]);
    rows = std::move(mixed);
  }
  if (buckets_.bucket_of.empty()) return rows;
  const int64_t begun = number * epoch_size_ % buckets_.run;
  return gather_buckets(rows, buckets_, buckets_.run - begun);
}

namespace {

// The positions [first, last), all of one bucket, as a micro-batch.
MicroBatch micro_batch(const SampleOrder& order, const BatchPlan& plan, int64_t first, int64_t last) {
  MicroBatch batch{.step = first / plan.batch_size,
                   .share = double(last - first) / double(plan.batch_size),
                   .positions = std::vector<int64_t>(size_t(last - first)),
                   .rows = {}};
  std::iota(batch.positions.begin(), batch.positions.end(), first);
  for (const int64_t position : batch.positions) batch.rows.push_back(order.row(position));
  batch.bucket = order.bucket(batch.rows.front());
  return batch;
}

void add_one_by_one(const SampleOrder& order, const BatchPlan& plan, int64_t step,
                    std::vector<MicroBatch>& result) {
  PIXART_CHECK(plan.batch_size % plan.world_size == 0, "a batch of {} for {} ranks", plan.batch_size,
               plan.world_size);
  const int64_t own = plan.batch_size / plan.world_size, first = step * plan.batch_size + plan.rank * own;
  for (int64_t at = first; at < first + own; ++at) result.push_back(micro_batch(order, plan, at, at + 1));
}

void add_by_bucket(const SampleOrder& order, const BatchPlan& plan, int64_t step,
                   std::vector<MicroBatch>& result) {
  const int64_t end = (step + 1) * plan.batch_size;
  for (int64_t first = step * plan.batch_size; first < end;) {
    int64_t last = first + 1;
    const uint8_t bucket = order.bucket(order.row(first));
    while (last < end && order.bucket(order.row(last)) == bucket) ++last;
    const int64_t length = last - first, begin = first + length * plan.rank / plan.world_size,
                  stop = first + length * (plan.rank + 1) / plan.world_size;
    const int64_t most = plan.micro_batch_size > 0 ? plan.micro_batch_size : length;
    for (int64_t at = begin; at < stop; at += most)
      result.push_back(micro_batch(order, plan, at, std::min(at + most, stop)));
    first = last;
  }
}

}  // namespace

std::vector<MicroBatch> plan_step(const SampleOrder& order, const BatchPlan& plan, int64_t step) {
  PIXART_CHECK(plan.batch_size > 0 && plan.rank >= 0 && plan.rank < plan.world_size);
  std::vector<MicroBatch> result;
  if (plan.one_by_one)
    add_one_by_one(order, plan, step, result);
  else
    add_by_bucket(order, plan, step, result);
  for (size_t i = 0; i < result.size(); ++i) result[i].micro_step = int64_t(i);
  if (!result.empty()) result.back().is_last = true;
  return result;
}

}  // namespace pixart::data

#include "listed_order.h"

#include <algorithm>

#include "pixart/base/random.h"

namespace pixart::data {

namespace {

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

bool is_rejected(const OrderPart& part, int64_t row) {
  return std::binary_search(part.rejected.begin(), part.rejected.end(), row);
}

bool is_drawn(const OrderPart& part, int64_t row) { return !part.drawn || part.drawn->has(row); }

// The first accepted row with a weight, after `row`.
int64_t next_accepted(const OrderPart& part, int64_t row) {
  const auto next = next_in_ring(
      0, part.rows, row, [&](int64_t other) { return is_drawn(part, other) && !is_rejected(part, other); });
  if (!next) throw_nothing_kept();
  return *next;
}

}  // namespace

int64_t ListedOrder::row(int64_t position) const {
  const int64_t size = contents_.epoch_size;
  const auto epoch = epochs_.get(position / size, [this](int64_t number) { return make_epoch(number); });
  return (*epoch)[size_t(position % size)];
}

// Row for attempt 0, 1, ... to take the place of another one.
int64_t ListedOrder::draw(const OrderPart& part, int64_t position, uint64_t attempt) const {
  return stand_in(contents_.seed, position, part.rows, part.drawn.get(), attempt);
}

// Draws from all rows, so that further rejections leave most replacements as they are. If few rows are left,
// the last draw is from the accepted ones: the time does not grow with the rejected ones.
int64_t ListedOrder::accepted_row(const OrderPart& part, int64_t row, int64_t position) const {
  for (uint64_t attempt = 0; is_rejected(part, row); ++attempt) {
    if (attempt == kMostDraws && part.drawn) return next_accepted(part, row);
    if (attempt == kMostDraws)
      return nth_accepted(
          part.rejected.data(), int64_t(part.rejected.size()), 0,
          stand_in(contents_.seed, position, part.rows - int64_t(part.rejected.size()), attempt));
    row = draw(part, position, attempt);
  }
  return row;
}

// The first row that fits in a fixed sequence: some draws, then the rows after the last one. So a further
// exclusion changes only the places where its row would have been used.
std::optional<int64_t> ListedOrder::substitute(int64_t row, int64_t position,
                                               const std::function<bool(int64_t row)>& is_excluded) const {
  const auto [index, first_row] = contents_.part_of(row);
  const OrderPart& part = contents_.parts[index];
  const auto fits = [&, first_row = first_row](int64_t own) {
    return is_drawn(part, own) && !is_rejected(part, own) &&
           contents_.bucket(first_row + own) == contents_.bucket(row) && !is_excluded(first_row + own);
  };
  int64_t own = 0;
  for (uint64_t attempt = 0; attempt < kMostDraws; ++attempt)
    if (own = draw(part, position, attempt); fits(own)) return first_row + own;
  const auto next = next_in_ring(0, part.rows, own, fits);
  return next ? std::optional(first_row + *next) : std::nullopt;
}

// One of the endless stream of permutations of a part.
std::vector<int64_t> ListedOrder::pass_of(size_t k, int64_t number) const {
  const OrderPart& part = contents_.parts[k];
  const uint64_t seed = contents_.seed ^ uint64_t(k) << 48;
  auto order = permutation({seed, uint64_t(number), Purpose::kOrder}, part.per_pass());
  if (!part.drawn) return order;
  const auto rows = rows_of_pass(*part.drawn, {seed, uint64_t(number), Purpose::kWeightedPass});
  for (auto& row : order) row = rows[size_t(row)];
  return order;
}

std::vector<int64_t> ListedOrder::make_epoch(int64_t number) const {
  std::vector<int64_t> rows;
  rows.reserve(size_t(contents_.epoch_size));
  int64_t first_row = 0;
  for (size_t k = 0; k < contents_.parts.size(); ++k) {
    const auto& part = contents_.parts[k];
    // Sample i of the part's stream is element i % length of permutation i / length.
    const int64_t count = samples_per_epoch(part), length = part.per_pass();
    int64_t pass = -1;
    std::vector<int64_t> order;
    for (int64_t i = number * count; i < (number + 1) * count; ++i) {
      if (i / length != pass) {
        pass = i / length;
        order = pass_of(k, pass);
      }
      const int64_t position = number * contents_.epoch_size + int64_t(rows.size());
      rows.push_back(first_row + accepted_row(part, order[size_t(i % length)], position));
    }
    first_row += part.rows;
  }
  if (contents_.parts.size() > 1) {
    const auto order =
        permutation({contents_.seed, uint64_t(number), Purpose::kMixture}, contents_.epoch_size);
    std::vector<int64_t> mixed;
    mixed.reserve(rows.size());
    for (const int64_t i : order) mixed.push_back(rows[size_t(i)]);
    rows = std::move(mixed);
  }
  if (contents_.buckets.bucket_of.empty()) return rows;
  const int64_t begun = number * contents_.epoch_size % contents_.buckets.run;
  return gather_buckets(rows, contents_.buckets, contents_.buckets.run - begun);
}

}  // namespace pixart::data

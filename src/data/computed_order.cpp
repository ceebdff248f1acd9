#include "computed_order.h"

#include <algorithm>
#include <iterator>

#include "pixart/base/bijection.h"
#include "pixart/base/random.h"

namespace pixart::data {

namespace {

// Passes and epochs are far below 2^56.
uint64_t stream_of(size_t bucket, int64_t number) { return uint64_t(bucket) << 56 | uint64_t(number); }

}  // namespace

ComputedOrder::ComputedOrder(const OrderContents& contents) : contents_(contents) {
  int64_t first_row = 0;
  for (const auto& part : contents.parts) {
    const auto& all = contents.buckets.bucket_of;
    const std::span<const uint8_t> own = all.empty()
                                             ? std::span<const uint8_t>()
                                             : std::span(all).subspan(size_t(first_row), size_t(part.rows));
    groups_.emplace_back(part, own);
    first_row_.push_back(first_row);
    first_row += part.rows;
  }
}

RandomKey ComputedOrder::pass_key(size_t part, int64_t pass) const {
  return {seed_of(part), uint64_t(pass), Purpose::kWeightedPass};
}

void ComputedOrder::add_part(size_t part, int64_t number, Epoch& epoch) const {
  const int64_t count = samples_per_epoch(contents_.parts[part]), length = contents_.parts[part].per_pass();
  const int64_t end = (number + 1) * count;
  for (int64_t i = number * count; i < end;) {
    const int64_t pass = i / length, from = i % length, to = std::min(length, from + end - i);
    const auto samples = groups_[part].samples_of_pass(pass_key(part, pass));
    const auto skipped = evenly_taken(samples, from), taken = evenly_taken(samples, to);
    epoch.stretches.resize(samples.size());
    epoch.samples.resize(samples.size());
    for (size_t bucket = 0; bucket < samples.size(); ++bucket) {
      if (taken[bucket] == skipped[bucket]) continue;
      epoch.stretches[bucket].push_back({part, pass, skipped[bucket], epoch.samples[bucket]});
      epoch.samples[bucket] += taken[bucket] - skipped[bucket];
    }
    i += to - from;
  }
}

ComputedOrder::Epoch ComputedOrder::make_epoch(int64_t number) const {
  Epoch epoch;
  for (size_t part = 0; part < groups_.size(); ++part) add_part(part, number, epoch);
  const OrderBuckets& buckets = contents_.buckets;
  if (!buckets.bucket_of.empty())
    epoch.runs.emplace(BucketRuns::Config{.samples = epoch.samples,
                                          .run = buckets.run,
                                          .begun = number * contents_.epoch_size % buckets.run,
                                          .seed = contents_.seed,
                                          .epoch = number});
  return epoch;
}

int64_t ComputedOrder::slot_at(const Stretch& stretch, size_t bucket, int64_t index) const {
  const GroupedRows& rows = groups_[stretch.part];
  const RandomKey pass = pass_key(stretch.part, stretch.pass),
                  order{seed_of(stretch.part), stream_of(bucket, stretch.pass), Purpose::kPassOrder};
  const int64_t first = rows.first_sample(bucket, pass),
                samples = rows.first_sample(bucket + 1, pass) - first;
  return rows.slot_of_sample(first + shuffled(order, samples, stretch.skipped + index - stretch.before),
                             pass);
}

int64_t ComputedOrder::row(int64_t position) const {
  const int64_t number = position / contents_.epoch_size, offset = position % contents_.epoch_size;
  const auto epoch = epochs_.get(number, [this](int64_t n) { return make_epoch(n); });
  const auto place = epoch->runs ? epoch->runs->at(offset) : BucketRuns::Place{0, offset};
  int64_t index = place.index;
  if (groups_.size() > 1)
    index = shuffled({contents_.seed, stream_of(place.bucket, number), Purpose::kEpochOrder},
                     epoch->samples[place.bucket], index);
  const auto& stretches = epoch->stretches[place.bucket];
  const Stretch& stretch =
      *std::prev(std::upper_bound(stretches.begin(), stretches.end(), index,
                                  [](int64_t value, const Stretch& other) { return value < other.before; }));
  const GroupedRows& rows = groups_[stretch.part];
  const int64_t slot =
      rows.accepted(place.bucket, slot_at(stretch, place.bucket, index), contents_.seed, position);
  return first_row_[stretch.part] + rows.row(slot);
}

std::optional<int64_t> ComputedOrder::substitute(int64_t row, int64_t position,
                                                 const std::function<bool(int64_t row)>& is_excluded) const {
  const auto [part, first_row] = contents_.part_of(row);
  const GroupedRows& rows = groups_[part];
  const auto slot = rows.substitute(
      contents_.bucket(row), contents_.seed, position,
      [&, first_row = first_row](int64_t other) { return is_excluded(first_row + rows.row(other)); });
  return slot ? std::optional(first_row + rows.row(*slot)) : std::nullopt;
}

}  // namespace pixart::data

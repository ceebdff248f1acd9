#include "pixart/data/order.h"

#include <algorithm>
#include <numeric>
#include <variant>

#include "computed_order.h"
#include "listed_order.h"
#include "order_parts.h"
#include "pixart/base/error.h"
#include "pixart/base/random.h"

namespace pixart::data {

int64_t stand_in(uint64_t seed, int64_t position, int64_t rows, uint64_t attempt) {
  return int64_t(uniform_below({seed, uint64_t(position), Purpose::kStandIn}, uint64_t(rows), attempt));
}

int64_t stand_in(uint64_t seed, int64_t position, int64_t rows, const DrawnRows* drawn, uint64_t attempt) {
  if (drawn == nullptr) return stand_in(seed, position, rows, attempt);
  return drawn->at(uint64_t(stand_in(seed, position, int64_t(drawn->total()), attempt)));
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

namespace {

OrderContents checked(uint64_t seed, std::vector<OrderPart> parts, OrderBuckets buckets) {
  OrderContents result{.seed = seed, .parts = std::move(parts), .buckets = std::move(buckets)};
  for (const auto& part : result.parts) {
    PIXART_CHECK(part.rows > int64_t(part.rejected.size()) && part.passes > 0,
                 "{} rows, {} rejected, {} passes", part.rows, part.rejected.size(), part.passes);
    PIXART_CHECK(!part.drawn || (int64_t(part.drawn->up_to.size()) == part.rows && part.per_pass() > 0),
                 "weights of other rows");
    result.num_rows += part.rows;
    result.epoch_size += samples_per_epoch(part);
  }
  const auto& bucket_of = result.buckets.bucket_of;
  PIXART_CHECK(result.epoch_size > 0 && result.buckets.run > 0);
  PIXART_CHECK(bucket_of.empty() || int64_t(bucket_of.size()) == result.num_rows, "{} buckets for {} rows",
               bucket_of.size(), result.num_rows);
  return result;
}

}  // namespace

struct SampleOrder::State {
  State(OrderContents of, std::shared_ptr<const ExcludedRows> without, OrderVersion version)
      : contents(std::move(of)), excluded(std::move(without)) {
    if (version == OrderVersion::kComputed) order.emplace<ComputedOrder>(contents);
  }
  bool is_excluded(int64_t row, int64_t position) const {
    return excluded != nullptr && excluded->has(row, position);
  }

  OrderContents contents;
  std::shared_ptr<const ExcludedRows> excluded;
  std::variant<ListedOrder, ComputedOrder> order{std::in_place_type<ListedOrder>, contents};
};

SampleOrder::SampleOrder(uint64_t seed, std::vector<OrderPart> parts, OrderBuckets buckets,
                         std::shared_ptr<const ExcludedRows> excluded, OrderVersion version)
    : state_(std::make_unique<const State>(checked(seed, std::move(parts), std::move(buckets)),
                                           std::move(excluded), version)) {}
SampleOrder::~SampleOrder() = default;

int64_t SampleOrder::epoch_size() const { return state_->contents.epoch_size; }
int64_t SampleOrder::num_rows() const { return state_->contents.num_rows; }
uint8_t SampleOrder::bucket(int64_t row) const { return state_->contents.bucket(row); }

int64_t SampleOrder::row(int64_t position) const {
  PIXART_CHECK(position >= 0, "position {}", position);
  const auto find = [&](const auto& order) {
    const int64_t planned = order.row(position);
    if (!state_->is_excluded(planned, position)) return std::optional(planned);
    return order.substitute(planned, position,
                            [&](int64_t row) { return state_->is_excluded(row, position); });
  };
  if (const auto row = std::visit(find, state_->order)) return *row;
  throw UserError(
      fmt::format("position {}: every sample that could be used here is left out, because its steps were bad "
                  "or the stage's `exclude` names it. Lower optimizer.lr, or look at the data.",
                  position),
      ExitCode::kNumerics);
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
    const int64_t limit = plan.most_of(bucket), most = limit > 0 ? limit : length;
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

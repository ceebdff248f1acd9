#include "pixart/data/loader.h"

#include <gmock/gmock.h>

#include <any>
#include <atomic>
#include <thread>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/random.h"

namespace pixart::data {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

using Order = std::shared_ptr<const data::SampleOrder>;

Order plain_order(int64_t rows) {
  return std::make_shared<data::SampleOrder>(
      5, std::vector<data::OrderPart>{{.rows = rows, .rejected = {2, 3, 17}}});
}

Batch echo(const data::MicroBatch& plan) { return {.plan = plan}; }

// "step micro_step: positions" of the next micro-batches, "end" where a step ends.
std::vector<std::string> lines_of(Loader& loader, int count) {
  std::vector<std::string> lines;
  for (int i = 0; i < count; ++i) {
    const auto batch = loader.next();
    lines.push_back(batch
                        ? fmt::format("{} {}: {} = {}", batch->plan.step, batch->plan.micro_step,
                                      fmt::join(batch->plan.positions, ","), fmt::join(batch->plan.rows, ","))
                        : "end");
  }
  return lines;
}

TEST(Loader, EachBatchIsPreparedInTheThreadThatReadIt) {
  for (const int64_t threads : {0, 3}) {
    Loader loader(plain_order(64), {.batch_size = 8, .micro_batch_size = 4}, {.threads = threads},
                  [](const auto& plan) { return Batch{.plan = plan, .inputs = std::this_thread::get_id()}; });
    loader.prepare_with([](Batch& batch) {
      EXPECT_EQ(std::any_cast<std::thread::id>(batch.inputs), std::this_thread::get_id());
      batch.inputs = std::pair{std::this_thread::get_id(), batch.plan.positions.front()};
    });
    loader.start(0);
    for (int i = 0; i < 12; ++i) {
      const auto batch = loader.next();
      if (!batch) continue;
      const auto& [thread, position] =
          std::any_cast<const std::pair<std::thread::id, int64_t>&>(batch->inputs);
      EXPECT_EQ(thread == std::this_thread::get_id(), threads == 0);
      EXPECT_EQ(position, batch->plan.positions.front());
    }
  }
}

TEST(Loader, DeliversTheSameWhateverThreadsAndDepth) {
  const data::BatchPlan plan{.batch_size = 7, .micro_batch_size = 3};
  Loader reference(plain_order(50), plan, {.threads = 0}, echo);
  reference.start(0);
  const auto expected = lines_of(reference, 80);
  EXPECT_EQ(expected[3], "end");
  EXPECT_EQ(expected[79], "end");
  EXPECT_EQ(expected[4].substr(0, 12), "1 0: 7,8,9 =");
  for (const int threads : {0, 1, 3})
    for (const int64_t depth : {1, 2, 5, 100}) {
      std::atomic<uint64_t> asked = 0;
      // Work of very different length, so that results are ready in another order.
      const auto uneven = [&](const data::MicroBatch& batch) {
        const double until = monotonic_seconds() + 1e-3 * uniform({1, asked.fetch_add(1), Purpose::kTest});
        while (monotonic_seconds() < until) continue;
        return echo(batch);
      };
      Loader loader(plain_order(50), plan, {.threads = threads, .depth = depth}, uneven);
      loader.start(0);
      EXPECT_EQ(lines_of(loader, 80), expected) << threads << " threads, depth " << depth;
      for (const int64_t step : {11, 3, 0}) {  // anywhere, also backwards
        loader.start(step);
        EXPECT_THAT(lines_of(loader, 12),
                    ElementsAreArray(expected.begin() + 4 * step, expected.begin() + 4 * step + 12));
      }
    }
}

TEST(Loader, ARankWithoutSamplesHasEmptySteps) {
  Loader loader(plain_order(50), {.batch_size = 1, .rank = 1, .world_size = 2}, {.threads = 1}, echo);
  loader.start(0);
  EXPECT_EQ(lines_of(loader, 2)[0], "0 0: 0 = " + std::to_string(plain_order(50)->row(0)));
  Loader other(plain_order(50), {.batch_size = 1, .rank = 0, .world_size = 2}, {.threads = 1}, echo);
  other.start(0);
  EXPECT_THAT(lines_of(other, 3), ElementsAre("end", "end", "end"));
}

TEST(Loader, ReadsNoFurtherAheadThanItsDepth) {
  for (const int64_t depth : {2, 4}) {
    std::atomic<int64_t> begun = 0;
    Loader loader(plain_order(50), {.batch_size = 1}, {.threads = 2, .depth = depth},
                  [&](const data::MicroBatch& plan) {
                    ++begun;
                    return echo(plan);
                  });
    loader.start(0);
    for (int64_t taken = 1; taken < 30; ++taken) {
      loader.next();
      EXPECT_LE(begun, taken + depth);
    }
  }
}

TEST(Loader, AnErrorIsDeliveredAtItsPlace) {
  for (const int threads : {0, 1, 3}) {
    Loader loader(plain_order(50), {.batch_size = 6, .micro_batch_size = 2},
                  {.threads = threads, .depth = 20}, [](const data::MicroBatch& plan) {
                    if (plan.step == 2 && plan.micro_step == 1) throw UserError("the disk is gone");
                    return echo(plan);
                  });
    loader.start(0);
    for (int i = 0; i < 8; ++i) EXPECT_EQ(bool(loader.next()), i % 4 != 3);
    EXPECT_EQ(loader.next()->plan.micro_step, 0);
    EXPECT_THROW(loader.next(), UserError);
    EXPECT_EQ(loader.next()->plan.micro_step, 2);  // what follows is as it was
    loader.start(2);
    EXPECT_TRUE(loader.next());
    EXPECT_THROW(loader.next(), UserError);
  }
}

TEST(Loader, WaitNamesSecondsByPart) {
  constexpr double kSeconds = 2e-3;
  Loader loader(
      plain_order(50), {.batch_size = 2}, {.threads = 0},
      [](const data::MicroBatch& plan) {
        const double until = monotonic_seconds() + kSeconds;
        while (monotonic_seconds() < until) continue;
        Batch batch = echo(plan);
        batch.read_seconds = plan.step == 0 ? std::vector<double>{0.25, 0.5} : std::vector<double>{0, 0, 4};
        return batch;
      },
      {"near", "far", "slow"});
  EXPECT_THAT(loader.part_names(), ElementsAre("near", "far", "slow"));
  loader.start(0);
  for (int i = 0; i < 4; ++i) loader.next();
  const auto wait = loader.take_wait();
  EXPECT_GE(wait.seconds, 2 * kSeconds);
  EXPECT_THAT(wait.read_seconds, ElementsAre(0.25, 0.5, 4));
  EXPECT_EQ(loader.take_wait().seconds, 0);
  EXPECT_THAT(loader.take_wait().read_seconds, IsEmpty());
  loader.start(1);
  loader.next();
  EXPECT_GE(loader.take_wait().seconds, kSeconds);  // not that of the former start, twice or less
}

TEST(Loader, MustBeStarted) {
  Loader loader(plain_order(50), {.batch_size = 2}, {.threads = 2}, echo);
  EXPECT_THROW(loader.next(), InternalError);
}

// Rows of steps [first, last) by place, all ranks together.
void collect(const Order& order, int64_t batch, int64_t ranks, int threads, int64_t first, int64_t last,
             std::vector<int64_t>& rows) {
  rows.assign(size_t((last - first) * batch), -1);
  for (int64_t rank = 0; rank < ranks; ++rank) {
    Loader loader(order, {.batch_size = batch, .rank = rank, .world_size = ranks},
                  {.threads = threads, .depth = 8}, echo);
    loader.start(first);
    for (int64_t step = first; step < last; ++step)
      while (const auto part = loader.next())
        for (size_t i = 0; i < part->plan.rows.size(); ++i)
          rows[size_t(part->plan.positions[i] - first * batch)] = part->plan.rows[i];
  }
}

// 100,000 samples: the same order for any number of processes and reading threads, and from any step on.
TEST(Loader, TheOrderIsTheSameForWorldSizesThreadsAndAfterResuming) {
  constexpr int64_t kRows = 100000, kBatch = 100, kSteps = kRows / kBatch, kResumed = 3;
  const auto make_order = [] {
    return std::make_shared<data::SampleOrder>(
        11, std::vector<data::OrderPart>{{.rows = kRows, .rejected = {5, 77, 4000}}});
  };
  const Order order = make_order();
  std::vector<int64_t> expected, rows;
  for (int64_t i = 0; i < kRows; ++i) expected.push_back(order->row(i));
  for (const int64_t ranks : {1, 2, 4, 7}) {
    for (const int threads : {0, 1, 3}) {
      collect(order, kBatch, ranks, threads, 0, kSteps, rows);
      EXPECT_TRUE(rows == expected) << ranks << " ranks, " << threads << " threads";
    }
  }
  for (const int threads : {0, 1, 3}) {
    for (uint64_t i = 0; i < 20; ++i) {
      const int64_t step = int64_t(uniform_below({3, i, Purpose::kTest}, kSteps - kResumed));
      collect(order, kBatch, std::array{1, 2, 4, 7}[i % 4], threads, step, step + kResumed, rows);
      EXPECT_THAT(rows, ElementsAreArray(expected.begin() + step * kBatch,
                                         expected.begin() + (step + kResumed) * kBatch))
          << "from step " << step << ", " << threads << " threads";
    }
  }
  collect(make_order(), kBatch, 2, 1, kSteps / 2, kSteps / 2 + kResumed, rows);  // a new process
  EXPECT_THAT(rows, ElementsAreArray(expected.begin() + kSteps / 2 * kBatch,
                                     expected.begin() + (kSteps / 2 + kResumed) * kBatch));
}

}  // namespace
}  // namespace pixart::data

// The order of samples of a large source in aspect buckets: the computed version against the listed one, in the time
// that a new process needs to find the samples of a step, and in memory.
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "benchmarks.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/data/order.h"
#include "rival.h"

namespace pixart::bench {

namespace {

struct OrderArguments {
  int64_t rows = 50'000'000, rival_rows = 2'000'000, batch = 1024;
  int places = 100, rival_places = 5;
};

constexpr uint64_t kBuckets = 40;

// Some buckets hold many rows and some few, as shapes of images do.
std::vector<uint8_t> some_buckets(int64_t rows) {
  std::vector<uint8_t> result;
  result.reserve(size_t(rows));
  for (int64_t row = 0; row < rows; ++row) {
    const double u = uniform({1, uint64_t(row), Purpose::kTest});
    result.push_back(uint8_t(double(kBuckets) * u * u));
  }
  return result;
}

int64_t used_bytes() {
  const auto info = ::mallinfo2();
  return int64_t(info.uordblks + info.hblkhd);
}

// Makes the order, and finds the samples of steps in epochs far apart, so that nothing is known of them before.
nlohmann::ordered_json measure(data::OrderVersion version, int64_t rows, int places, int64_t batch) {
  const int64_t before = used_bytes();
  data::OrderBuckets buckets{.bucket_of = some_buckets(rows), .run = batch};
  const double begun = monotonic_seconds();
  const data::SampleOrder order(7, {{.rows = rows}}, std::move(buckets), nullptr, version);
  const double made = monotonic_seconds() - begun;
  std::vector<double> seconds;
  int64_t most = used_bytes(), whole = 0;
  for (uint64_t i = 0; i < uint64_t(places); ++i) {
    const auto step = int64_t(uniform_below({2, i, Purpose::kTest}, uint64_t(100 * rows / batch)));
    const double asked = monotonic_seconds();
    whole += data::plan_step(order, {.batch_size = batch}, step).size() == 1 ? 1 : 0;
    seconds.push_back(monotonic_seconds() - asked);
    most = std::max(most, used_bytes());
  }
  return {{"rows", rows},
          {"places", places},
          {"seconds_to_make", made},
          {"seconds_of_a_place", spread(std::move(seconds))},
          {"bytes", most - before},
          {"bytes_of_a_row", double(most - before) / double(rows)},
          {"steps_of_one_bucket", whole}};
}

void bench(const OrderArguments& arguments) {
  use_one_core();
  const auto computed =
      measure(data::OrderVersion::kComputed, arguments.rows, arguments.places, arguments.batch);
  const auto listed =
      measure(data::OrderVersion::kListed, arguments.rival_rows, arguments.rival_places, arguments.batch);
  const nlohmann::ordered_json result = {{"benchmark", "order"}, {"conditions", conditions()},
                                         {"buckets", kBuckets},  {"batch", arguments.batch},
                                         {"computed", computed}, {"listed", listed}};
  std::printf("%s\n", result.dump(1).c_str());
}

}  // namespace

void add_order(CLI::App& app) {
  auto arguments = std::make_shared<OrderArguments>();
  auto* command = app.add_subcommand(
      "order",
      "Samples of steps at places of a large order, in forty aspect buckets: version 2, which computes "
      "them, against version 1, which lists an epoch; one core, seconds and bytes.");
  command->add_option("--rows", arguments->rows)
      ->check(CLI::Range(int64_t{1000}, int64_t{4'000'000'000}))
      ->capture_default_str();
  command
      ->add_option("--rival-rows", arguments->rival_rows, "rows of version 1; fewer, because it lists them")
      ->check(CLI::Range(int64_t{1000}, int64_t{1'000'000'000}))
      ->capture_default_str();
  command->add_option("--places", arguments->places)->check(CLI::Range(1, 100'000))->capture_default_str();
  command->add_option("--rival-places", arguments->rival_places)
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--batch", arguments->batch)
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}))
      ->capture_default_str();
  command->footer("Example:\n  pixart_bench order --rows 50000000");
  command->callback([arguments] { bench(*arguments); });
}

}  // namespace pixart::bench

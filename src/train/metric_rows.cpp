#include "metric_rows.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/distributed/agreement.h"

namespace pixart::train {

namespace {

constexpr size_t kHashDigits = 64;

}  // namespace

std::vector<int64_t> MetricGroups::of_rank(int rank, int world_size) const {
  std::vector<int64_t> own;
  for (int64_t group = rank; group < count(); group += world_size) own.push_back(group);
  return own;
}

// Large enough to keep a GPU busy, small enough that many ranks have work and large images fit into memory.
MetricGroups metric_groups(int64_t images, int64_t resolution) {
  constexpr int64_t kLargest = 16, kLargestOfLarge = 4, kLargeSide = 768, kRanks = 64;
  const int64_t most = resolution < kLargeSide ? kLargest : kLargestOfLarge;
  return {.images = images, .size = std::clamp<int64_t>(images / kRanks, 1, most)};
}

std::optional<score::DrawnRows> rows_together(const MetricGroups& groups, int64_t width, const MakeRows& make,
                                              distributed::Communicator& ranks, const std::string& phase,
                                              const std::function<bool()>& asked_to_stop) {
  const int64_t world = ranks.world_size(), turns = (groups.count() + world - 1) / world;
  at::Tensor own = at::zeros({turns * groups.size, width}, at::kFloat);
  std::string hashes;
  const auto make_own = [&](const std::function<bool()>& asked) {
    int64_t at = 0;
    for (const int64_t group : groups.of_rank(ranks.rank(), ranks.world_size())) {
      if (asked()) return;
      const auto made = make(groups.first(group), groups.size_of(group), asked);
      if (asked()) return;
      PIXART_CHECK(made.rows.size(0) == groups.size_of(group) && made.rows.size(1) == width);
      own.narrow(0, at, made.rows.size(0)).copy_(made.rows);
      for (const auto& hash : made.hashes) hashes += hash;
      at += groups.size;
    }
  };
  if (distributed::together_until(ranks, phase, asked_to_stop, make_own)) return std::nullopt;
  at::Tensor all = at::empty({world * own.numel()}, at::kFloat);
  ranks.all_gather(own.view({-1}), all, phase);
  all = all.view({world, turns * groups.size, width});
  auto texts = distributed::gather_strings(ranks, hashes, phase);
  score::DrawnRows result{.rows = at::empty({groups.images, width}, at::kFloat)};
  for (int64_t group = 0; group < groups.count(); ++group) {
    const int64_t count = groups.size_of(group), turn = group / world;
    result.rows.narrow(0, groups.first(group), count)
        .copy_(all[group % world].narrow(0, turn * groups.size, count));
    for (int64_t i = 0; i < count; ++i)
      result.hashes.push_back(
          texts[size_t(group % world)].substr(size_t(turn * groups.size + i) * kHashDigits, kHashDigits));
  }
  return result;
}

}  // namespace pixart::train

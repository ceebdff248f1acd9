// The work of a metric, shared by the ranks: each draws and embeds its images, and all get the rows of all.
#pragma once
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pixart/distributed/communicator.h"
#include "pixart/score/drawn_scores.h"

namespace pixart::train {

// Images are drawn and embedded in groups, whose size depends on nothing but the number of images and their
// size. So every number of ranks gives the same rows.
struct MetricGroups {
  int64_t images = 0, size = 1;

  int64_t count() const { return (images + size - 1) / size; }
  int64_t first(int64_t group) const { return group * size; }
  int64_t size_of(int64_t group) const { return std::min(size, images - first(group)); }
  // The groups of a rank, which take turns.
  std::vector<int64_t> of_rank(int rank, int world_size) const;
};
MetricGroups metric_groups(int64_t images, int64_t resolution);

// Draws and embeds images first ... first + count - 1. Calls its last argument between pieces of work; if that
// returns true, a stop was requested and the result does not matter.
using MakeRows =
    std::function<score::DrawnRows(int64_t first, int64_t count, const std::function<bool()>& asked_to_stop)>;

// The rows of all images in order, `width` numbers each, on all ranks; nothing if a rank was asked to stop
// meanwhile. All ranks call it together. `asked_to_stop` is called on all ranks after each piece of work.
std::optional<score::DrawnRows> rows_together(const MetricGroups& groups, int64_t width, const MakeRows& make,
                                              distributed::Communicator& ranks, const std::string& phase,
                                              const std::function<bool()>& asked_to_stop);

}  // namespace pixart::train

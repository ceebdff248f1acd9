// The loss on held-out samples while training: fixed samples, fixed noise, fixed timesteps, so that its curve
// is smooth and comparable between runs.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "pixart/dist/communicator.h"
#include "pixart/train/batch.h"
#include "pixart/train/objective.h"

namespace pixart::train {

struct HeldOut {
  std::function<Batch(const data::MicroBatch&)> read;
  std::vector<int64_t> rows;
};

// `count` of [0, size) without `rejected` (rising), evenly spread; all if there are fewer.
std::vector<int64_t> evenly_spread_rows(int64_t size, const std::vector<int64_t>& rejected, int64_t count);

// Mean losses over the held-out samples, one per timestep. The ranks share the samples; each is computed
// alone, so the numbers are the same to the bit for every number of ranks. On all ranks together, as is
// `asked_to_stop`, which is called before each turn of the ranks: true on all ends it without a result.
std::vector<double> held_out_losses(
    Objective& objective, const HeldOut& held_out, dist::Communicator& ranks, const std::string& phase,
    const std::function<bool()>& asked_to_stop = [] { return false; });

// For events.jsonl: "<name>" and, of several timesteps, "<name>_t0" ...
void add_held_out(std::map<std::string, double>& line, const std::string& name,
                  const std::vector<double>& losses);

}  // namespace pixart::train

// Measures the loss on held-out samples during training, with fixed samples, noise and timesteps, so that its
// curve is smooth and comparable between runs.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "pixart/data/batch.h"
#include "pixart/distributed/communicator.h"
#include "pixart/train/objective.h"

namespace pixart::train {

struct HeldOut {
  std::function<data::Batch(const data::MicroBatch&)> read;
  std::vector<int64_t> rows;
};

// Chooses `count` rows, evenly spread over [0, size) without `rejected` (sorted); all of them if there are
// fewer.
std::vector<int64_t> evenly_spread_rows(int64_t size, const std::vector<int64_t>& rejected, int64_t count);

// Mean losses over the held-out samples, one per timestep. The ranks share the samples; each sample is
// computed alone, so the losses are the same to the bit for every number of ranks. All ranks call it
// together. `asked_to_stop` is called on all ranks before each round of samples; true on all ranks ends it
// without a result.
std::vector<double> held_out_losses(
    Objective& objective, const HeldOut& held_out, distributed::Communicator& ranks, const std::string& phase,
    const std::function<bool()>& asked_to_stop = [] { return false; });

// Adds "<name>" and, with several timesteps, "<name>_t0" ... to a line of events.jsonl.
void add_held_out(std::map<std::string, double>& line, const std::string& name,
                  const std::vector<double>& losses);

}  // namespace pixart::train

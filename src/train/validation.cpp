#include "validation.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "pixart/base/error.h"

namespace pixart::train {

std::vector<int64_t> evenly_spread_rows(int64_t size, const std::vector<int64_t>& rejected, int64_t count) {
  std::vector<int64_t> good;
  for (int64_t row = 0; row < size; ++row)
    if (!std::binary_search(rejected.begin(), rejected.end(), row)) good.push_back(row);
  const auto total = int64_t(good.size());
  if (total <= count) return good;
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < count; ++i) rows.push_back(good[size_t(i * total / count)]);
  return rows;
}

std::vector<double> held_out_losses(Objective& objective, const HeldOut& held_out,
                                    distributed::Communicator& ranks, const std::string& phase,
                                    const std::function<bool()>& asked_to_stop) {
  const at::NoGradGuard no_grad;
  const auto count = int64_t(held_out.rows.size()), world = int64_t(ranks.world_size());
  PIXART_CHECK(count > 0, "no held-out samples");
  const int64_t turns = (count + world - 1) / world;
  at::Tensor own;  // [turns, T]
  for (int64_t turn = 0; turn < turns; ++turn) {
    if (asked_to_stop()) return {};
    // A rank beyond the last sample computes the last one again, so that all have the same number of rows.
    const int64_t row = held_out.rows[size_t(std::min(turn * world + ranks.rank(), count - 1))];
    const data::Batch sample = held_out.read({.positions = {row}, .rows = {row}});
    at::Tensor losses = objective.held_out_losses(sample);
    PIXART_CHECK(losses.defined(), "an objective without losses of held-out samples");
    losses = losses.to(at::kCPU, at::kDouble);
    if (!own.defined()) own = at::empty({turns, losses.numel()}, at::kDouble);
    own[turn].copy_(losses);
  }
  const int64_t timesteps = own.size(1);
  at::Tensor all = at::empty({world * own.numel()}, at::kDouble);
  ranks.all_gather(own.view({-1}), all, phase);
  const at::Tensor by_sample = all.view({world, turns, timesteps}).transpose(0, 1).reshape({-1, timesteps});
  std::vector<double> means(static_cast<size_t>(timesteps));
  const auto values = by_sample.accessor<double, 2>();
  for (int64_t i = 0; i < count; ++i)
    for (int64_t k = 0; k < timesteps; ++k) means[size_t(k)] += values[i][k];
  for (double& mean : means) mean /= double(count);
  return means;
}

void add_held_out(std::map<std::string, double>& line, const std::string& name,
                  const std::vector<double>& losses) {
  line[name] = std::accumulate(losses.begin(), losses.end(), 0.0) / double(losses.size());
  if (losses.size() < 2) return;
  for (size_t k = 0; k < losses.size(); ++k) line[fmt::format("{}_t{}", name, k)] = losses[k];
}

}  // namespace pixart::train

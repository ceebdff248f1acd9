#include "pixart/diffusion/timestep_sampler.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>

#include "pixart/base/error.h"

namespace pixart::diffusion {

std::vector<double> uniform_timestep_weights(int64_t num_timesteps) {
  PIXART_CHECK(num_timesteps > 0, "{} timesteps", num_timesteps);
  return std::vector<double>(size_t(num_timesteps), 1.0);
}

std::vector<double> second_moment_timestep_weights(int64_t num_timesteps, int64_t history,
                                                   double uniform_prob, std::span<const int64_t> seen_t,
                                                   std::span<const double> seen_loss) {
  PIXART_CHECK(history > 0, "a history of {} losses", history);
  PIXART_CHECK(seen_t.size() == seen_loss.size(), "{} timesteps, {} losses", seen_t.size(), seen_loss.size());
  auto weights = uniform_timestep_weights(num_timesteps);
  std::vector<std::deque<double>> losses(weights.size());
  for (size_t i = 0; i < seen_t.size(); ++i) {
    PIXART_CHECK(seen_t[i] >= 0 && seen_t[i] < num_timesteps, "timestep {} of {}", seen_t[i], num_timesteps);
    auto& kept = losses[size_t(seen_t[i])];
    kept.push_back(seen_loss[i]);
    if (int64_t(kept.size()) > history) kept.pop_front();
  }
  const auto is_full = [&](const auto& kept) { return int64_t(kept.size()) == history; };
  if (!std::all_of(losses.begin(), losses.end(), is_full)) return weights;

  for (size_t t = 0; t < losses.size(); ++t) {
    const double sum = std::inner_product(losses[t].begin(), losses[t].end(), losses[t].begin(), 0.0);
    weights[t] = std::sqrt(sum / double(history));
  }
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (total == 0) return uniform_timestep_weights(num_timesteps);
  for (double& weight : weights)
    weight = weight / total * (1 - uniform_prob) + uniform_prob / double(num_timesteps);
  return weights;
}

WeightedTimestep draw_timestep(std::span<const double> weights, double u) {
  PIXART_CHECK(!weights.empty(), "no timestep to draw from");
  PIXART_CHECK(u >= 0 && u < 1, "a uniform draw of {}", u);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  PIXART_CHECK(std::isfinite(total) && total > 0, "timestep weights that sum to {}", total);
  size_t t = 0;
  // The last timestep gets the part of the cumulative sum that rounding leaves below 1.
  for (double cumulative = weights[0] / total; cumulative <= u && t + 1 < weights.size(); ++t) {
    cumulative += weights[t + 1] / total;
  }
  return {.t = int64_t(t), .importance = float(1 / (double(weights.size()) * (weights[t] / total)))};
}

namespace {

// A share that rounds to 1 belongs to the last timestep.
int64_t timestep_at(double share, int64_t num_timesteps) {
  return std::clamp(int64_t(std::floor(share * double(num_timesteps))), int64_t{0}, num_timesteps - 1);
}

}  // namespace

int64_t logit_normal_timestep(double normal, double mean, double std, int64_t num_timesteps) {
  return timestep_at(1 / (1 + std::exp(-(mean + std * normal))), num_timesteps);
}

int64_t stratified_timestep(int64_t stratum, int64_t num_strata, double u, int64_t num_timesteps) {
  PIXART_CHECK(stratum >= 0 && stratum < num_strata, "part {} of {}", stratum, num_strata);
  return timestep_at((double(stratum) + u) / double(num_strata), num_timesteps);
}

}  // namespace pixart::diffusion

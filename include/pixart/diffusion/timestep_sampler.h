// Draws timesteps for training (those with weights: PixArt-alpha diffusion/model/timestep_sampler.py).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace pixart::diffusion {

struct WeightedTimestep {
  int64_t t;
  float importance;  // loss weight 1 / (num_timesteps * p_t)
};

// Uniform weights over all timesteps.
std::vector<double> uniform_timestep_weights(int64_t num_timesteps);

// Root mean square of the last `history` losses of each timestep, mixed with uniform_prob; uniform until
// every timestep has `history` losses. `seen_t`, `seen_loss`: all losses so far, in order.
std::vector<double> second_moment_timestep_weights(int64_t num_timesteps, int64_t history,
                                                   double uniform_prob, std::span<const int64_t> seen_t,
                                                   std::span<const double> seen_loss);

// t = the number of cumulative probabilities that are <= u, u in [0, 1).
WeightedTimestep draw_timestep(std::span<const double> weights, double u);

// The timestep at the share sigmoid(mean + std normal) of all timesteps; `normal` is of N(0, 1).
int64_t logit_normal_timestep(double normal, double mean, double std, int64_t num_timesteps);

// The timestep at the share (stratum + u) / num_strata, u in [0, 1).
int64_t stratified_timestep(int64_t stratum, int64_t num_strata, double u, int64_t num_timesteps);

}  // namespace pixart::diffusion

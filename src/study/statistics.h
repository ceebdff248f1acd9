// The statistics of studies.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace pixart::study {

// wins(i, j): how often i was better than j; ties count half for both.
struct Games {
  explicit Games(size_t count) : models(count), wins(count * count) {}
  double& at(size_t i, size_t j) { return wins[i * models + j]; }
  double at(size_t i, size_t j) const { return wins[i * models + j]; }
  size_t models;
  std::vector<double> wins;
};

// Natural logarithms of the Bradley-Terry strengths, with mean 0: P(i beats j) = 1 / (1 + exp(s_j - s_i)). By the
// MM algorithm (Hunter 2004), with a tenth of a tied game of each model against one of strength 0.
std::vector<double> bradley_terry(const Games& games);

enum class Metric { kNominal, kOrdinal, kInterval };
// Krippendorff's alpha. units[u]: the values that different people gave to unit u; units with fewer than two are passed
// over. Nothing, if no unit is left or all values are equal.
std::optional<double> krippendorff_alpha(const std::vector<std::vector<double>>& units, Metric metric);

// The probability of at least `passed` successes in `count` tries.
double binomial_tail(int64_t count, int64_t passed, double probability);

// The value below which a share of the values is, by linear interpolation.
double quantile(std::vector<double> values, double share);

}  // namespace pixart::study

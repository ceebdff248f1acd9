#include "statistics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "pixart/base/error.h"

namespace pixart::study {
namespace {

constexpr double kVirtualGame = 0.1;  // see bradley_terry()

// One step of the MM algorithm; returns the largest relative change.
double improve(const Games& games, std::vector<double>& strength) {
  double change = 0;
  for (size_t i = 0; i < games.models; ++i) {
    double won = kVirtualGame / 2, expected = kVirtualGame / (strength[i] + 1);
    for (size_t j = 0; j < games.models; ++j) {
      if (j == i) continue;
      won += games.at(i, j);
      expected += (games.at(i, j) + games.at(j, i)) / (strength[i] + strength[j]);
    }
    const double next = won / expected;
    change = std::max(change, std::abs(next / strength[i] - 1));
    strength[i] = next;
  }
  return change;
}

// Squared distances of values, from how often each occurs.
class Distance {
 public:
  Distance(const std::map<double, double>& counts, Metric metric) : metric_(metric) {
    double before = 0;
    for (const auto& [value, count] : counts) {
      middle_[value] = before + count / 2;
      before += count;
    }
  }
  double operator()(double a, double b) const {
    if (metric_ == Metric::kNominal) return a == b ? 0 : 1;
    const double distance = metric_ == Metric::kInterval ? a - b : middle_.at(a) - middle_.at(b);
    return distance * distance;
  }

 private:
  Metric metric_;
  std::map<double, double> middle_ = {};  // ordinal: the mean rank of a value
};

}  // namespace

std::vector<double> bradley_terry(const Games& games) {
  constexpr int kMostSteps = 10'000;
  constexpr double kSmallChange = 1e-9;
  std::vector<double> strength(games.models, 1.0);
  for (int step = 0; step < kMostSteps && improve(games, strength) > kSmallChange; ++step) {
  }
  double sum = 0;
  for (auto& one : strength) sum += one = std::log(one);
  for (auto& one : strength) one -= sum / double(games.models);
  return strength;
}

std::optional<double> krippendorff_alpha(const std::vector<std::vector<double>>& units, Metric metric) {
  std::map<double, double> counts;
  double total = 0;
  for (const auto& unit : units)
    if (unit.size() >= 2)
      for (const double value : unit) ++counts[value], ++total;
  const Distance distance(counts, metric);
  double observed = 0, expected = 0;
  for (const auto& unit : units) {
    if (unit.size() < 2) continue;
    double sum = 0;
    for (const double a : unit)
      for (const double b : unit) sum += distance(a, b);
    observed += sum / double(unit.size() - 1);
  }
  for (const auto& [a, count_a] : counts)
    for (const auto& [b, count_b] : counts) expected += count_a * count_b * distance(a, b);
  if (expected == 0) return std::nullopt;
  return 1 - (total - 1) * observed / expected;
}

double binomial_tail(int64_t count, int64_t passed, double probability) {
  double tail = 0;
  for (int64_t k = passed; k <= count; ++k)
    tail += std::exp(std::lgamma(double(count) + 1) - std::lgamma(double(k) + 1) -
                     std::lgamma(double(count - k) + 1) + double(k) * std::log(probability) +
                     double(count - k) * std::log1p(-probability));
  return std::min(1.0, tail);
}

double quantile(std::vector<double> values, double share) {
  PIXART_CHECK(!values.empty(), "the quantile of no values");
  std::ranges::sort(values);
  const double place = share * double(values.size() - 1);
  const auto below = size_t(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - double(below)) * (values[above] - values[below]);
}

}  // namespace pixart::study

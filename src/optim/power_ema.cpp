#include "pixart/optim/power_ema.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"

namespace pixart::optim {

namespace {

double length_of_power(double power) { return std::sqrt((power + 1) / (power + 3)) / (power + 2); }

// The integral of the product of two profiles over the training.
double overlap(const PowerProfile& a, const PowerProfile& b) {
  if (a.updates > b.updates) return overlap(b, a);
  const double ratio = double(a.updates) / double(b.updates);
  return (a.power + 1) * (b.power + 1) / (a.power + b.power + 1) * std::pow(ratio, b.power) /
         double(b.updates);
}

// Added to the products, whose rounding might otherwise make the profiles of many snapshots dependent.
constexpr double kRidge = 1e-13;

using Matrix = std::vector<std::vector<double>>;

// Solves a symmetric positive definite system by Cholesky's method, in place.
std::vector<double> solved(Matrix a, std::vector<double> b) {
  const size_t n = b.size();
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      double sum = a[i][j];
      for (size_t k = 0; k < j; ++k) sum -= a[i][k] * a[j][k];
      a[i][j] = i == j ? std::sqrt(std::max(sum, kRidge * kRidge)) : sum / a[j][j];
    }
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) b[i] -= a[i][k] * b[k];
    b[i] /= a[i][i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) b[i] -= a[k][i] * b[k];
    b[i] /= a[i][i];
  }
  return b;
}

}  // namespace

void PowerEmaConfig::validate(std::vector<std::string>& problems) const {
  if (lengths.size() != 2 || lengths.front() == lengths.back())
    problems.emplace_back("lengths must be two different numbers");
}

double power_of_length(double length) {
  double low = 0, high = 1;
  while (length_of_power(high) > length) high *= 2;
  for (int i = 0; i < 200; ++i) (length_of_power((low + high) / 2) > length ? low : high) = (low + high) / 2;
  return (low + high) / 2;
}

double power_decay(double power, int64_t updates) { return std::pow(1 - 1 / double(updates), power + 1); }

// Each profile is scaled to length 1 first, so that the ridge means the same for all.
std::vector<double> mixture(const std::vector<PowerProfile>& stored, const PowerProfile& wanted) {
  PIXART_CHECK(!stored.empty(), "no stored EMAs");
  const size_t n = stored.size();
  Matrix products(n, std::vector<double>(n));
  std::vector<double> right(n), sizes(n);
  for (size_t i = 0; i < n; ++i) sizes[i] = std::sqrt(overlap(stored[i], stored[i]));
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) products[i][j] = overlap(stored[i], stored[j]) / (sizes[i] * sizes[j]);
    products[i][i] += kRidge;
    right[i] = overlap(stored[i], wanted) / sizes[i];
  }
  auto factors = solved(std::move(products), std::move(right));
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += factors[i] /= sizes[i];
  for (double& factor : factors) factor /= sum;
  return factors;
}

std::string text_of(const StoredEmas& stored) {
  return nlohmann::json{{"updates", stored.updates}, {"lengths", stored.lengths}}.dump();
}

StoredEmas parse_stored_emas(const std::string& text, const std::string& subject) {
  constexpr size_t kMostLengths = 16;
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto fail = [&] {
    return UserError(
        fmt::format("{}: {} in its metadata is damaged: {}", subject, kPowerEmaKey, text.substr(0, 200)));
  };
  if (!json.is_object() || !json.contains("updates") || !json["updates"].is_number_unsigned()) throw fail();
  if (!json.contains("lengths") || !json["lengths"].is_array() || json["lengths"].size() > kMostLengths)
    throw fail();
  StoredEmas stored{.updates = int64_t(std::min<uint64_t>(json["updates"].get<uint64_t>(), kMostSteps))};
  for (const auto& length : json["lengths"]) {
    if (!length.is_number() || !(length.get<double>() >= kShortestEma && length.get<double>() <= kLongestEma))
      throw fail();
    if (std::count(stored.lengths.begin(), stored.lengths.end(), length.get<double>()) > 0) throw fail();
    stored.lengths.push_back(length.get<double>());
  }
  if (stored.updates < 1 || stored.lengths.empty()) throw fail();
  return stored;
}

}  // namespace pixart::optim

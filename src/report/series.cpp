#include "series.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace pixart::report {

namespace {

// The smallest point, the largest point and a gap of the points [begin, end) of one column, in their order.
void add_column(const Series& series, size_t begin, size_t end, Series& result) {
  std::optional<size_t> least, most, gap;
  for (size_t i = begin; i < end; ++i) {
    if (!std::isfinite(series[i].y)) {
      gap = i;
      continue;
    }
    if (!least || series[i].y < series[*least].y) least = i;
    if (!most || series[i].y > series[*most].y) most = i;
  }
  std::vector<size_t> kept;
  for (const auto& index : {least, most, gap})
    if (index) kept.push_back(*index);
  if (begin == 0) kept.push_back(begin);
  if (end == series.size()) kept.push_back(end - 1);
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  for (const size_t index : kept) result.push_back(series[index]);
}

}  // namespace

Series thinned(const Series& series, double x0, double x1, int columns) {
  if (series.size() <= size_t(columns) || x1 <= x0) return series;
  const auto column_of = [&](double x) {
    return std::clamp<int>(int((x - x0) / (x1 - x0) * columns), 0, columns - 1);
  };
  Series result;
  for (size_t begin = 0, end = 0; begin < series.size(); begin = end) {
    const int column = column_of(series[begin].x);
    while (end < series.size() && column_of(series[end].x) == column) ++end;
    add_column(series, begin, end, result);
  }
  return result;
}

Series smoothed(const Series& series, double share) {
  const auto size = ptrdiff_t(series.size()), reach = ptrdiff_t(share * double(series.size()) / 2);
  double sum = 0;
  ptrdiff_t count = 0;
  const auto take = [&](ptrdiff_t index, int sign) {
    if (index < 0 || index >= size || !std::isfinite(series[size_t(index)].y)) return;
    sum += sign * series[size_t(index)].y;
    count += sign;
  };
  if (reach == 0) return series;
  Series result;
  result.reserve(series.size());
  for (ptrdiff_t i = 0; i < reach; ++i) take(i, 1);
  for (ptrdiff_t i = 0; i < size; ++i) {
    take(i + reach, 1);
    take(i - reach - 1, -1);
    const Point& point = series[size_t(i)];
    result.push_back({point.x, std::isfinite(point.y) ? sum / double(count) : point.y});
  }
  return result;
}

std::optional<Extent> extent_of(const Series& series) {
  std::optional<Extent> extent;
  for (const auto& point : series) {
    if (!std::isfinite(point.y)) continue;
    if (!extent) extent = Extent{point.y, point.y};
    extent->least = std::min(extent->least, point.y);
    extent->most = std::max(extent->most, point.y);
  }
  return extent;
}

std::optional<double> median_of(const Series& series) {
  std::vector<double> values;
  for (const auto& point : series)
    if (std::isfinite(point.y)) values.push_back(point.y);
  if (values.empty()) return std::nullopt;
  const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::optional<double> last_of(const Series& series) {
  for (auto point = series.rbegin(); point != series.rend(); ++point)
    if (std::isfinite(point->y)) return point->y;
  return std::nullopt;
}

int64_t num_gaps(const Series& series) {
  return std::count_if(series.begin(), series.end(), [](const Point& p) { return !std::isfinite(p.y); });
}

double value_at(const Series& series, double x) {
  const auto behind = std::upper_bound(series.begin(), series.end(), x,
                                       [](double value, const Point& point) { return value < point.x; });
  return behind == series.begin() ? std::numeric_limits<double>::quiet_NaN() : std::prev(behind)->y;
}

Series scaled(Series series, double factor) {
  for (auto& point : series) point.y *= factor;
  return series;
}

std::vector<double> linear_ticks(double least, double most, int count) {
  if (!(most > least)) return {least};
  const double rough = (most - least) / std::max(1, count),
               power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough * 0.999) {
      step = factor * power;
      break;
    }
  std::vector<double> ticks;
  // The limit of i ends the loop if step is too small to change index * step.
  double index = std::ceil(least / step - 1e-9);
  for (int i = 0; i < 3 * (count + 1) && index * step <= most + step * 1e-9; ++i, ++index)
    ticks.push_back(index == 0 ? 0 : index * step);
  return ticks;
}

std::vector<double> log_ticks(double least, double most) {
  constexpr int kFew = 2, kMany = 6;  // decades
  const int first = int(std::floor(std::log10(least))), last = int(std::ceil(std::log10(most)));
  const bool few = std::log10(most / least) < kFew;
  const int step = std::max(1, (last - first + kMany - 1) / kMany);
  std::vector<double> ticks;
  for (int decade = first; decade <= last; decade += step)
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double tick = factor * std::pow(10, decade);
      if (factor > 1 && !few) continue;
      if (tick >= least * 0.9999 && tick <= most * 1.0001) ticks.push_back(tick);
    }
  return ticks;
}

std::string number_text(double value) {
  if (!std::isfinite(value)) return "not finite";
  const double size = std::abs(value);
  if (size >= 1e15) return fmt::format("{:.2e}", value);
  if (size >= 1e9) return fmt::format("{:.4g}G", value / 1e9);
  if (size >= 1e6) return fmt::format("{:.4g}M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:.4g}k", value / 1e3);
  return fmt::format("{:.4g}", value);
}

}  // namespace pixart::report

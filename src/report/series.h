// Prepares curves for drawing.
#pragma once
#include <optional>
#include <string>

#include "pixart/report/run_record.h"

namespace pixart::report {

// Keeps at most two points, the smallest and the largest, for each of `columns` equal parts of [x0, x1], in
// their order, and the first and last point. A part with a gap keeps one gap.
Series thinned(const Series& series, double x0, double x1, int columns);

// Replaces each value by the mean of the values around it: `share` of all points or, at the ends, half of
// that. Keeps gaps.
Series smoothed(const Series& series, double share);

// The functions below use the finite values only; nothing if there are none.
struct Extent {
  double least = 0, most = 0;
};
std::optional<Extent> extent_of(const Series& series);
std::optional<double> median_of(const Series& series);
std::optional<double> last_of(const Series& series);
int64_t num_gaps(const Series& series);

// The value of the last point at or before x; NaN before the first.
double value_at(const Series& series, double x);

Series scaled(Series series, double factor);

// About `count` round numbers in [least, most].
std::vector<double> linear_ticks(double least, double most, int count);
// Powers of ten in [least, most], and 2 and 5 times these if they are few.
std::vector<double> log_ticks(double least, double most);

// "0.002", "1.5", "20k", "3M".
std::string number_text(double value);

}  // namespace pixart::report

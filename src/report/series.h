// Curves made fit to be drawn.
#pragma once
#include <optional>
#include <string>

#include "pixart/report/run_record.h"

namespace pixart::report {

// At most two points, the least and the largest, for each of `columns` equal parts of [x0, x1], in the order
// in which they occur, and the first and last point. A part with a gap keeps one gap.
Series thinned(const Series& series, double x0, double x1, int columns);

// Each value becomes the mean of those around it, `share` of all points or, at the ends, half of that. Gaps
// stay.
Series smoothed(const Series& series, double share);

// Of finite values; nothing where there is none.
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

// About `count` round numbers within [least, most].
std::vector<double> linear_ticks(double least, double most, int count);
// Powers of ten in [least, most], with 2 and 5 times them where these are few.
std::vector<double> log_ticks(double least, double most);

// "0.002", "1.5", "20k", "3M".
std::string number_text(double value);

}  // namespace pixart::report

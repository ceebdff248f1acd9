#include "noun_curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "pixart/base/html.h"
#include "pixart/base/words.h"

namespace pixart::data {
namespace {

constexpr double kLeft = 62, kRight = 14, kTop = 12, kBottom = 46;
constexpr int kPointsPerDecade = 60;

// Powers of ten from 1 to the first that is not below `value`, at least 10.
int decades_for(int64_t value) {
  int decades = 1;
  for (int64_t power = 10; power < value; power *= 10) ++decades;
  return decades;
}

struct Frame {
  double width, height;
  int x_decades, y_decades;

  double right() const { return width - kRight; }
  double bottom() const { return height - kBottom; }
  double x(double rank) const { return kLeft + std::log10(rank) / x_decades * (right() - kLeft); }
  double y(double count) const { return bottom() - std::log10(count) / y_decades * (bottom() - kTop); }
};

std::string power_text(int decade) { return with_thousands(int64_t(std::llround(std::pow(10, decade)))); }

std::string axes(const Frame& frame) {
  std::string svg;
  // Long numbers would touch on a narrow picture: every second power of ten then.
  const int step = (frame.right() - kLeft) / frame.x_decades < 64 ? 2 : 1;
  for (int decade = 0; decade <= frame.x_decades; ++decade) {
    const double x = frame.x(std::pow(10, decade));
    svg += fmt::format("<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>\n",
                       x, kTop, frame.bottom());
    if (decade % step == 0)
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x,
                         frame.bottom() + 18, decade == frame.x_decades && decade > 2 ? "end" : "middle",
                         power_text(decade));
  }
  for (int decade = 0; decade <= frame.y_decades; ++decade) {
    const double y = frame.y(std::pow(10, decade));
    svg += fmt::format("<line class=\"{0}\" x1=\"{1:.1f}\" x2=\"{2:.1f}\" y1=\"{3:.1f}\" y2=\"{3:.1f}\"/>\n",
                       decade == 0 ? "axis" : "grid", kLeft, frame.right(), y);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", kLeft - 8, y + 4,
                       power_text(decade));
  }
  svg += fmt::format(
      "<text class=\"soft\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">rank of the noun</text>\n",
      (kLeft + frame.right()) / 2, frame.height - 8);
  svg += fmt::format(
      "<text class=\"soft\" transform=\"translate(13 {:.1f}) rotate(-90)\" "
      "text-anchor=\"middle\">occurrences</text>\n",
      (kTop + frame.bottom()) / 2);
  return svg;
}

// The bar lies between 10 and 11 occurrences.
std::string bar(const Frame& frame) {
  const double y = frame.y(kValidAbove + 0.5);
  return fmt::format("<line class=\"mark\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
                     kLeft, frame.right(), y, y);
}

// Steps would show at the tail, so the last rank of each count is kept along with ranks at even distances.
std::string curve(const Frame& frame, const NounStatistics& row, size_t series) {
  std::string points;
  double next = 0;
  const size_t size = row.by_count.size();
  for (size_t i = 0; i < size; ++i) {
    const double position = std::log10(double(i + 1)) * kPointsPerDecade;
    const bool step = i + 1 == size || row.by_count[i + 1].second != row.by_count[i].second;
    const bool step_shows = step && row.by_count[i].second <= kValidAbove;
    if (position < next && !step_shows && i + 1 != size) continue;
    next = std::floor(position) + 1;
    points += fmt::format("{}{:.1f},{:.1f}", points.empty() ? "" : " ", frame.x(double(i + 1)),
                          frame.y(double(row.by_count[i].second)));
  }
  return fmt::format("<polyline class=\"series-{}\" points=\"{}\"/>\n", series % kNumSeriesColours, points);
}

}  // namespace

std::string noun_curve_svg(const std::vector<NounStatistics>& rows, int width, int height) {
  int64_t most = 1, ranks = 1;
  for (const auto& row : rows) {
    if (!row.by_count.empty()) most = std::max(most, row.by_count.front().second);
    ranks = std::max(ranks, row.distinct);
  }
  const Frame frame{double(width), double(height), decades_for(ranks), std::max(2, decades_for(most))};
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Occurrences of the nouns by rank, both axes "
      "logarithmic\">\n",
      width, height);
  svg += axes(frame) + bar(frame);
  for (size_t i = 0; i < rows.size(); ++i) svg += curve(frame, rows[i], i);
  return svg + "</svg>\n";
}

}  // namespace pixart::data

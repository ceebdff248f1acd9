#include "pixart/report/width_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "parts.h"
#include "pixart/base/html.h"
#include "series.h"

namespace pixart::report {

namespace {

constexpr double kChartWidth = 900, kChartLeft = 70, kChartRight = 560, kChartTop = 40, kLegendRow = 17,
                 kLeastHeight = 320;
constexpr std::array<const char*, 6> kColours = {"#1f5a9e", "#b05c00", "#1b7a3d",
                                                 "#8c0d3a", "#5b4a9c", "#7a7200"};
constexpr std::array<const char*, 3> kDashes = {"", "7 3", "2 3"};

bool is_drawn(double value) { return std::isfinite(value) && value > 0; }

struct Frame {
  double x0, x1, y0, y1, bottom;
  double x(double width) const {
    return kChartLeft + std::log(width / x0) / std::log(x1 / x0) * (kChartRight - kChartLeft);
  }
  double y(double value) const {
    return bottom - std::log(value / y0) / std::log(y1 / y0) * (bottom - kChartTop);
  }
};

// At least a decade, so that flat curves look flat.
Frame frame_of(const WidthChart& chart) {
  double least = 1, most = 1;
  bool is_first = true;
  for (const auto& curve : chart.curves)
    for (const double value : curve.values) {
      if (!is_drawn(value)) continue;
      least = is_first ? value : std::min(least, value), most = is_first ? value : std::max(most, value);
      is_first = false;
    }
  const double room = std::max(1.1, std::sqrt(10 * least / most));
  const double height = std::max(kLeastHeight, kChartTop + kLegendRow * double(chart.curves.size()) + 40);
  const double first = chart.widths.empty() ? 1 : double(chart.widths.front()),
               last = chart.widths.empty() ? 2 : double(chart.widths.back());
  return {.x0 = first,
          .x1 = std::max(last, 1.01 * first),
          .y0 = least / room,
          .y1 = most * room,
          .bottom = height - 50};
}

std::string text(double x, double y, const char* anchor, const std::string& words) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     html_escaped(words));
}

std::string axes(const WidthChart& chart, const Frame& frame) {
  std::string svg;
  for (const double tick : log_ticks(frame.y0, frame.y1)) {
    svg += fmt::format("<path stroke=\"#ddd\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", kChartLeft, frame.y(tick),
                       kChartRight);
    svg += text(kChartLeft - 6, frame.y(tick) + 4, "end", number_text(tick));
  }
  for (const int64_t width : chart.widths)
    svg += text(frame.x(double(width)), frame.bottom + 18, "middle", fmt::format("{}", width));
  svg += fmt::format("<path stroke=\"#555\" fill=\"none\" d=\"M{0:.1f} {1:.1f}V{2:.1f}H{3:.1f}\"/>\n",
                     kChartLeft, kChartTop, frame.bottom, kChartRight);
  svg += text((kChartLeft + kChartRight) / 2, frame.bottom + 38, "middle", "width");
  return svg + text(kChartLeft, kChartTop - 20, "start", chart.title + ": " + chart.value_name);
}

// The curve and its place in the legend.
std::string drawn(const WidthChart& chart, const Frame& frame, size_t i) {
  const auto& curve = chart.curves[i];
  std::string points;
  for (size_t k = 0; k < std::min(curve.values.size(), chart.widths.size()); ++k)
    if (is_drawn(curve.values[k]))
      points += fmt::format("{:.1f},{:.1f} ", frame.x(double(chart.widths[k])), frame.y(curve.values[k]));
  const std::string style =
      fmt::format("fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\" stroke-dasharray=\"{}\"",
                  kColours[i % kColours.size()], kDashes[i / kColours.size() % kDashes.size()]);
  const double y = kChartTop + kLegendRow * double(i);
  return fmt::format("<polyline {0} points=\"{1}\"/>\n<path {0} d=\"M{2:.1f} {3:.1f}h28\"/>\n", style, points,
                     kChartRight + 20, y) +
         text(kChartRight + 54, y + 4, "start", curve.label);
}

}  // namespace

std::string width_chart_svg(const WidthChart& chart) {
  const Frame frame = frame_of(chart);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"{2}\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
      kChartWidth, frame.bottom + 50, html_escaped(chart.title));
  svg += axes(chart, frame);
  for (size_t i = 0; i < chart.curves.size(); ++i) svg += drawn(chart, frame, i);
  return svg + "</svg>\n";
}

void check_chart_file(const std::filesystem::path& file, const std::vector<std::string_view>& marks,
                      std::string_view command, std::string_view kind) {
  require_own_page(file, marks, command, kind);
}

}  // namespace pixart::report

#include "chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "parts.h"
#include "pixart/base/html.h"

namespace pixart::report {
namespace {

constexpr double kTop = 10, kBottom = 26, kLeft = 54, kRight = 18, kLetter = 8.6, kLabel = 20;
constexpr double kLeastLogRatio = 8;  // below this, a linear axis shows more
constexpr size_t kTableRows = 20;

// Where a value is between `least`, which is 0, and `most`, which is 1.
double share(double value, double least, double most, bool is_log) {
  return is_log ? std::log(value / least) / std::log(most / least) : (value - least) / (most - least);
}

struct Axes {
  double width = 0, bottom = 0;
  double x0 = 0, x1 = 1, y0 = 0, y1 = 1;
  bool is_x_log = false, is_log = false;

  double x(double value) const { return kLeft + share(value, x0, x1, is_x_log) * (width - kLeft - kRight); }
  double y(double value) const {
    return bottom - std::clamp(share(value, y0, y1, is_log), 0.0, 1.0) * (bottom - kTop);
  }
};

bool is_by_rank(const Chart& chart) { return !chart.rank_of.empty(); }

std::optional<Extent> joined(std::optional<Extent> a, const std::optional<Extent>& b) {
  if (!a || !b) return a ? a : b;
  return Extent{std::min(a->least, b->least), std::max(a->most, b->most)};
}

// The axes of a chart; nothing if it has no values to draw.
std::optional<Axes> axes_of(const Chart& chart, double width, double height) {
  std::optional<Extent> values, steps;
  for (const auto& line : chart.lines) {
    values = joined(values, extent_of(line.points));
    if (!line.points.empty()) steps = joined(steps, Extent{line.points.front().x, line.points.back().x});
  }
  if (!values) return std::nullopt;
  if (chart.mark) values = joined(values, Extent{*chart.mark, *chart.mark});
  for (const auto& band : chart.bands) values = joined(values, Extent{band.y0, band.y1});
  if (is_by_rank(chart))
    return Axes{.width = width,
                .bottom = height - kBottom - kLabel,
                .x0 = 1,
                .x1 = std::max(10.0, steps->most),
                .y0 = 1,
                .y1 = std::max(10.0, values->most),
                .is_x_log = true,
                .is_log = true};
  // All charts begin at the stage's first step, so that they can be compared.
  Axes axes{.width = width, .bottom = height - kBottom, .x0 = 0, .x1 = std::max(1.0, steps->most)};
  axes.is_log = chart.wants_log && values->least > 0 && values->most / values->least >= kLeastLogRatio;
  axes.y0 = chart.from_zero && !axes.is_log ? std::min(0.0, values->least) : values->least;
  axes.y1 = values->most;
  const double room = axes.is_log ? 0 : 0.05 * (axes.y1 - axes.y0);
  if (axes.y0 != 0) axes.y0 -= room;
  axes.y1 += room;
  if (!(axes.y1 > axes.y0)) {  // only one value
    const double around = axes.y0 == 0 ? 1 : std::abs(axes.y0) * 0.1;
    axes.y0 -= axes.y0 == 0 ? 0 : around;
    axes.y1 += around;
  }
  return axes;
}

std::string grid(const Axes& axes) {
  std::string svg;
  const int count = std::max(2, int((axes.bottom - kTop) / 42));
  for (const double tick :
       axes.is_log ? log_ticks(axes.y0, axes.y1) : linear_ticks(axes.y0, axes.y1, count)) {
    const double y = axes.y(tick);
    svg += fmt::format("<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>\n",
                       kLeft, axes.width - kRight, y);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", kLeft - 6, y + 4,
                       number_text(tick));
  }
  for (const double tick : axes.is_x_log
                               ? log_ticks(axes.x0, axes.x1)
                               : linear_ticks(axes.x0, axes.x1, std::max(2, int(axes.width / 110)))) {
    const double x = axes.x(tick);
    svg += fmt::format("<line class=\"axis\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>\n",
                       x, axes.bottom, axes.bottom + 4);
    const double reach = kLetter * double(number_text(tick).size()) / 2;
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                       std::min(x, axes.width - reach), axes.bottom + 18, number_text(tick));
  }
  return svg +
         fmt::format("<line class=\"axis\" x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>\n",
                     kLeft, axes.width - kRight, axes.bottom);
}

std::string rank_text(const Chart& chart) { return "rank of the " + html_escaped(chart.rank_of); }

std::string rank_label(const Axes& axes, const Chart& chart) {
  if (!is_by_rank(chart)) return "";
  return fmt::format("<text class=\"soft\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                     (kLeft + axes.width - kRight) / 2, axes.bottom + 18 + kLabel, rank_text(chart));
}

// Draws polylines between gaps; a single point becomes a dot.
std::string curve(const Axes& axes, const Line& line) {
  const int columns = int(axes.width - kLeft - kRight);
  const std::string style = line.style + (line.is_faint ? " faint" : "");
  std::string svg, points;
  int count = 0;
  const auto flush = [&] {
    if (count == 1) points += " " + points;  // round line caps make it a dot
    if (count > 0) svg += fmt::format("<polyline class=\"{}\" points=\"{}\"/>\n", style, points);
    points.clear();
    count = 0;
  };
  for (const auto& point : axes.is_x_log ? line.points : thinned(line.points, axes.x0, axes.x1, columns)) {
    if (!std::isfinite(point.y)) {
      flush();
      continue;
    }
    points += fmt::format("{}{:.1f},{:.1f}", count == 0 ? "" : " ", axes.x(point.x), axes.y(point.y));
    ++count;
  }
  flush();
  return svg;
}

std::string bands_svg(const Axes& axes, const Chart& chart) {
  std::string svg;
  for (const auto& band : chart.bands) {
    const double left = axes.x(band.x0), top = axes.y(band.y1);
    svg +=
        fmt::format("<rect class=\"band\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n",
                    left, top, axes.x(std::min(band.x1, axes.x1)) - left, axes.y(band.y0) - top);
  }
  return svg;
}

std::string mark_svg(const Axes& axes, const Chart& chart) {
  if (!chart.mark) return "";
  return fmt::format("<line class=\"mark\" x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>\n",
                     kLeft, axes.width - kRight, axes.y(*chart.mark));
}

std::string svg_of(const Chart& chart, double width, double height) {
  const auto axes = axes_of(chart, width, height);
  const char* scale = axes->is_x_log ? ", both axes logarithmic" : axes->is_log ? ", logarithmic" : "";
  std::string svg =
      fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{} over the {}{}\">\n", width, height,
                  html_escaped(chart.title), is_by_rank(chart) ? rank_text(chart) : "steps", scale);
  svg += grid(*axes) + rank_label(*axes, chart) + bands_svg(*axes, chart) + mark_svg(*axes, chart);
  for (const auto& line : chart.lines) svg += curve(*axes, line);
  return svg + "</svg>\n";
}

std::string legend(const Chart& chart) {
  const auto item = [](const std::string& style, const std::string& label) {
    return fmt::format(
        "<li><svg viewBox=\"0 0 30 10\" aria-hidden=\"true\"><line class=\"{}\" x1=\"1\" x2=\"29\" y1=\"5\" "
        "y2=\"5\"/></svg>{}</li>\n",
        style, html_escaped(label));
  };
  std::string html;
  if (chart.lines.size() > 1)
    for (const auto& line : chart.lines)
      html += item(line.style + (line.is_faint ? " faint" : ""), line.label);
  if (chart.mark) html += item("mark", chart.mark_label);
  if (!chart.bands.empty())
    html += fmt::format(
        "<li><svg viewBox=\"0 0 30 10\" aria-hidden=\"true\"><rect class=\"band\" x=\"1\" y=\"1\" "
        "width=\"28\" "
        "height=\"8\"/></svg>{}</li>\n",
        html_escaped(chart.band_label));
  return html.empty() ? "" : "<ul class=\"legend\">\n" + html + "</ul>\n";
}

// Evenly spaced steps of the longest line, with the first and the last.
std::string numbers(const Chart& chart) {
  const auto longest =
      std::max_element(chart.lines.begin(), chart.lines.end(),
                       [](const Line& a, const Line& b) { return a.points.size() < b.points.size(); });
  const size_t size = longest->points.size(), rows = std::min(size, kTableRows);
  Table table{.head = {"step"}, .rows = {}, .numbers = chart.lines.size()};
  for (const auto& line : chart.lines) table.head.push_back(line.label);
  for (size_t i = 0; i < rows; ++i) {
    const double step = longest->points[rows == 1 ? 0 : i * (size - 1) / (rows - 1)].x;
    Cells row = {fmt::format("{:.0f}", step)};
    for (const auto& line : chart.lines) {
      const bool has_begun = !line.points.empty() && line.points.front().x <= step;
      row.push_back(has_begun ? number_text(value_at(line.points, step)) : "");
    }
    table.rows.push_back(std::move(row));
  }
  return details(fmt::format("Values: {}", chart.title), table_html(table));
}

}  // namespace

std::string chart_html(const Chart& chart) {
  if (!axes_of(chart, 1, 1)) return "";
  int64_t gaps = 0;
  for (const auto& line : chart.lines)
    if (line.is_faint || chart.lines.size() == 1) gaps += num_gaps(line.points);
  std::string html =
      fmt::format("<figure class=\"chart{}\">\n<figcaption>{}{}</figcaption>\n",
                  chart.is_large ? " large" : "", html_escaped(chart.title),
                  chart.unit.empty() ? "" : " <span>(" + html_escaped(chart.unit) + ")</span>");
  html += legend(chart);
  if (chart.is_large)
    html += "<div class=\"wide\">" + svg_of(chart, 940, 300) + "</div>\n<div class=\"narrow\">" +
            svg_of(chart, 380, 240) + "</div>\n";
  else
    html += svg_of(chart, 440, 210);
  if (gaps > 0) html += note(fmt::format("{} value{} not finite.", gaps, gaps == 1 ? " was" : "s were"));
  return html + (is_by_rank(chart) ? "" : numbers(chart)) + "</figure>\n";
}

}  // namespace pixart::report
